//go:build ci && linux

package goroutine_test

import (
	"context"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/load"
	"netbench/models"
	"netbench/models/goroutine"
	"netbench/testenv"
)

// idleServers starts n servers that take any number of connections.
func idleServers(t *testing.T, n int) []load.Target {
	t.Helper()
	var targets []load.Target
	for range n {
		s, err := testenv.StartServer(t.Context(), testenv.ServerSpec{
			Model: goroutine.Name, Service: "echo",
			Config: models.Config{MaxConns: models.NoLimit, IdleTimeout: models.NoLimit},
		})
		require.NoError(t, err)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			assert.NoError(t, s.Stop(ctx))
		})
		target, err := load.ParseTarget(t.Context(), "tcp://"+s.Addr())
		require.NoError(t, err)
		targets = append(targets, target)
	}
	return targets
}

// resident is this process's resident set in bytes, free memory given back.
func resident(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}

func TestScale15000IdleConnectionsInOneProcess(t *testing.T) {
	const conns, allowed = 15_000, 12 << 20
	targets := idleServers(t, 1)
	before := resident(t)
	s, err := load.Dial(t.Context(), load.Plan{Targets: targets, Mode: load.Idle, Conns: conns})
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, 1, s.Processes())
	r, err := s.Run(t.Context(), load.Span{Duration: 3 * time.Second})
	require.NoError(t, err)
	used := resident(t) - before
	t.Logf("%d connections held and proven alive, %d exchanges, %.2f MiB of generator memory above its baseline (%d B a connection)",
		r.Alive, r.Requests, float64(used)/(1<<20), used/conns)
	assert.EqualValues(t, conns, r.Alive)
	assert.EqualValues(t, 2*conns, r.Requests, "each is proven alive before and after")
	assert.True(t, r.Valid.Counts, "%v", r.Reasons)
	assert.LessOrEqual(t, used, allowed)
}

func TestScale60000IdleConnectionsOverProcesses(t *testing.T) {
	const conns = 60_000
	targets := idleServers(t, 4)
	start := time.Now()
	s, err := load.Dial(t.Context(), load.Plan{Targets: targets, Mode: load.Idle, Conns: conns})
	require.NoError(t, err)
	defer s.Close()
	dialled := time.Since(start)
	r, err := s.Run(t.Context(), load.Span{Duration: 3 * time.Second})
	require.NoError(t, err)
	t.Logf("%d connections held by %d processes and proven alive, dialled in %v", r.Alive, s.Processes(), dialled.Round(time.Millisecond))
	assert.Greater(t, s.Processes(), 1)
	assert.EqualValues(t, conns, r.Alive)
	assert.EqualValues(t, 2*conns, r.Requests)
	assert.True(t, r.Valid.Counts, "%v", r.Reasons)
}
