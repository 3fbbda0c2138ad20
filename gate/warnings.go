package gate

import (
	"fmt"
	"math"
	"slices"

	"github.com/aclements/go-moremath/stats"
)

const (
	// stealWarning is the share of the time that the host may take before it is
	// told of.
	stealWarning = 0.05

	// driftLevel is the level of the test for drift: of so many rows without
	// any, one is warned about.
	driftLevel = 0.01

	// fewestOfTwo is how many rounds there have to be on either side of a gap
	// that tells of two modes, and gapOfTwo how wide it is as a multiple of the
	// wider side.
	fewestOfTwo = 3
	gapOfTwo    = 1.5
)

// warnings are what makes the rounds look unlike independent draws.
func (t *track) warnings(d []float64) []string {
	var all []string
	if rho, p := drift(d); p <= driftLevel {
		all = append(all, fmt.Sprintf("drift: the difference changes over the rounds (rank correlation %+.2f, p %.3g)", rho, p))
	}
	if lo, hi, ok := twoModes(d); ok {
		all = append(all, fmt.Sprintf("bimodal: some rounds lie around %s, the others around %s", percent(math.Expm1(lo)), percent(math.Expm1(hi))))
	}
	worst, limited := 0.0, 0
	for _, r := range t.rounds {
		for _, s := range r.Samples {
			if s == nil || s.Result == nil {
				continue
			}
			if s.Steal != nil {
				worst = max(worst, *s.Steal)
			}
			if s.Limit == "generator" {
				limited++
				break
			}
		}
	}
	if worst > stealWarning {
		all = append(all, fmt.Sprintf("steal: the host took up to %.0f %% of the time of a round", 100*worst))
	}
	if limited > 0 {
		all = append(all, fmt.Sprintf("generator: it was the limit in %d of %d rounds", limited, len(t.rounds)))
	}
	return all
}

// drift is Spearman's rank correlation of d with the number of the round, and its
// two-sided p-value by Student's approximation (Zar, Journal of the American
// Statistical Association 67, 1972), which is near enough for a warning. Without
// five rounds there is none.
func drift(d []float64) (rho, p float64) {
	n := float64(len(d))
	if n < 5 {
		return 0, 1
	}
	rounds := make([]float64, len(d))
	for i := range rounds {
		rounds[i] = float64(i)
	}
	rho = correlation(midranks(d), midranks(rounds))
	switch {
	case math.IsNaN(rho): // all alike
		return 0, 1
	case math.Abs(rho) >= 1:
		return rho, 0
	}
	t := math.Abs(rho) * math.Sqrt((n-2)/(1-rho*rho))
	return rho, 2 * (1 - stats.TDist{V: n - 2}.CDF(t))
}

// midranks returns the rank of each value, equal ones sharing their mean.
func midranks(values []float64) []float64 {
	ranks := make([]float64, len(values))
	for i, v := range values {
		below, same := 0, 0
		for _, w := range values {
			switch {
			case w < v:
				below++
			case w == v:
				same++
			}
		}
		ranks[i] = float64(below) + float64(same+1)/2
	}
	return ranks
}

// correlation is Pearson's, not a number if one side does not vary.
func correlation(a, b []float64) float64 {
	meanA, meanB := stats.Mean(a), stats.Mean(b)
	var ab, aa, bb float64
	for i := range a {
		ab += (a[i] - meanA) * (b[i] - meanB)
		aa += (a[i] - meanA) * (a[i] - meanA)
		bb += (b[i] - meanB) * (b[i] - meanB)
	}
	return ab / math.Sqrt(aa*bb)
}

// twoModes looks for a gap in d that splits it in two groups, each with some
// rounds and narrower than the gap. Lo and hi are the groups' means.
func twoModes(d []float64) (lo, hi float64, ok bool) {
	sorted := slices.Sorted(slices.Values(d))
	best := 0.0
	for at := fewestOfTwo; at <= len(sorted)-fewestOfTwo; at++ {
		gap := sorted[at] - sorted[at-1]
		below, above := sorted[at-1]-sorted[0], sorted[len(sorted)-1]-sorted[at]
		if gap > best && gap > gapOfTwo*max(below, above) {
			best, ok = gap, true
			lo, hi = stats.Mean(sorted[:at]), stats.Mean(sorted[at:])
		}
	}
	return lo, hi, ok
}

// percent prints a share with its sign.
func percent(share float64) string { return fmt.Sprintf("%+.1f %%", 100*share) }
