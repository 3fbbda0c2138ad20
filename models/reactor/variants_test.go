//go:build ci && (linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package reactor_test

import (
	"maps"
	"slices"
	"testing"

	"netbench/models"
	"netbench/models/modeltest"
	"netbench/models/reactor"
)

// The techniques are for speed only: without each of them the model is as right.
func TestConformanceOfVariants(t *testing.T) {
	factories := reactor.Models()
	delete(factories, reactor.Name)
	factories["reactor-one-loop"] = func(c models.Config) (models.Server, error) {
		if c.Loops == 0 {
			c.Loops = 1
		}
		return reactor.New(c)
	}
	factories["reactor-share"] = reactor.Factory(reactor.Options{Share: true})
	for _, name := range slices.Sorted(maps.Keys(factories)) {
		t.Run(name, func(t *testing.T) { modeltest.Run(t, factories[name], modeltest.Short(), modeltest.Networks("tcp4")) })
	}
}
