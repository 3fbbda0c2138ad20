package cli

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/cc"
	"netbench/internal/needs"
	"netbench/models"
	"netbench/models/conditions"
	"netbench/models/peers"
	"netbench/models/race"
	"netbench/testenv"
)

// conditionsOf starts an entrant as a race does and looks at it from outside.
func conditionsOf(t *testing.T, e race.Entrant, service string) conditions.Conditions {
	t.Helper()
	place, err := testenv.Place()
	require.NoError(t, err)
	spec := testenv.ServerSpec{
		Model: e.Name, Service: service, CPUs: place.Server,
		Config: models.Config{MaxConns: 1000, IdleTimeout: models.NoLimit},
	}
	if e.Prepare != nil {
		spec.Program, err = e.Prepare(t.Context())
		switch {
		case errors.Is(err, cc.ErrNoCompiler):
			needs.Skip(t, needs.CC, err)
		case errors.Is(err, peers.ErrUnavailable):
			needs.Skip(t, needs.Peers, err)
		}
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	server, err := testenv.StartServer(ctx, spec)
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Stop(ctx)) }()
	c, err := conditions.Of(ctx, server)
	require.NoError(t, err)
	return c
}

// TestAllContendersServeUnderTheSameConditions holds what runs against what is
// declared, for everybody who may race.
func TestAllContendersServeUnderTheSameConditions(t *testing.T) {
	unpinned(t)
	all := entrants()
	byName := func(name string) race.Entrant {
		for _, e := range all {
			if e.Name == name {
				return e
			}
		}
		t.Fatalf("no %s among the entrants", name)
		return race.Entrant{}
	}
	base := map[string]conditions.Conditions{}
	for _, service := range []string{"echo", "http"} {
		base[service] = conditionsOf(t, byName("goroutine"), service)
	}
	for _, e := range all {
		if e.Missing != "" || e.Name == "goroutine" {
			continue
		}
		service := "echo"
		if !e.Serves(service) {
			service = "http"
		}
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel() // each looks at a process of its own, and at no time
			c := conditionsOf(t, e, service)
			differs := maps.Clone(e.Differs)
			if c.NoReadSize != "" {
				delete(differs, "ReadSize")
			}
			assert.NoError(t, conditions.Judge(conditions.Compare(base[service], c), differs))
			if c.NoReadSize != "" && service == "echo" {
				needs.Skip(t, needs.Perf, c.NoReadSize)
			}
		})
	}
}
