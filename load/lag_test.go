package load_test

import (
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/load"
)

// spread is a histogram of n values, of which one in 50 is rare.
func spread(t *testing.T, n int, often, rare time.Duration) *hdrhistogram.Histogram {
	h := hdrhistogram.New(1, int64(time.Hour), 3)
	for i := range n {
		v := often
		if i%50 == 0 {
			v = rare
		}
		require.NoError(t, h.RecordValue(int64(v)))
	}
	return h
}

func TestAQuantileThatTheGeneratorMayHaveMadeIsLeftOut(t *testing.T) {
	const n = 2000
	latencies := spread(t, n, time.Millisecond, 20*time.Millisecond)
	for name, c := range map[string]struct {
		lags     *hdrhistogram.Histogram
		p50, p99 bool
		late     int
	}{
		"never late":                       {spread(t, n, time.Microsecond, time.Microsecond), true, true, 0},
		"late now and then, by 4 % of p99": {spread(t, n, time.Microsecond, 800*time.Microsecond), true, true, 0},
		"late now and then, by 6 % of p99": {spread(t, n, time.Microsecond, 1200*time.Microsecond), true, false, 1},
		"by 20 % of p50, but 200 µs":       {spread(t, n, 199*time.Microsecond, 199*time.Microsecond), true, true, 0},
		"always late":                      {spread(t, n, 300*time.Microsecond, 300*time.Microsecond), false, true, 2},
		"no lag is known":                  {nil, true, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			q, late := load.WithoutLate(latencies, c.lags)
			assert.Equal(t, c.p50, q.P50 != nil)
			assert.Equal(t, c.p99, q.P99 != nil)
			assert.Nil(t, q.P999, "of 2,000 samples")
			assert.Len(t, late, c.late, "p50 and p90 are alike: %v", late)
			assert.EqualValues(t, n, q.Count)
		})
	}
	q, late := load.WithoutLate(nil, nil)
	assert.Nil(t, q)
	assert.Empty(t, late)
}
