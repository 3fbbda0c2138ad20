package proxy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/load"
	"netbench/testenv"
	"netbench/zerocopy/proxy"
)

func TestLoadPassesThroughAProxyInAProcessOfItsOwn(t *testing.T) {
	addr := backend(t)
	for _, c := range []struct {
		size     int
		requests int64
	}{{64, 2000}, {256 << 10, 100}} {
		everyWay(t, func(t *testing.T, w proxy.Way) {
			size, requests := c.size, c.requests
			s := proxy.Scenario(w, size, addr)
			s.Plan.Conns, s.Plan.Requests, s.Plan.Duration = 8, requests, patience
			s.Server.StartTimeout = time.Minute
			server, plan, err := s.Start(t.Context())
			require.NoError(t, err)
			defer func() { assert.NoError(t, server.Stop(context.Background())) }()
			res, err := load.Run(t.Context(), plan)
			require.NoError(t, err)
			assert.Equal(t, requests, res.Requests, "%v", res.Reasons)
			assert.Zero(t, res.Lost, "%v", res.Reasons)
			for kind, n := range res.Errors {
				assert.Zero(t, n, kind)
			}

			// The generator has closed its connections, so everything gets counted.
			var snap testenv.Snapshot
			require.Eventually(t, func() bool {
				snap, err = server.Stats(context.Background())
				return err == nil && snap.Server.Active == 0
			}, patience, 10*time.Millisecond)
			stats := snap.Server
			assert.Equal(t, "proxy", stats.Model)
			assert.Equal(t, string(w), stats.Variant)
			assert.Empty(t, stats.Fallback)
			assert.Zero(t, stats.ConnErrors)
			assert.GreaterOrEqual(t, stats.BytesIn, uint64(res.Requests)*uint64(size))
			assert.Equal(t, stats.BytesIn, stats.BytesOut, "an echo gives back what it got")
		})
	}
}

func TestEveryScenarioHasAModelAndAServiceAndItsName(t *testing.T) {
	names := make(map[string]bool)
	all := proxy.Scenarios("127.0.0.1:1")
	assert.Len(t, all, len(proxy.Ways())*len(proxy.Sizes()))
	for _, s := range all {
		assert.Contains(t, proxy.Models(), s.Server.Model)
		assert.False(t, names[s.Name], "%s is there twice", s.Name)
		names[s.Name] = true
		assert.EqualValues(t, 2*s.Plan.Size, s.Bytes)
		assert.Equal(t, proxy.Piece, s.Server.Config.ReadBuffer, "all get the same")
	}
	assert.True(t, names["Proxy/way=buffer/size=64"])
}
