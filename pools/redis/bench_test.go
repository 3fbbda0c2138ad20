package redis_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/redis"
	"netbench/results"
	"netbench/testenv"
	"netbench/testenv/services"
	"netbench/testenv/services/servicetest"
)

// benchWorkers is how many goroutines use a pool at once.
const benchWorkers = 100

// P4: one command at a time, by pools of several sizes. An operation is one
// command, half of them SET and half GET.
func BenchmarkPool(b *testing.B) {
	r := benchServer(b)
	for _, c := range contenders() {
		b.Run(fmt.Sprintf("settings=%s/workers=%d", c.name, benchWorkers), func(b *testing.B) {
			benchmark(b, r, c.settings, 0)
		})
	}
}

// P4: the same commands in pipelines of several depths, by the recommended pool.
func BenchmarkPipeline(b *testing.B) {
	r := benchServer(b)
	for _, depth := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("depth=%d/workers=%d", depth, benchWorkers), func(b *testing.B) {
			benchmark(b, r, redis.Recommended(), depth)
		})
	}
}

// The monitor on and off in turns, at an interval 3000 times shorter than the
// recommended one: what does not show so costs nothing.
func BenchmarkMonitor(b *testing.B) {
	r := benchServer(b)
	b.Run(fmt.Sprintf("every=%v/workers=%d", monitorEvery, benchWorkers), func(b *testing.B) {
		var c pools.Cost
		for b.Loop() {
			c = monitorCost(b, r, 4, 2, 125*time.Millisecond)
		}
		b.ReportMetric(c.Mean, "cpu-on/off")
		b.ReportMetric(pools.Merge(c.On).CPUPerOp()/2, "client-cpu-ns/op") // a call is two commands
		b.ReportMetric(0, "ns/op")                                         // an iteration is a fixed time
	})
}

// What one sample of the monitor takes, with its judgement.
func BenchmarkSample(b *testing.B) {
	r := benchServer(b)
	// A benchmark of its own: what is printed when this one ends follows its result.
	b.Run("pool=recommended", func(b *testing.B) { benchmarkSample(b, r) })
}

func benchmarkSample(b *testing.B, r *services.Redis) {
	p, err := redis.Open(context.Background(), r.Options(), redis.Recommended())
	require.NoError(b, err)
	defer p.Close()
	require.NoError(b, p.Warm(context.Background(), 10))
	limits, before := redis.RecommendedLimits(), p.Detail()
	b.ReportAllocs()
	for b.Loop() {
		now := p.Detail()
		if alerts := limits.Judge(before, now, time.Second); len(alerts) > 0 {
			b.Fatal(alerts)
		}
		before = now
	}
}

// contender is a named pool.
type contender struct {
	name     string
	settings redis.Settings
}

// contenders are the pools that are set side by side. The small one may keep both
// of its connections, so that it has nothing against it but its size.
func contenders() []contender {
	small := redis.Recommended().Sized(2)
	small.MaxIdle = 2
	return []contender{
		{"recommended", redis.Recommended()},
		{"size-2", small},
		{"driver-defaults", redis.DriverDefaults()},
		{"by-cores", redis.ByCores()},
	}
}

// benchServer is a server on CPUs of its own, where there are enough, which every
// result is told of.
func benchServer(b testing.TB) *services.Redis {
	b.Helper()
	place, err := testenv.Place()
	require.NoError(b, err)
	r := servicetest.Redis(b, services.RedisOptions{CPUs: place.Server, StartTimeout: time.Minute})
	require.NoError(b, testenv.PinSelf(place.Generator))
	info := r.Info()
	fmt.Println(results.FactLine("redis-server", fmt.Sprintf("%s by %s", info.Version, info.Rung)))
	if !info.Real() {
		fmt.Println(results.StandInLine("redis", "miniredis"))
		b.Cleanup(func() { fmt.Println(results.RealLine("redis")) })
	}
	return r
}

// benchmark puts b.N commands on a fresh pool.
func benchmark(b *testing.B, r *services.Redis, s redis.Settings, depth int) {
	p := open(b, r.Options(), s)
	w := redis.StandardWorkload()
	w.Workers, w.Depth = benchWorkers, depth
	w.Pairs = benchWorkers * max(10, depth)
	_, err := p.Run(b.Context(), w) // warms up connections and buffers
	require.NoError(b, err)
	w.Pairs = (b.N + 1) / 2
	before := p.Detail()
	server, serverErr := r.CPU()
	b.ResetTimer()
	t, err := p.Run(b.Context(), w)
	b.StopTimer()
	require.NoError(b, err)
	if t.Failed() > 0 {
		b.Fatalf("the run is void: %v: %v", t, t.First)
	}
	after := p.Detail()
	commands := float64(t.Commands())
	b.ReportMetric(t.Rate(), "req/s")
	for _, q := range []struct {
		percentile float64
		samples    int64 // from which on it is told
		unit       string
	}{{50, 20, "p50-ns"}, {99, 1_000, "p99-ns"}, {99.9, 10_000, "p99.9-ns"}} {
		if t.RoundTrips.TotalCount() >= q.samples {
			b.ReportMetric(float64(t.RoundTrips.ValueAtPercentile(q.percentile)), q.unit)
		}
	}
	main := after.Main.Since(before.Main)
	b.ReportMetric(float64(main.Waited)/commands, "pool-wait-ns/op")
	b.ReportMetric(float64(main.Timeouts)/commands, "pool-timeouts/op")
	b.ReportMetric(1000*float64(after.Dials-before.Dials)/commands, "dials/1000-op")
	if r.Info().Real() { // a stand-in works in this process
		b.ReportMetric(float64(t.CPU)/commands, "client-cpu-ns/op")
	}
	if used, err := r.CPU(); err == nil && serverErr == nil {
		b.ReportMetric(float64(used-server)/commands, "server-cpu-ns/op")
	}
}

// monitorEvery is the interval of the monitor whose cost is measured.
const monitorEvery = 20 * time.Millisecond

// monitorCost is what watching one pool costs. An alert of these limits is no failure:
// half of a pool is closed whenever its callers pause.
func monitorCost(tb testing.TB, r *services.Redis, rounds, pairs int, slice time.Duration) pools.Cost {
	tb.Helper()
	p := open(tb, r.Options(), redis.Recommended())
	limits := redis.RecommendedLimits()
	limits.Every = monitorEvery
	taken := 0
	c, err := pools.CostOf(tb.Context(), rounds, pairs, pools.Load{Workers: benchWorkers, For: slice}, p.Do, func() (func(), error) {
		m, err := p.Watch(tb.Context(), limits, func(pools.Alert) {})
		return func() {
			m.Stop()
			_, n := m.Last()
			taken += n
		}, err
	})
	require.NoError(tb, err)
	// One sample at the begin of each slice would be no watching.
	require.Greater(tb, taken, 2*2*rounds*pairs, "the monitor hardly sampled")
	return c
}
