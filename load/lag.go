package load

import (
	"cmp"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// AnyLag is a Thresholds.SendLag that makes no run invalid, for whoever judges its
// latencies by [WithoutLate].
const AnyLag = time.Duration(histMax)

// Limits of the generator's lag at one quantile of latency.
const (
	lagShare = 0.05
	lagLimit = 200 * time.Microsecond
)

// WithoutLate are the quantiles of an open loop's latencies, but for those that the
// generator itself may have made, and why each of these is left out: its lag at the
// same quantile is above 5 % of it, and above 200 µs. Latencies and lags are those of
// [Result.Histogram] and [Result.SendLagHistogram], of one run or of several merged.
//
// By default a run is judged as a whole, the p99 of the lag by the median latency,
// which is right where latencies are alike. Where a server stands still now and then
// its p99 is hundreds of times the median, and a lag that is far above 5 % of the one
// may be nothing beside the other. Whatever the lag, it only adds: the server's own
// quantile is not above the one measured.
func WithoutLate(latencies, lags *hdrhistogram.Histogram) (q *Quantiles, late []string) {
	q, lag := quantiles(latencies), quantiles(lags)
	if q == nil || lag == nil {
		return q, nil
	}
	for _, f := range []struct {
		name string
		of   **int64
		lag  *int64
	}{{"p50", &q.P50, lag.P50}, {"p90", &q.P90, lag.P90}, {"p99", &q.P99, lag.P99}, {"p99.9", &q.P999, lag.P999}} {
		if *f.of == nil {
			continue
		}
		bound := max(int64(lagLimit), int64(lagShare*float64(**f.of)))
		if v := cmp.Or(f.lag, lag.Max); v != nil && *v > bound {
			late = append(late, fmt.Sprintf("%s: the generator sent late, by %v at the same quantile, above %v", f.name, time.Duration(*v), time.Duration(bound)))
			*f.of = nil
		}
	}
	return q, late
}
