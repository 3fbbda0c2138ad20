package redis_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/load"
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
		var ratios, cpu float64
		for range b.N {
			c := monitorCost(b, r, 4, 2, 125*time.Millisecond)
			ratios += c.ratio.Mean
			cpu += c.on
		}
		b.ReportMetric(ratios/float64(b.N), "cpu-on/off")
		b.ReportMetric(cpu/float64(b.N), "gen-cpu-ns/op")
		b.ReportMetric(0, "ns/op") // an iteration is a fixed time
	})
}

// What one sample of the monitor takes, with its judgement.
func BenchmarkSample(b *testing.B) { benchmarkSample(b, benchServer(b)) }

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
	}{{50, 1, "p50-ns"}, {99, 1_000, "p99-ns"}, {99.9, 10_000, "p99.9-ns"}} {
		if t.RoundTrips.TotalCount() >= q.samples {
			b.ReportMetric(float64(t.RoundTrips.ValueAtPercentile(q.percentile)), q.unit)
		}
	}
	main := after.Main.Since(before.Main)
	b.ReportMetric(float64(main.Waited)/commands, "pool-wait-ns/op")
	b.ReportMetric(float64(main.Timeouts)/commands, "pool-timeouts/op")
	if r.Info().Real() { // a stand-in works in this process
		b.ReportMetric(float64(t.CPU)/commands, "gen-cpu-ns/op")
	}
	if used, err := r.CPU(); err == nil && serverErr == nil {
		b.ReportMetric(float64(used-server)/commands, "server-cpu-ns/op")
	}
}

// monitorEvery is the interval of the monitor whose cost is measured.
const monitorEvery = 10 * time.Millisecond

// cost is what a monitor costs.
type cost struct {
	ratio   load.Ratio // CPU time per pair with the monitor over that without
	on, off float64    // CPU time per command, ns
	alerts  int        // that the monitor raised
}

// monitorCost drives one pool with its monitor on and off, in rounds of slices in
// the order on, off, off, on.
func monitorCost(tb testing.TB, r *services.Redis, rounds, slices int, slice time.Duration) cost {
	tb.Helper()
	p := open(tb, r.Options(), redis.Recommended())
	limits := redis.RecommendedLimits()
	limits.Every = monitorEvery
	var c cost
	l := pools.Load{Workers: benchWorkers, For: slice}
	drive := func(on bool, sum *pools.Outcome) {
		if on {
			m, err := p.Watch(tb.Context(), limits, func(pools.Alert) { c.alerts++ })
			require.NoError(tb, err)
			defer m.Stop() // when the CPU time was taken
		}
		o, err := pools.Drive(tb.Context(), l, p.Do)
		require.NoError(tb, err)
		require.Zero(tb, o.Failed, "%v", o.First)
		sum.Done += o.Done
		sum.CPU += o.CPU
	}
	drive(false, &pools.Outcome{}) // warms up
	var ons, offs []*pools.Outcome
	for range rounds {
		on, off := &pools.Outcome{}, &pools.Outcome{}
		for i := range slices {
			first := i%2 == 0
			for _, now := range []bool{first, !first} {
				if now {
					drive(true, on)
				} else {
					drive(false, off)
				}
			}
		}
		ons, offs = append(ons, on), append(offs, off)
		c.on += on.CPUPerOp() / 2 / float64(rounds)
		c.off += off.CPUPerOp() / 2 / float64(rounds)
	}
	c.ratio = pools.RatioOf((*pools.Outcome).CPUPerOp, offs, ons)
	return c
}
