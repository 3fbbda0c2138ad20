package reuseport

import (
	"fmt"
	"slices"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

// Scenarios returns what there is to measure about these models. The first part
// of a name is the benchmark that it belongs to. How evenly connections land is
// measured by [Measure].
func Scenarios() []scenario.Scenario {
	var names []string
	for over := range kinds {
		names = append(names, nameOf("reuseport", Over(over), false), nameOf("prefork", Over(over), false))
	}
	slices.Sort(names)
	var all []scenario.Scenario
	for _, name := range names {
		// MaxConns is divided among workers, and the spread is not even.
		server := testenv.ServerSpec{Model: name, Service: "echo", Config: models.Config{MaxConns: models.NoLimit}}
		for _, conns := range []int{100, 1000} {
			all = append(all, scenario.Scenario{
				Name:   fmt.Sprintf("Echo/model=%s/conns=%d/size=64", name, conns),
				Server: server,
				Plan:   load.Plan{Conns: conns, Size: 64},
			})
		}
		all = append(all, scenario.Scenario{
			Name:   fmt.Sprintf("Connect/model=%s/conns=100/size=13", name),
			Server: server,
			Plan:   load.Plan{Mode: load.Connect, Conns: 100},
		})
	}
	return all
}
