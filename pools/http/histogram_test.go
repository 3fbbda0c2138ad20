package httppool

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestHistogramBucketsFollowEachOtherWithoutGapOrOverlap(t *testing.T) {
	for b := 1; b < buckets; b++ {
		assert.Equal(t, b, bucketOf(longestOf(b)), "the longest time of bucket %d", b)
		assert.Equal(t, b, bucketOf(longestOf(b-1)+1), "the shortest time of bucket %d", b)
	}
	assert.Equal(t, 0, bucketOf(-time.Second))
	assert.Equal(t, buckets-1, bucketOf(100*time.Hour))
	assert.Equal(t, time.Duration(1<<topBits-1), longestOf(buckets-1))
}

func TestHistogramQuantilesAreWithinABucketOfTheTruth(t *testing.T) {
	var h Histogram
	const n = 10000
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	assert.Equal(t, int64(n), h.Count())
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 1} {
		got, ok := h.Quantile(q)
		assert.True(t, ok)
		truth := time.Duration(q*n) * time.Microsecond
		assert.GreaterOrEqual(t, got, truth, "quantile %v", q)
		assert.LessOrEqual(t, float64(got), 1.0626*float64(truth), "quantile %v", q)
	}
	least, _ := h.Quantile(-1)
	assert.InEpsilon(t, time.Microsecond, least, 0.0626)
}

func TestHistogramSubIsWhatWasAdded(t *testing.T) {
	var h Histogram
	h.add(time.Millisecond)
	before := h
	h.add(time.Second)
	d := h.Sub(&before)
	assert.Equal(t, int64(1), d.Count())
	got, _ := d.Quantile(0.5)
	assert.InEpsilon(t, time.Second, got, 0.0626)
	_, ok := before.Quantile(2)
	assert.True(t, ok)
	none := h.Sub(&h)
	_, ok = none.Quantile(0.5)
	assert.False(t, ok, "nothing has no quantile")
}
