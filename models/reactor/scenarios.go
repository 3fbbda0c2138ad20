package reactor

import (
	"fmt"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

// Models returns the factories of this package by name: the model, and a variant
// with each of its techniques switched off, named "reactor-" and the switch.
func Models() map[string]models.Factory {
	all := map[string]models.Factory{Name: New}
	for i, s := range new(Options).switches() {
		var o Options
		*o.switches()[i].on = true
		if s.name != "steer" { // which is nothing without other listeners
			all[Name+"-"+s.name] = Factory(o)
		}
	}
	all[Name+"-"+Park.String()] = Factory(Options{Wait: Park})
	all[Name+"-"+oneRead] = Factory(Options{ReadBudget: 1})
	return all
}

// Scenarios returns what there is to measure about this model. The first part of
// a name is the benchmark that it belongs to.
func Scenarios() []scenario.Scenario {
	server := func(service string) testenv.ServerSpec {
		return testenv.ServerSpec{Model: Name, Service: service}
	}
	var all []scenario.Scenario
	for _, conns := range []int{10, 50, 100, 500, 1000} {
		all = append(all, scenario.Scenario{
			Name:   fmt.Sprintf("Echo/model=reactor/conns=%d/size=1024", conns),
			Server: server("echo"),
			Plan:   load.Plan{Conns: conns, Size: 1024},
		})
	}
	for _, conns := range []int{1000, 10_000} {
		all = append(all, scenario.Scenario{
			Name:   fmt.Sprintf("HTTP/model=reactor/conns=%d", conns),
			Server: server("http"),
			Scheme: "http", Path: "/plaintext",
			Plan: load.Plan{Conns: conns},
		})
	}
	return append(all,
		scenario.Scenario{
			Name:   "Connect/model=reactor/conns=100/size=13",
			Server: server("echo"),
			Plan:   load.Plan{Mode: load.Connect, Conns: 100},
		},
		scenario.Scenario{
			Name:      "Open/model=reactor/conns=100/size=64/load=0.5",
			Server:    server("echo"),
			Plan:      load.Plan{Mode: load.Open, Conns: 100, Size: 64},
			RateShare: 0.5,
		},
	)
}
