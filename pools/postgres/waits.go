package postgres

import (
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"netbench/pools"
)

// Percentiles are shown from as many samples on as make ten beyond them.
const (
	fewestForP50 = 20
	fewestForP99 = 1000
)

// Waits is how long callers took to get a connection: those who found one idle,
// those who had to wait or to open one, and those who gave up.
type Waits struct {
	N   int64         // how many asked
	P50 time.Duration // pools.Absent if fewer than 20 asked
	P99 time.Duration // pools.Absent if fewer than 1,000 asked
	Max time.Duration
}

func (w Waits) String() string {
	show := func(d time.Duration) string {
		if d == pools.Absent {
			return "too few"
		}
		return d.Round(time.Microsecond).String()
	}
	return fmt.Sprintf("%d acquisitions, p50 %s, p99 %s, max %s", w.N, show(w.P50), show(w.P99), show(w.Max))
}

// SummarizeWaits reads Waits off a histogram of nanoseconds.
func SummarizeWaits(h *hdrhistogram.Histogram) Waits {
	w := Waits{N: h.TotalCount(), P50: pools.Absent, P99: pools.Absent}
	if w.N > 0 {
		w.Max = time.Duration(h.Max())
	}
	if w.N >= fewestForP50 {
		w.P50 = time.Duration(h.ValueAtPercentile(50))
	}
	if w.N >= fewestForP99 {
		w.P99 = time.Duration(h.ValueAtPercentile(99))
	}
	return w
}

// Bounds of the histogram; longer waits count as the longest.
const (
	shortestWait = 100 * time.Nanosecond
	longestWait  = 10 * time.Minute
)

// waits records how long callers wait, from any number of goroutines.
type waits struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

func newWaits() *waits {
	return &waits{h: hdrhistogram.New(int64(shortestWait), int64(longestWait), 3)}
}

func (w *waits) record(d time.Duration) {
	ns := int64(min(max(d, shortestWait), longestWait))
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.h.RecordValue(ns) // which is within bounds
}

// snapshot is a copy.
func (w *waits) snapshot() *hdrhistogram.Histogram {
	w.mu.Lock()
	defer w.mu.Unlock()
	return hdrhistogram.Import(w.h.Export())
}

// reset begins anew.
func (w *waits) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.h.Reset()
}
