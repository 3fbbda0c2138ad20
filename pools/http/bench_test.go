package httppool_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/internal/cpu"
	"netbench/load"
	"netbench/pools"
	httppool "netbench/pools/http"
	"netbench/results"
	"netbench/testenv"
)

// atOnce is the number of requests at once of all benchmarks.
const atOnce = 100

// place keeps this process off the server's CPUs.
var place = sync.OnceValues(func() (testenv.Placement, error) {
	p, err := testenv.Place()
	if err == nil {
		err = testenv.PinSelf(p.Generator)
	}
	return p, err
})

func placed(t testing.TB) testenv.Placement {
	t.Helper()
	p, err := place()
	require.NoError(t, err)
	return p
}

// over starts the server of a protocol, on its own CPUs.
func over(t testing.TB, protocol string) target {
	t.Helper()
	p := placed(t)
	if protocol == "tls" {
		return startTLS(t, p.Server, tlsSpec{})
	}
	return startTCP(t, p.Server)
}

// P1: 100 requests at once by HTTP/1.1 with the recommended settings, the default
// transport, and settings that are wrong. An operation is one request.
func BenchmarkRequests(b *testing.B) {
	for _, protocol := range []string{"tcp", "tls"} {
		b.Run("over="+protocol, func(b *testing.B) {
			to := over(b, protocol)
			for _, c := range contenders(b, to) {
				warm := false
				b.Run("pool="+c.name+"/conc=100", func(b *testing.B) {
					if !warm {
						warm = true
						_, err := pools.Drive(b.Context(), pools.Load{Workers: atOnce, For: 200 * time.Millisecond}, c.do)
						require.NoError(b, err)
						b.Log(results.FactLine("server-cpus", cpu.Format(placed(b).Server)))
						b.Log(results.FactLine("generator-cpus", cpu.Format(placed(b).Generator)))
					}
					before := c.client.Stats()
					b.ResetTimer()
					o := drive(b, b.N, c.do)
					b.StopTimer()
					now := c.client.Stats()
					report(b, o, now.Sub(&before))
				})
			}
		})
	}
}

// drive makes n calls.
func drive(b *testing.B, n int, do func(context.Context) error) *pools.Outcome {
	b.Helper()
	o, err := pools.Drive(b.Context(), pools.Load{Workers: atOnce, For: time.Hour, Calls: int64(n)}, do)
	require.NoError(b, err)
	if o.Failed > 0 {
		b.Fatalf("%d of %d requests failed: %v", o.Failed, o.Failed+o.Done, o.First)
	}
	return o
}

// report reports what came of n requests. Percentiles need as many of them as
// load's rule asks for.
func report(b *testing.B, o *pools.Outcome, s httppool.Stats) {
	b.Helper()
	b.ReportMetric(1e9/o.Rate(), "ns/op")
	b.ReportMetric(o.Rate(), "req/s")
	b.ReportMetric(o.CPUPerOp(), "client-cpu-ns/op")
	if o.Done >= 20 {
		b.ReportMetric(float64(o.P(50)), "p50-ns")
	}
	if o.Done >= 1000 {
		b.ReportMetric(float64(o.P(99)), "p99-ns")
		if wait, ok := s.Wait.Quantile(0.99); ok {
			b.ReportMetric(float64(wait), "wait-p99-ns")
		}
	}
	if per, ok := s.Per1000(s.Dials); ok {
		b.ReportMetric(per, "dials/1000-op")
	}
	if per, ok := s.Per1000(s.Handshakes); ok && s.Handshakes > 0 {
		b.ReportMetric(per, "handshakes/1000-op")
	}
	if share, ok := s.ReuseShare(); ok {
		b.ReportMetric(100*share, "reuse-%")
	}
}

// What counting and watching cost: a plain transport beside one that is counted, and
// one that is counted beside itself watched, in turn. An operation is a whole
// comparison; a metric is what is added to the client's CPU time by request.
func BenchmarkMonitor(b *testing.B) {
	for _, protocol := range []string{"tcp", "tls"} {
		b.Run("over="+protocol+"/conc=100", func(b *testing.B) {
			to := over(b, protocol)
			var counting load.Ratio
			var monitor pools.Cost
			for b.Loop() {
				counting = countingCost(b, to, 6, 2, 100*time.Millisecond)
				monitor = monitorCost(b, to, 6, 2, 100*time.Millisecond)
			}
			b.ReportMetric(0, "ns/op") // says nothing
			b.ReportMetric(100*(counting.Mean-1), "counting-cpu-%")
			b.ReportMetric(100*(monitor.Mean-1), "monitor-cpu-%")
			b.Logf("counted / plain transport, client CPU by request: %v", counting)
			b.Logf("monitor on / off, client CPU by request: %v", monitor.Ratio)
		})
	}
}

// What one sample of a monitor costs.
func BenchmarkStats(b *testing.B) {
	s := httppool.Recommended()
	c, err := httppool.New(s)
	require.NoError(b, err)
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Stats()
	}
}
