package gate

import (
	"math"
	"math/rand/v2"

	"github.com/aclements/go-moremath/mathx"
)

// Noise draws the differences of n rounds of a row whose true effect is none. Sd is
// their standard deviation, or, where a model has none of its own, that of the part
// that does not repeat.
type Noise struct {
	Name string
	Doc  string
	draw func(random *rand.Rand, sd float64, n int) []float64
}

// Noises are the models of noise that the decision is tried on.
var Noises = []Noise{
	{"normal", "independent normal rounds", func(random *rand.Rand, sd float64, n int) []float64 {
		return each(n, func(int) float64 { return sd * random.NormFloat64() })
	}},
	{"heavy-tailed", "independent rounds from Student's t with 3 degrees of freedom, scaled to the sd", func(random *rand.Rand, sd float64, n int) []float64 {
		return each(n, func(int) float64 {
			var chi2 float64
			for range 3 {
				z := random.NormFloat64()
				chi2 += z * z
			}
			return sd / math.Sqrt(3) * random.NormFloat64() / math.Sqrt(chi2/3)
		})
	}},
	{"bimodal", "each round in one of two modes, 1.8 sd apart, by a fair coin, with normal noise for the rest of the sd", func(random *rand.Rand, sd float64, n int) []float64 {
		const half = 0.9
		rest := sd * math.Sqrt(1-half*half)
		return each(n, func(int) float64 {
			mode := half * sd
			if random.IntN(2) == 0 {
				mode = -mode
			}
			return mode + rest*random.NormFloat64()
		})
	}},
	{"drifting", "normal rounds on a line that leads through zero in the middle, from end to end as far as 2 sd either way", func(random *rand.Rand, sd float64, n int) []float64 {
		slope := 2 * sd * (2*random.Float64() - 1)
		return each(n, func(i int) float64 {
			return slope*(2*float64(i)/float64(max(1, n-1))-1) + sd*random.NormFloat64()
		})
	}},
	{"autocorrelated", "a first-order autoregression with coefficient 0.5 and the sd", func(random *rand.Rand, sd float64, n int) []float64 {
		const again = 0.5
		fresh := sd * math.Sqrt(1-again*again)
		last := sd * random.NormFloat64()
		return each(n, func(int) float64 {
			last = again*last + fresh*random.NormFloat64()
			return last
		})
	}},
}

func each(n int, f func(i int) float64) []float64 {
	d := make([]float64, n)
	for i := range d {
		d[i] = f(i)
	}
	return d
}

// Tried is how a decision fared over many simulated gates.
type Tried struct {
	Noise  string
	Effect float64 // of the first row; the others have none
	Trials int

	Failed       int // gates in which some row failed
	Found        int // gates in which the first row failed
	Inconclusive int // gates in which no row failed and some could not be decided
}

// Simulate tries the decision on gates of so many rows and rounds under a model of
// noise, the first row being slower by effect.
func (r Rules) Simulate(noise Noise, trials, rows, rounds int, sd, effect float64, seed uint64) Tried {
	random := rand.New(rand.NewPCG(seed, uint64(len(noise.Name))))
	out := Tried{Noise: noise.Name, Effect: effect, Trials: trials}
	all := make([]series, rows)
	for range trials {
		for i := range all {
			all[i] = series{Timing, noise.draw(random, sd, rounds)}
		}
		for i := range all[0].d {
			all[0].d[i] += math.Log1p(effect)
		}
		failed, open := false, false
		for i, j := range r.verdicts(all) {
			switch {
			case j == Fail && i == 0:
				out.Found++
				failed = true
			case j == Fail:
				failed = true
			case j == Inconclusive:
				open = true
			}
		}
		switch {
		case failed:
			out.Failed++
		case open:
			out.Inconclusive++
		}
	}
	return out
}

// Share is k of n with the bounds of its 95 % confidence interval (Clopper and
// Pearson, Biometrika 26, 1934); each bound alone holds with 97.5 %.
func Share(k, n int) (share, lo, hi float64) {
	if n == 0 {
		return math.NaN(), 0, 1
	}
	return float64(k) / float64(n), binomialLower(k, n, 0.025), 1 - binomialLower(n-k, n, 0.025)
}

// ShareBelow is the one-sided upper bound of a share with a confidence.
func ShareBelow(k, n int, confidence float64) float64 {
	return 1 - binomialLower(n-k, n, 1-confidence)
}

// binomialLower is the p for which k or more of n has the probability alpha.
func binomialLower(k, n int, alpha float64) float64 {
	if k == 0 {
		return 0
	}
	lo, hi := 0.0, float64(k)/float64(n)
	for range 60 {
		// P(X >= k) is the regularized incomplete beta function at p.
		if p := lo/2 + hi/2; mathx.BetaInc(p, float64(k), float64(n-k+1)) < alpha {
			lo = p
		} else {
			hi = p
		}
	}
	return lo/2 + hi/2
}
