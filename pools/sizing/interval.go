package sizing

import (
	"math"

	"github.com/aclements/go-moremath/stats"
)

// An Interval is a mean over rounds with its confidence interval. With fewer than
// two rounds it has no bounds.
type Interval struct {
	Mean float64  `json:"mean"`
	Lo   *float64 `json:"lo,omitempty"`
	Hi   *float64 `json:"hi,omitempty"`
}

// bounds are those of the interval, infinite where it has none.
func (i Interval) bounds() (lo, hi float64) {
	lo, hi = math.Inf(-1), math.Inf(1)
	if i.Lo != nil {
		lo = *i.Lo
	}
	if i.Hi != nil {
		hi = *i.Hi
	}
	return lo, hi
}

// meanOf is the arithmetic mean with Student's interval, mean ± t·sd/√n.
func meanOf(values []float64, confidence float64) Interval {
	if len(values) < 2 {
		return Interval{Mean: stats.Mean(values)}
	}
	mean, lo, hi := stats.MeanCI(values, confidence)
	return Interval{Mean: mean, Lo: &lo, Hi: &hi}
}

// rateOf is the mean of rates, none of which can be below 0.
func rateOf(values []float64) Interval {
	i := meanOf(values, confidence)
	if i.Lo != nil {
		*i.Lo = max(0, *i.Lo)
	}
	return i
}

// ratioOf compares a with b, which are above zero and paired by round: the mean of
// ln(a/b) and its interval, both given as ratios.
func ratioOf(a, b []float64, confidence float64) Interval {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = math.Log(a[i]) - math.Log(b[i])
	}
	r := meanOf(d, confidence)
	r.Mean = math.Exp(r.Mean)
	if r.Lo != nil {
		lo, hi := math.Exp(*r.Lo), math.Exp(*r.Hi)
		r.Lo, r.Hi = &lo, &hi
	}
	return r
}
