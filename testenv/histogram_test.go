package testenv

import (
	"encoding/json"
	"math"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHistogramKeepsCountsAndBounds(t *testing.T) {
	h := fromRuntime(&metrics.Float64Histogram{
		Counts:  []uint64{2, 0, 5, 3},
		Buckets: []float64{math.Inf(-1), 0.001, 0.002, 0.004, math.Inf(1)},
	})
	want := Histogram{Buckets: []Bucket{
		{AtMost: time.Millisecond, Count: 2},
		{AtMost: 4 * time.Millisecond, Count: 5},
		{AtMost: 4 * time.Millisecond, Count: 3}, // above, without a bound
	}}
	assert.Equal(t, want, h)
	assert.EqualValues(t, 10, h.Count())

	text, err := json.Marshal(h)
	require.NoError(t, err, "no infinity is left in it")
	var back Histogram
	require.NoError(t, json.Unmarshal(text, &back))
	assert.Equal(t, h, back)
}

func TestHistogramQuantileIsTheBoundOfItsBucket(t *testing.T) {
	h := Histogram{Buckets: []Bucket{{1, 50}, {2, 49}, {8, 1}}}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 1, 0.501: 2, 0.99: 2, 0.991: 8, 1: 8} {
		got, ok := h.Quantile(q)
		assert.True(t, ok)
		assert.Equal(t, want, got, "q=%v", q)
	}
	_, ok := Histogram{}.Quantile(0.5)
	assert.False(t, ok, "nothing has no quantile")
}

func TestHistogramSubIsWhatWasAdded(t *testing.T) {
	earlier := Histogram{Buckets: []Bucket{{1, 5}, {4, 2}}}
	later := Histogram{Buckets: []Bucket{{1, 5}, {2, 7}, {4, 3}}}
	assert.Equal(t, Histogram{Buckets: []Bucket{{2, 7}, {4, 1}}}, later.Sub(earlier))
	assert.Equal(t, later, later.Sub(Histogram{}))
	assert.Zero(t, later.Sub(later).Count())
}

func TestRuntimeKnowsEveryMetricThatIsRead(t *testing.T) {
	known := map[string]bool{}
	for _, d := range metrics.All() {
		known[d.Name] = true
	}
	for _, name := range metricNames {
		assert.True(t, known[name], name)
	}
	runtime.GC()
	r := readRuntime()
	assert.Positive(t, r.Goroutines)
	assert.Positive(t, r.Mallocs)
	assert.Greater(t, r.TotalCPU, r.IdleCPU)
	assert.Positive(t, r.HeapGoal)
	assert.Positive(t, r.Latencies.Count(), "goroutines have waited to run")
	assert.LessOrEqual(t, r.GCAssistCPU+r.GCIdleCPU, r.GCCPU, "both are parts of it")
}

func TestGCShareIsCollectionOverCPUTimeUsed(t *testing.T) {
	a := Snapshot{Runtime: Runtime{GCCPU: 1}, Rusage: &Rusage{User: 2 * time.Second, System: time.Second}}
	b := Snapshot{Runtime: Runtime{GCCPU: 1.5}, Rusage: &Rusage{User: 4 * time.Second, System: 3 * time.Second}}
	share, ok := b.GCShare(a)
	assert.True(t, ok)
	assert.InDelta(t, 0.125, share, 1e-9)
	_, ok = a.GCShare(a)
	assert.False(t, ok, "no time was used")
	_, ok = b.GCShare(Snapshot{})
	assert.False(t, ok, "no time is known")
}
