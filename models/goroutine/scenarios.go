package goroutine

import (
	"fmt"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

// Names of this package's models in a map of factories.
const (
	Name      = "goroutine"
	NameNaive = "goroutine-naive" // allocates a buffer for each read
	NameLean  = "goroutine-lean"  // borrows a buffer while there is something to read
)

// Models returns the factories of this package by name, those that this platform
// has.
func Models() map[string]models.Factory {
	all := map[string]models.Factory{
		Name:      New,
		NameNaive: Factory(Options{NaiveBuffers: true}),
	}
	if leanSupported {
		all[NameLean] = Factory(Options{Lean: true})
	}
	return all
}

// Scenarios returns what there is to measure about this model. The first part of
// a name is the benchmark that it belongs to.
func Scenarios() []scenario.Scenario {
	server := func(model, service string) testenv.ServerSpec {
		return testenv.ServerSpec{Model: model, Service: service}
	}
	var all []scenario.Scenario
	for _, conns := range []int{10, 50, 100, 500, 1000} {
		all = append(all, scenario.Scenario{
			Name:   fmt.Sprintf("Echo/model=goroutine/conns=%d/size=1024", conns),
			Server: server(Name, "echo"),
			Plan:   load.Plan{Conns: conns, Size: 1024},
		})
	}
	for _, variant := range []struct{ name, model string }{{"reused", Name}, {"naive", NameNaive}, {"lean", NameLean}} {
		if Models()[variant.model] == nil {
			continue
		}
		all = append(all, scenario.Scenario{
			Name:   "Buffers/model=goroutine/buffers=" + variant.name + "/conns=100/size=64",
			Server: server(variant.model, "echo"),
			Plan:   load.Plan{Conns: 100, Size: 64},
		})
	}
	for _, conns := range []int{1000, 10_000, 50_000} {
		all = append(all, scenario.Scenario{
			Name:   fmt.Sprintf("HTTP/model=goroutine/conns=%d", conns),
			Server: server(Name, "http"),
			Scheme: "http", Path: "/plaintext",
			Plan: load.Plan{Conns: conns},
		})
	}
	return append(all,
		scenario.Scenario{
			Name:   "Connect/model=goroutine/conns=100/size=13",
			Server: server(Name, "echo"),
			Plan:   load.Plan{Mode: load.Connect, Conns: 100},
		},
		scenario.Scenario{
			Name:      "Open/model=goroutine/conns=100/size=64/load=0.5",
			Server:    server(Name, "echo"),
			Plan:      load.Plan{Mode: load.Open, Conns: 100, Size: 64},
			RateShare: 0.5,
		},
	)
}
