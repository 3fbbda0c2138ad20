package postgres_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/postgres"
	"netbench/results"
	"netbench/testenv/services"
)

// lookups makes n calls by many workers.
func lookups(b *testing.B, n int64, do func(context.Context) error) *pools.Outcome {
	b.Helper()
	o, err := pools.Drive(b.Context(), pools.Load{Workers: manyWorkers, For: time.Hour, Calls: n}, do)
	if err == nil {
		err = o.First
	}
	if err != nil {
		b.Fatal(err)
	}
	return o
}

// tell puts what decides the figures of a server before all results.
func tell(server *services.Postgres) {
	info := server.Info()
	fmt.Println(results.FactLine("postgres-server", fmt.Sprintf("%s by %s, fsync=%s, synchronous_commit=%s, full_page_writes=%s",
		info.Version, info.Rung, info.Settings["fsync"], info.Settings["synchronous_commit"], info.Settings["full_page_writes"])))
}

// P2: 100 workers that look rows up through pools of several settings.
func BenchmarkPostgresPool(b *testing.B) {
	server, _ := roomy(b)
	tell(server)
	dsn := template(b, server, manyRows).DSN()
	for _, c := range contenders {
		b.Run(c.name+"/workers=100", func(b *testing.B) {
			if c.absent != "" {
				b.Skip(c.absent)
			}
			p := c.start(b, dsn, manyRows)
			lookups(b, 1000, p.Do) // so that connections are open
			p.ForgetWaits()
			dials := p.Stats().Dials
			b.ResetTimer()
			o := lookups(b, int64(b.N), p.Do)
			b.StopTimer()
			b.ReportMetric(o.CPUPerOp(), "client-cpu-ns/op")
			b.ReportMetric(o.Rate(), "req/s")
			b.ReportMetric(1000*float64(p.Stats().Dials-dials)/float64(b.N), "dials/1000-op")
			for _, m := range []struct {
				h    *hdrhistogram.Histogram
				p    float64
				unit string
			}{{o.Latency, 50, "p50-ns"}, {o.Latency, 99, "p99-ns"}, {p.Waits(), 99, "wait-p99-ns"}} {
				if v, enough := percentile(m.h, m.p); enough {
					b.ReportMetric(v, m.unit)
				}
			}
		})
	}
}

// What it costs to watch the recommended pool, 300 times as often as by default. An
// operation is a whole comparison.
func BenchmarkPostgresMonitor(b *testing.B) {
	server, _ := roomy(b)
	tell(server)
	b.Run("driver=pq/pool=all-kept/workers=100", func(b *testing.B) {
		dsn := template(b, server, manyRows).DSN()
		var c pools.Cost
		for b.Loop() {
			c = monitorCost(b, dsn, 4, 2, 250*time.Millisecond)
		}
		b.ReportMetric(0, "ns/op") // says nothing
		b.ReportMetric(c.Mean, "cpu-on/off")
		b.ReportMetric(pools.Merge(c.On).CPUPerOp(), "client-cpu-ns/op")
	})
}

// monitorCost is what watching a pool costs that keeps all of its connections.
func monitorCost(t testing.TB, dsn string, rounds, pairs int, slice time.Duration) pools.Cost {
	t.Helper()
	p := open(t, dsn, keepAll()).Lookups(manyRows)
	limits := postgres.DefaultLimits()
	limits.Every = often
	limits.Turnover = math.MaxFloat64
	taken := 0
	c, err := pools.CostOf(t.Context(), rounds, pairs, pools.Load{Workers: manyWorkers, For: slice}, p.Do, func() (func(), error) {
		m, err := p.Watch(t.Context(), limits, func(pools.Alert) {})
		return func() {
			m.Stop()
			_, n := m.Last()
			taken += n
		}, err
	})
	require.NoError(t, err)
	// One sample at the begin of each slice would be no watching.
	require.Greater(t, taken, 2*2*rounds*pairs, "the monitor hardly sampled")
	return c
}
