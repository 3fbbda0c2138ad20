//go:build measure

package load_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

// A server that freezes for 500 ms while requests come at 2000 a second for 10 s
// keeps 1000 of 20,000 waiting, by up to 500 ms: whoever came t after the freeze
// began waited 500 ms - t. The slowest 1 %, 200 requests, came in its first 100
// ms and waited 400 ms or more; the slowest 0.1 %, 20 requests, came in its first
// 10 ms and waited 490 ms or more.
const (
	freeze     = 500 * time.Millisecond
	tailRate   = 2000
	tailWindow = 10 * time.Second
)

// This test measures, so it has the tag "measure" and runs while no other test
// does (make test sees to it).
func TestAnOpenLoopTellsOfAFreezeWhatAClosedLoopHides(t *testing.T) {
	place, err := testenv.Place()
	require.NoError(t, err)
	if !place.Disjoint {
		t.Skip("generator and server would share a CPU: " + place.Reason)
	}
	server, err := testenv.StartServer(t.Context(), testenv.ServerSpec{
		Model: "goroutine", Service: "echo", Config: models.Config{Address: "127.0.0.1:0"}, CPUs: place.Server,
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop(context.Background())) })
	prefer(t, os.Getpid())
	prefer(t, server.PID())
	target, err := load.ParseTarget(t.Context(), "tcp://"+server.Addr())
	require.NoError(t, err)
	p := load.Plan{Targets: []load.Target{target}, CPUs: place.Generator, ServerCPU: server.CPU, ServerCPUs: len(place.Server)}

	open := p
	open.Mode, open.Rate, open.Duration, open.Conns, open.Warmup = load.Open, tailRate, tailWindow, 64, 200*time.Millisecond
	r := runOverFreeze(t, server, open, tailWindow/3)
	require.NotNil(t, r.Latency.P999, "only %d requests; %v", r.Latency.Count, r.Reasons)
	t.Logf("open loop: p50 %v, p99 %v, p99.9 %v, max %v", at(r.Latency.P50), at(r.Latency.P99), at(r.Latency.P999), at(r.Latency.Max))
	assert.True(t, r.Valid.Latency && r.Valid.Rate && r.Valid.Counts, r.Reasons)
	assert.EqualValues(t, 20_000, r.Requests)
	assert.InEpsilon(t, 400*time.Millisecond, *r.Latency.P99, 0.05)
	assert.InEpsilon(t, 490*time.Millisecond, *r.Latency.P999, 0.05)
	assert.Greater(t, *r.ConnWait.P99, int64(300*time.Millisecond), "most of it was waiting for one of 64 connections")
	assert.Less(t, *r.Latency.P50, int64(20*time.Millisecond))

	closed := p
	closed.Mode, closed.Duration, closed.Conns, closed.Warmup = load.Closed, 3*time.Second, 4, 200*time.Millisecond
	r = runOverFreeze(t, server, closed, time.Second)
	require.NotNil(t, r.Latency.P999, "only %d requests; %v", r.Latency.Count, r.Reasons)
	t.Logf("closed loop: p50 %v, p99 %v, p99.9 %v, max %v", at(r.Latency.P50), at(r.Latency.P99), at(r.Latency.P999), at(r.Latency.Max))
	assert.Less(t, *r.Latency.P99, int64(10*time.Millisecond), "only four requests saw the freeze")
	assert.GreaterOrEqual(t, *r.Latency.Max, int64(450*time.Millisecond), "but it was there")
}

func at(ns *int64) time.Duration { return time.Duration(*ns).Round(10 * time.Microsecond) }

// runOverFreeze carries out a plan and freezes the server once meanwhile. If the
// result says that the host disturbed the measurement, it is repeated, four times at
// most.
func runOverFreeze(t *testing.T, server *testenv.Server, p load.Plan, after time.Duration) *load.Result {
	t.Helper()
	for attempt := 1; ; attempt++ {
		s, err := load.Dial(t.Context(), p)
		require.NoError(t, err)
		frozen := make(chan error, 1)
		go func() { frozen <- freezeOnce(server, p.Warmup+after) }()
		r, err := s.Run(t.Context(), load.Span{})
		require.NoError(t, <-frozen)
		s.Close()
		require.NoError(t, err)
		if attempt == 5 || !disturbed(r) {
			return r
		}
		t.Logf("attempt %d was disturbed: %v", attempt, r.Reasons)
	}
}

// prefer gives all threads of a process precedence over what else runs on this
// host, until the test ends, as far as this user may: other tests run at the same
// time, and a CPU that they hold for a few milliseconds is not the server's doing.
func prefer(t *testing.T, pid int) {
	t.Helper()
	set := func(nice int) {
		// Where sessions are scheduled as groups, that counts first (sched(7)).
		group := "/proc/" + strconv.Itoa(pid) + "/autogroup"
		if err := os.WriteFile(group, []byte(strconv.Itoa(nice)), 0); err != nil {
			t.Logf("priority: %v", err)
		}
		threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
		if err != nil {
			return // it has ended
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			require.NoError(t, err)
			if err := unix.Setpriority(unix.PRIO_PROCESS, id, nice); err != nil {
				t.Logf("priority: %v", err)
				return
			}
		}
	}
	set(-20)
	t.Cleanup(func() { set(0) })
}

// freezeOnce freezes the server for 500 ms.
func freezeOnce(server *testenv.Server, after time.Duration) error {
	time.Sleep(after) // a point within the run
	began := time.Now()
	if err := server.Freeze(); err != nil {
		return err
	}
	time.Sleep(time.Until(began.Add(freeze)))
	return server.Thaw()
}

// disturbed tells whether a result says of itself that it is invalid because the
// generator was late or the host took CPU time away.
func disturbed(r *load.Result) bool {
	if r.Valid.Latency && r.Valid.Rate {
		return false
	}
	for _, reason := range r.Reasons {
		if strings.Contains(reason, "sent late") || strings.Contains(reason, "the host took") {
			return true
		}
	}
	return false
}
