package gate

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// signedRankByHand goes through all sign patterns.
func signedRankByHand(d []float64) float64 {
	var a []float64
	for _, v := range d {
		if v != 0 {
			a = append(a, v)
		}
	}
	rank := func(i int) float64 {
		less, same := 0, 0
		for _, v := range a {
			switch {
			case math.Abs(v) < math.Abs(a[i]):
				less++
			case math.Abs(v) == math.Abs(a[i]):
				same++
			}
		}
		return float64(less) + float64(same+1)/2
	}
	found := 0.0
	for i, v := range a {
		if v > 0 {
			found += rank(i)
		}
	}
	asMuch := 0
	for pattern := range 1 << len(a) {
		sum := 0.0
		for i := range a {
			if pattern&(1<<i) != 0 {
				sum += rank(i)
			}
		}
		if sum >= found {
			asMuch++
		}
	}
	return float64(asMuch) / float64(int(1)<<len(a))
}

func TestSignedRankAgreesWithAllSignPatterns(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 11 {
		for range 40 {
			d := make([]float64, n)
			for i := range d {
				d[i] = random.NormFloat64() + 0.5
				if n%2 == 0 { // with ties and zeros
					d[i] = math.Round(2 * d[i])
				}
			}
			assert.InDelta(t, signedRankByHand(d), SignedRank(d), 1e-12, "%v", d)
		}
	}
}

// Upper tail critical values of the signed rank statistic, from Table A.4 of
// Hollander, Wolfe, Chicken: P(T >= t) for n values without ties.
func TestSignedRankAgreesWithPublishedTables(t *testing.T) {
	for _, tc := range []struct {
		n, t int
		p    float64
	}{
		{5, 15, 0.031}, {5, 14, 0.062}, {6, 21, 0.016}, {6, 19, 0.047}, {7, 28, 0.008}, {7, 25, 0.039},
		{8, 36, 0.004}, {8, 30, 0.055}, {9, 45, 0.002}, {9, 37, 0.049}, {10, 55, 0.001}, {10, 44, 0.053},
		{10, 50, 0.010}, {12, 61, 0.046}, {15, 90, 0.047}, {15, 101, 0.009},
	} {
		assert.InDelta(t, tc.p, SignedRank(withRankSum(tc.n, tc.t)), 0.0005+1e-9, "n %d, T %d", tc.n, tc.t)
	}
}

// withRankSum returns the values 1 to n with such signs that the positive ones sum
// up to sum.
func withRankSum(n, sum int) []float64 {
	d := make([]float64, n)
	for i := n; i >= 1; i-- {
		d[i-1] = -float64(i)
		if sum >= i {
			d[i-1], sum = float64(i), sum-i
		}
	}
	return d
}

func TestSignedRankOfNothingIsOne(t *testing.T) {
	assert.Equal(t, 1.0, SignedRank(nil))
	assert.Equal(t, 1.0, SignedRank([]float64{0, 0, 0}))
	assert.Equal(t, 1.0, SignedRank([]float64{-1, -2, -3}))
	assert.Equal(t, 1.0/8, SignedRank([]float64{1, 2, 3}))
}

func TestHodgesLehmannIsTheMedianOfPairMeans(t *testing.T) {
	assert.Equal(t, 2.0, HodgesLehmann([]float64{3, 1, 2}))
	assert.Equal(t, 1.5, HodgesLehmann([]float64{1, 2}))
	assert.Equal(t, 7.0, HodgesLehmann([]float64{7}))
	assert.True(t, math.IsNaN(HodgesLehmann(nil)))
	// One wild value of nine moves it by less than a spacing of the others.
	assert.InDelta(t, 5, HodgesLehmann([]float64{1, 2, 3, 4, 5, 6, 7, 8, 1e9}), 1)
}

func TestBoundsAreThoseOfTheInvertedTest(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := 5; n <= 15; n++ {
		d := make([]float64, n)
		for i := range d {
			d[i] = random.NormFloat64()
		}
		for _, alpha := range []float64{0.05, 0.025} {
			lo, hi := Bounds(d, alpha)
			if math.IsInf(hi, 1) {
				assert.Greater(t, math.Pow(2, -float64(n)), alpha)
				continue
			}
			below := func(centre float64) float64 { // p-value of "the centre is at least this"
				turned := make([]float64, n)
				for i, v := range d {
					turned[i] = centre - v
				}
				return SignedRank(turned)
			}
			assert.LessOrEqual(t, below(hi+1e-9), alpha, "just above the bound is rejected")
			assert.Greater(t, below(hi-1e-9), alpha, "just below it is not")
			assert.InDelta(t, 2*HodgesLehmann(d), lo+hi, 3, "the interval lies around the estimate")
			turned := slices.Clone(d)
			for i := range turned {
				turned[i] = -turned[i]
			}
			otherLo, otherHi := Bounds(turned, alpha)
			assert.InDelta(t, -hi, otherLo, 1e-12)
			assert.InDelta(t, -lo, otherHi, 1e-12)
		}
	}
}

func TestBoundsMissTheCentreNoMoreOftenThanTheyMay(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const trials, n, alpha = 20_000, 15, 0.05
	missed := 0
	d := make([]float64, n)
	for range trials {
		for i := range d {
			d[i] = random.NormFloat64()
		}
		if _, hi := Bounds(d, alpha); hi < 0 {
			missed++
		}
	}
	// Five standard deviations of a binomial count.
	assert.Less(t, float64(missed), trials*alpha+5*math.Sqrt(trials*alpha*(1-alpha)))
	assert.Greater(t, float64(missed), 0.5*trials*alpha, "bounds that are never wrong are too wide")
}

func TestHolmMultipliesByTheHypothesesThatAreLeft(t *testing.T) {
	assert.Equal(t, []float64{}, Holm(nil))
	assert.InDeltaSlice(t, []float64{0.03, 0.06, 0.06, 0.02}, Holm([]float64{0.01, 0.04, 0.03, 0.005}), 1e-12)
	assert.Equal(t, []float64{1, 1}, Holm([]float64{0.6, 0.7}))
	assert.Equal(t, []float64{0.25}, Holm([]float64{0.25}))
}

// Holm's rejections are those of the closed test whose intersections are tested by
// Bonferroni, which this goes through by brute force.
func TestHolmIsTheClosedTestOfBonferroni(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		p := make([]float64, 1+random.IntN(5))
		for i := range p {
			p[i] = random.Float64() * random.Float64() * 0.2
		}
		adjusted := Holm(p)
		for i := range p {
			worst := 0.0
			for set := 1; set < 1<<len(p); set++ {
				if set&(1<<i) == 0 {
					continue
				}
				least := 1.0
				for j := range p {
					if set&(1<<j) != 0 {
						least = min(least, p[j])
					}
				}
				worst = max(worst, min(1, least*float64(bits.OnesCount(uint(set)))))
			}
			assert.InDelta(t, worst, adjusted[i], 1e-12, "%v", p)
		}
	}
}
