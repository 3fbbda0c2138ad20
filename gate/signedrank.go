package gate

import (
	"cmp"
	"math"
	"slices"
)

// SignedRank is the exact one-sided p-value of Wilcoxon's signed rank test: the
// probability, if d is symmetric about zero, of a sum of ranks of its positive
// values that is at least as large as the one found. It is small if d lies above
// zero, and 1 if d has no value but zeros, which are left out.
//
// Equal magnitudes share the mean of their ranks, and the distribution is the one
// of just those ranks under all 2^n assignments of signs, so it is exact with ties
// too (Hollander, Wolfe, Chicken, Nonparametric Statistical Methods, 3rd edition,
// section 3.1). d must have no NaN.
func SignedRank(d []float64) float64 {
	ranks, positive := doubledRanks(d)
	tail := 0.0
	for sum, p := range signDistribution(ranks) {
		if sum >= positive {
			tail += p
		}
	}
	return min(tail, 1)
}

// doubledRanks returns twice the ranks of the magnitudes of d without zeros, so
// that means of ranks are whole numbers, and the sum of those of positive values.
func doubledRanks(d []float64) (ranks []int, positive int) {
	d = slices.DeleteFunc(slices.Clone(d), func(v float64) bool { return v == 0 })
	slices.SortFunc(d, func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) })
	ranks = make([]int, len(d))
	for from := 0; from < len(d); {
		to := from + 1
		for to < len(d) && math.Abs(d[to]) == math.Abs(d[from]) {
			to++
		}
		for i := from; i < to; i++ {
			ranks[i] = from + to + 1 // twice the mean of from+1 ... to
			if d[i] > 0 {
				positive += ranks[i]
			}
		}
		from = to
	}
	return ranks, positive
}

// signDistribution returns the probability of each sum of those ranks whose sign
// is positive, if every sign is a fair coin.
func signDistribution(ranks []int) []float64 {
	total := 0
	for _, r := range ranks {
		total += r
	}
	p := make([]float64, total+1)
	p[0] = 1
	reached := 0
	for _, r := range ranks {
		reached += r
		for sum := reached; sum >= 0; sum-- {
			p[sum] /= 2
			if sum >= r {
				p[sum] += p[sum-r] / 2
			}
		}
	}
	return p
}
