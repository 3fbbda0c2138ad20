package gate

import (
	"math"
	"slices"
)

// walsh returns the means of all pairs of values of d, each with itself too, in
// ascending order.
func walsh(d []float64) []float64 {
	means := make([]float64, 0, len(d)*(len(d)+1)/2)
	for i, a := range d {
		for _, b := range d[i:] {
			means = append(means, a/2+b/2)
		}
	}
	slices.Sort(means)
	return means
}

// HodgesLehmann estimates the centre of symmetry of d: the median of the means of
// all pairs (Hodges and Lehmann, Annals of Mathematical Statistics 34, 1963). One
// wild value moves it little. It is not a number if d is empty.
func HodgesLehmann(d []float64) float64 {
	means := walsh(d)
	n := len(means)
	if n == 0 {
		return math.NaN()
	}
	return means[(n-1)/2]/2 + means[n/2]/2
}

// Bounds returns the confidence bounds of the centre of symmetry of d that belong
// to the signed rank test: each alone is on the wrong side of the centre with a
// probability of at most alpha (0 < alpha < 1). Where d is too small for that,
// they are infinite. Source: Hollander, Wolfe, Chicken, section 3.3.
func Bounds(d []float64, alpha float64) (lo, hi float64) {
	means := walsh(d)
	j := boundRank(len(d), alpha)
	if j > len(means) {
		return math.Inf(-1), math.Inf(1)
	}
	return means[len(means)-j], means[j-1]
}

// boundRank is the least j for which a sum of n signed ranks is j or more with a
// probability of at most alpha; the j-th smallest mean of pairs is then an upper
// bound. It is one more than there are means if there is none.
func boundRank(n int, alpha float64) int {
	ranks := make([]int, n)
	for i := range ranks {
		ranks[i] = i + 1
	}
	p := signDistribution(ranks)
	tail := 0.0
	for sum := len(p) - 1; sum >= 0; sum-- {
		tail += p[sum]
		if tail > alpha {
			return sum + 1
		}
	}
	return 0
}
