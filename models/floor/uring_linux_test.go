package floor_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/load"
	"netbench/models"
	"netbench/models/floor"
	"netbench/testenv"
)

// older is the environment in which c-uring does as on a kernel before Linux 6.1.
var older = []string{"NETBENCH_URING_TIER=1"}

func TestUringSaysWhichFeaturesItUses(t *testing.T) {
	best := start(t, floor.Uring, models.Config{Loops: 1}).Info().Stats
	assert.NotEmpty(t, best.Variant)

	s := startOlder(t, models.Config{Loops: 1})
	assert.Equal(t, "coop-taskrun, receive armed each time", s.Info().Stats.Variant)
	assert.Contains(t, s.Info().Stats.Fallback, "DEFER_TASKRUN")
}

func startOlder(t *testing.T, config models.Config) *testenv.Server {
	t.Helper()
	s, err := testenv.StartServer(t.Context(), testenv.ServerSpec{
		Model: floor.Uring, Program: build(t, floor.Uring), Service: "echo", Config: config, Env: older, StartTimeout: time.Minute,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, s.Stop(ctx))
	})
	return s
}

func TestUringServesOnOlderKernelsToo(t *testing.T) {
	s := startOlder(t, models.Config{Loops: 2})
	target, err := load.ParseTarget(t.Context(), "tcp://"+s.Addr())
	require.NoError(t, err)
	for _, p := range []load.Plan{
		{Conns: 50, Size: 16 << 10, Pipeline: 4, Requests: 2000},
		{Mode: load.Connect, Conns: 10, Requests: 200, Pause: time.Millisecond},
	} {
		p.Targets, p.Duration, p.Seed = []load.Target{target}, patience, 3
		r, err := load.Run(t.Context(), p)
		require.NoError(t, err)
		assert.Equal(t, p.Requests, r.Answered)
		for kind, n := range r.Errors {
			assert.Zero(t, n, kind)
		}
	}
	nc := dial(t, s)
	sent := bytes.Repeat([]byte("older "), 100_000)
	go func() {
		_, _ = nc.Write(sent)
		_ = nc.CloseWrite()
	}()
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(sent, got))
}

// TestUringServesOthersWhenManyHoldBuffers has more bytes on their way to
// peers that do not read than the first buffers hold.
func TestUringServesOthersWhenManyHoldBuffers(t *testing.T) {
	s := start(t, floor.Uring, models.Config{Loops: 1, SendBuffer: 16 << 10})
	const conns = 40 // of which each holds 64 KiB, and all buffers at first 1 MiB
	for range conns {
		nc := dial(t, s)
		require.NoError(t, nc.SetReadBuffer(16<<10))
		go func() { _, _ = nc.Write(make([]byte, 8<<20)) }()
	}
	eventually(t, s, func(st models.Stats) bool { return st.Paused >= conns }, "all are stuck")
	exchange(t, dial(t, s), strings.Repeat("x", 10_000))
}

func TestUringSaysWhyTheKernelRefusesARing(t *testing.T) {
	// A limit that io_uring_setup fails by: to change the host's setting is not
	// for a test. Three standard descriptors, two of the channel, the listener, two
	// event counters, and there is none left.
	program := filepath.Join(t.TempDir(), "limited")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\nulimit -n 8\nexec '"+build(t, floor.Uring)+"'\n"), 0o755))
	_, err := testenv.StartServer(t.Context(), testenv.ServerSpec{
		Model: floor.Uring, Program: program, Service: "echo", StartTimeout: time.Minute, Config: models.Config{Loops: 1},
	})
	require.ErrorContains(t, err, "c-uring: io_uring_setup: Too many open files")
	assert.NotContains(t, err.Error(), "\n")
}
