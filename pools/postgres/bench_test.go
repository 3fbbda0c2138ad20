package postgres_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"netbench/internal/cpu"
	"netbench/pools"
	"netbench/pools/postgres"
)

// drain lets workers perform n operations altogether, and returns how long each
// took, in nanoseconds.
func drain(b *testing.B, workers int, n int64, do func(context.Context) error) *hdrhistogram.Histogram {
	b.Helper()
	ctx, cancel := context.WithCancelCause(b.Context())
	defer cancel(nil)
	var (
		left atomic.Int64
		mu   sync.Mutex
		all  = hdrhistogram.New(1, int64(10*time.Minute), 3)
		done sync.WaitGroup
	)
	left.Store(n)
	for range workers {
		done.Go(func() {
			mine := hdrhistogram.New(1, int64(10*time.Minute), 3)
			for left.Add(-1) >= 0 && ctx.Err() == nil {
				began := time.Now()
				if err := do(ctx); err != nil {
					cancel(err)
					break
				}
				_ = mine.RecordValue(int64(time.Since(began))) // below ten minutes, or the test is over
			}
			mu.Lock()
			defer mu.Unlock()
			all.Merge(mine)
		})
	}
	done.Wait()
	if err := context.Cause(ctx); err != nil {
		b.Fatal(err)
	}
	return all
}

// P2: 100 workers that look rows up through pools of several settings.
func BenchmarkPostgresPool(b *testing.B) {
	server, _ := roomy(b)
	dsn := freshWith(b, server, manyRows)
	for _, c := range contenders {
		b.Run(c.name+"/workers=100", func(b *testing.B) {
			if c.absent != "" {
				b.Skip(c.absent)
			}
			p := c.start(b, dsn, manyRows)
			drain(b, manyWorkers, 1000, p.Do) // so that connections are open
			p.ForgetWaits()
			dials := p.Stats().Dials
			used := cpu.Used()
			b.ResetTimer()
			latency := drain(b, manyWorkers, int64(b.N), p.Do)
			b.StopTimer()
			b.ReportMetric(float64(cpu.Used()-used)/float64(b.N), "gen-cpu-ns/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
			b.ReportMetric(1000*float64(p.Stats().Dials-dials)/float64(b.N), "dials/1000-op")
			for _, m := range []struct {
				h    *hdrhistogram.Histogram
				p    float64
				unit string
			}{{latency, 50, "p50-ns"}, {latency, 99, "p99-ns"}, {p.Waits(), 99, "wait-p99-ns"}} {
				if v, enough := percentile(m.h, m.p); enough {
					b.ReportMetric(v, m.unit)
				}
			}
		})
	}
}

// What it costs to watch the recommended pool, 300 times as often as by default:
// CPU time of this process by lookup, of slices in turn with a monitor and
// without.
func BenchmarkPostgresMonitor(b *testing.B) {
	server, _ := roomy(b)
	c := contenders[0]
	b.Run(c.name+"/workers=100", func(b *testing.B) {
		p := c.start(b, freshWith(b, server, manyRows), manyRows)
		drain(b, manyWorkers, 1000, p.Do)
		limits := postgres.DefaultLimits()
		limits.Every = often
		const slice = 2000
		var used [2]time.Duration // without and with
		var lookups [2]int64
		b.ResetTimer()
		for i, left := 0, int64(b.N); left > 0; i++ {
			n := min(slice, left)
			left -= n
			with := (i + i/2) % 2 // ABBA
			before := cpu.Used()
			stop := func() {}
			if with == 1 {
				m, err := p.Watch(b.Context(), limits, func(pools.Alert) {})
				if err != nil {
					b.Fatal(err)
				}
				stop = m.Stop
			}
			drain(b, manyWorkers, n, p.Do)
			stop()
			used[with] += cpu.Used() - before
			lookups[with] += n
		}
		b.StopTimer()
		if lookups[1] == 0 || used[0] == 0 {
			return // a trial run
		}
		without := float64(used[0]) / float64(lookups[0])
		watched := float64(used[1]) / float64(lookups[1])
		b.ReportMetric(watched, "gen-cpu-ns/op")
		b.ReportMetric(watched/without, "cpu-on/off")
	})
}
