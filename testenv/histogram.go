package testenv

import (
	"maps"
	"math"
	"runtime/metrics"
	"slices"
	"time"
)

// Histogram counts durations in buckets; empty buckets are left out.
type Histogram struct {
	Buckets []Bucket `json:"buckets"` // ascending
}

// Bucket counts the durations above the previous bound of the runtime's own
// buckets, which are about 12 % wide, and not above AtMost. In the last one,
// which has no bound, AtMost is its lower end.
type Bucket struct {
	AtMost time.Duration `json:"at_most_ns"`
	Count  uint64        `json:"count"`
}

// fromRuntime copies a histogram of seconds.
func fromRuntime(h *metrics.Float64Histogram) Histogram {
	var out Histogram
	for i, n := range h.Counts {
		if n == 0 {
			continue
		}
		bound := h.Buckets[i+1]
		if math.IsInf(bound, 1) {
			bound = h.Buckets[i]
		}
		out.Buckets = append(out.Buckets, Bucket{AtMost: time.Duration(math.Ceil(bound * 1e9)), Count: n})
	}
	return out
}

// Count is the number of durations.
func (h Histogram) Count() uint64 {
	var n uint64
	for _, b := range h.Buckets {
		n += b.Count
	}
	return n
}

// Add returns the durations of both.
func (h Histogram) Add(o Histogram) Histogram {
	counts := map[time.Duration]uint64{}
	for _, b := range slices.Concat(h.Buckets, o.Buckets) {
		counts[b.AtMost] += b.Count
	}
	var out Histogram
	for _, bound := range slices.Sorted(maps.Keys(counts)) {
		out.Buckets = append(out.Buckets, Bucket{AtMost: bound, Count: counts[bound]})
	}
	return out
}

// Sub returns what was added since an earlier state of the same histogram.
func (h Histogram) Sub(earlier Histogram) Histogram {
	before := map[time.Duration]uint64{}
	for _, b := range earlier.Buckets {
		before[b.AtMost] += b.Count
	}
	var out Histogram
	for _, b := range h.Buckets {
		if n := b.Count - min(b.Count, before[b.AtMost]); n > 0 {
			out.Buckets = append(out.Buckets, Bucket{AtMost: b.AtMost, Count: n})
		}
	}
	return out
}

// Quantile returns the upper bound of the bucket with the q-quantile, q from 0
// to 1, by nearest rank. ok is false for an empty histogram.
func (h Histogram) Quantile(q float64) (bound time.Duration, ok bool) {
	total := h.Count()
	if total == 0 {
		return 0, false
	}
	rank := uint64(math.Ceil(min(1, max(0, q)) * float64(total)))
	var seen uint64
	for _, b := range h.Buckets {
		if seen += b.Count; seen >= rank {
			return b.AtMost, true
		}
	}
	return h.Buckets[len(h.Buckets)-1].AtMost, true
}
