package httppool

import (
	"math"
	"math/bits"
	"time"
)

// A Histogram counts times in buckets, of which each power of two has sixteen, so
// that a bucket is at most 6.25 % wide; below 16 ns each nanosecond has one. It is
// a value: a copy is a snapshot.
type Histogram struct {
	counts [buckets]int64
}

const (
	subBits = 4  // sixteen buckets for each power of two
	topBits = 40 // the last bucket begins below 2^40 ns, 18 minutes
	buckets = (topBits - subBits + 1) << subBits
)

// bucketOf is the bucket of a time. Times below 0 count as 0, and those of 2^40 ns
// and more as the longest below.
func bucketOf(d time.Duration) int {
	v := uint64(min(max(d, 0), 1<<topBits-1))
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return (shift+1)<<subBits + int(v>>shift) - 1<<subBits
}

// longestOf is the longest time of a bucket.
func longestOf(bucket int) time.Duration {
	if bucket < 1<<subBits {
		return time.Duration(bucket)
	}
	shift := bucket>>subBits - 1
	return time.Duration(uint64(bucket&(1<<subBits-1)+1<<subBits+1)<<shift - 1)
}

func (h *Histogram) add(d time.Duration) { h.counts[bucketOf(d)]++ }

// Count is the number of times.
func (h *Histogram) Count() int64 {
	var n int64
	for _, c := range h.counts {
		n += c
	}
	return n
}

// Sub is what was added since an earlier state of the same histogram.
func (h *Histogram) Sub(earlier *Histogram) Histogram {
	var d Histogram
	for i, c := range h.counts {
		d.counts[i] = c - earlier.counts[i]
	}
	return d
}

// Quantile is the longest time of the bucket that holds the q-quantile by nearest
// rank, q from 0 to 1. ok is false for an empty histogram.
func (h *Histogram) Quantile(q float64) (d time.Duration, ok bool) {
	total := h.Count()
	if total == 0 {
		return 0, false
	}
	rank := max(1, int64(math.Ceil(min(1, max(0, q))*float64(total))))
	for i, c := range h.counts {
		if rank -= c; rank <= 0 {
			return longestOf(i), true
		}
	}
	return 0, false
}
