package load

import (
	"context"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests in this file look at the whole process, so they are not parallel to
// any other.

func numCPU() int { return runtime.NumCPU() }

// descriptors counts this process's open files, 0 where that is not known.
func descriptors() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(names)
}

// children counts this process's children, 0 where that is not known.
func children() int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0
	}
	n := 0
	for _, task := range tasks {
		if b, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children"); err == nil {
			n += len(strings.Fields(string(b)))
		}
	}
	return n
}

// assertNothingLeft checks that f leaves no goroutine, descriptor or process.
func assertNothingLeft(t *testing.T, f func()) {
	t.Helper()
	goroutines, files, processes := runtime.NumGoroutine(), descriptors(), children()
	f()
	end := time.Now().Add(10 * time.Second)
	for (runtime.NumGoroutine() > goroutines || descriptors() > files || children() > processes) && time.Now().Before(end) {
		runtime.Gosched()
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines, "goroutines")
	assert.LessOrEqual(t, descriptors(), files, "descriptors")
	assert.LessOrEqual(t, children(), processes, "processes")
}

func TestARunLeavesNothingBehindHoweverItEnds(t *testing.T) {
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx   context.Context
		serve func(net.Conn)
		plan  Plan
	}{
		"good":          {t.Context(), echo, Plan{Conns: 20, Requests: 100}},
		"large":         {t.Context(), echo, Plan{Conns: 5, Requests: 10, Size: 1 << 20, Pipeline: 4}},
		"open":          {t.Context(), echo, Plan{Mode: Open, Rate: 1000, Conns: 20, Duration: 50 * time.Millisecond}},
		"connect":       {t.Context(), echo, Plan{Mode: Connect, Conns: 20, Requests: 100}},
		"idle":          {t.Context(), echo, Plan{Mode: Idle, Conns: 20, Duration: 50 * time.Millisecond}},
		"hanging":       {t.Context(), silent, Plan{Conns: 20, Duration: 50 * time.Millisecond, Grace: 50 * time.Millisecond}},
		"hanging large": {t.Context(), func(c net.Conn) { <-interrupted.Done(); silent(c) }, Plan{Conns: 5, Size: 8 << 20, Pipeline: 4, Duration: 50 * time.Millisecond, Grace: 50 * time.Millisecond}},
		"hanging up":    {t.Context(), func(net.Conn) {}, Plan{Conns: 20, Duration: 50 * time.Millisecond}},
		"interrupted":   {interrupted, echo, Plan{Conns: 20}},
		"bad input":     {t.Context(), echo, Plan{Conns: -1}},
	} {
		for _, kind := range engines() {
			t.Run(name+"/"+string(kind), func(t *testing.T) {
				assertNothingLeft(t, func() {
					t.Run("run", func(t *testing.T) { // its end is the end of the server
						p := c.plan
						p.Engine, p.Targets = kind, []Target{serve(t, EchoProtocol, c.serve)}
						_, _ = Run(c.ctx, p) // whether that is good is tested elsewhere
					})
				})
			})
		}
	}
}

// mallocs counts what a run allocates, everything in this process together.
func mallocs(t *testing.T, eng engine, s segment) (objects uint64, requests int64) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sum := eng.run(t.Context(), s)
	runtime.ReadMemStats(&after)
	require.Zero(t, sum.lost, sum.first)
	return after.Mallocs - before.Mallocs, sum.answered()
}

func TestTheEpollEngineAllocatesNothingWhileItMeasures(t *testing.T) {
	if defaultEngine != Epoll {
		t.Skip("this platform has no epoll")
	}
	for name, p := range map[string]Plan{
		"closed": {Mode: Closed, Conns: 10},
		"open":   {Mode: Open, Rate: 5000, Arrivals: Poisson, Conns: 10},
		"stream": {Mode: Stream, Conns: 4, Pipeline: 4},
	} {
		t.Run(name, func(t *testing.T) {
			p.Targets = []Target{serve(t, EchoProtocol, echo)}
			p, err := p.Normalize()
			require.NoError(t, err)
			eng, err := newEngine(&p, p.Conns)
			require.NoError(t, err)
			defer eng.close()
			require.NoError(t, eng.dial(t.Context()))
			s := segment{mode: p.Mode, rate: p.Rate, duration: 100 * time.Millisecond}
			mallocs(t, eng, s) // what is made once
			short, few := mallocs(t, eng, s)
			s.duration = 400 * time.Millisecond
			long, many := mallocs(t, eng, s)
			require.Greater(t, many, few+1000)
			// The histograms are merged after the run; that costs the same for
			// each. The rest is what the runtime and the test allocate by
			// themselves.
			assert.Less(t, int64(long)-int64(short), int64(100), "%d requests allocated %d objects, %d allocated %d", few, short, many, long)
		})
	}
}
