package peers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models/peers"
	"netbench/testenv"
)

// start starts a peer, whose program was built, in a process of its own.
func start(t *testing.T, s scenario.Scenario) (*testenv.Server, load.Plan) {
	t.Helper()
	server, plan, err := s.Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Kill() })
	return server, plan
}

func TestPeersServeWithoutAWrongOrLostByte(t *testing.T) {
	loads := map[string]scenario.Scenario{
		"echo":  {Server: testenv.ServerSpec{Service: "echo"}, Plan: load.Plan{Conns: 20, Size: 1000}},
		"large": {Server: testenv.ServerSpec{Service: "frame"}, Scheme: "frame", Plan: load.Plan{Conns: 4, Size: 100_000}},
		"http":  {Server: testenv.ServerSpec{Service: "http"}, Scheme: "http", Path: "/plaintext", Plan: load.Plan{Conns: 20, Pipeline: 16}},
		"block": {Server: testenv.ServerSpec{Service: "echo+wait=1ms"}, Plan: load.Plan{Conns: 20}},
	}
	for _, name := range peers.Names() {
		e, err := peers.Lookup(name)
		require.NoError(t, err)
		t.Run(name, func(t *testing.T) {
			program := build(t, name)
			for kind, s := range loads {
				if e.Services != nil && kind != "http" {
					continue
				}
				t.Run(kind, func(t *testing.T) {
					s.Server.Model, s.Server.Program = name, program
					server, plan := start(t, s)
					plan.Duration = 100 * time.Millisecond
					r, err := load.Run(t.Context(), plan)
					require.NoError(t, err)
					assert.Positive(t, r.Requests)
					assert.Zero(t, r.Lost, r.FirstError)
					for kind, n := range r.Errors {
						assert.Zero(t, n, "%s: %s", kind, r.FirstError)
					}
					snap, err := server.Stats(t.Context())
					require.NoError(t, err)
					assert.Equal(t, e.Name, snap.Server.Model)
					assert.GreaterOrEqual(t, snap.Server.Accepted, uint64(s.Plan.Conns))
					assert.Empty(t, snap.Server.Fallback)
					assert.Equal(t, strings.HasSuffix(name, peers.Recommended), snap.Server.Variant == "recommended")
					assert.GreaterOrEqual(t, snap.Server.BytesIn, uint64(r.Requests), "at least a byte each")
					assert.GreaterOrEqual(t, snap.Server.BytesOut, uint64(r.Requests))
					assert.Zero(t, snap.Server.ConnErrors)
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					require.NoError(t, server.Stop(ctx))
				})
			}
		})
	}
}
