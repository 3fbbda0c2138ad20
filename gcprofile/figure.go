package gcprofile

import (
	"math"

	"github.com/aclements/go-moremath/stats"

	"netbench/testenv"
)

// Figure is one number of a setting, over its blocks. Value is nil where it is not
// known. Lo and Hi are the 95 % confidence interval of a mean, by Student's t, or, of
// a quantile, which has no mean, the least and the most that a block had; they are nil
// with fewer than two blocks.
type Figure struct {
	Value *float64 `json:"value,omitempty"`
	Lo    *float64 `json:"lo,omitempty"`
	Hi    *float64 `json:"hi,omitempty"`
}

// confidence of intervals, two-sided.
const confidence = 0.95

// meanOf is the mean of one value for each block; none may be below 0.
func meanOf(values []float64) Figure {
	switch len(values) {
	case 0:
		return Figure{}
	case 1:
		return Figure{Value: &values[0]}
	}
	mean, lo, hi := stats.MeanCI(values, confidence)
	lo = max(0, lo)
	return Figure{&mean, &lo, &hi}
}

// shareOf is the mean of shares, none of which can be above 1.
func shareOf(values []float64) Figure {
	f := meanOf(values)
	if f.Hi != nil {
		*f.Hi = min(1, *f.Hi)
	}
	return f
}

// quantileOf is a quantile of all samples together, beside those of the blocks.
func quantileOf(all *int64, blocks []*int64) Figure {
	var f Figure
	if all == nil {
		return f
	}
	v := float64(*all)
	f.Value = &v
	lo, hi, n := math.Inf(1), math.Inf(-1), 0
	for _, b := range blocks {
		if b != nil {
			lo, hi, n = min(lo, float64(*b)), max(hi, float64(*b)), n+1
		}
	}
	if n > 1 {
		f.Lo, f.Hi = &lo, &hi
	}
	return f
}

// minPredict is the least number of blocks from which another is predicted.
const minPredict = 3

// atMost is what one further block is expected not to exceed, with a probability of
// 97.5 %: the upper bound of the prediction interval for one more observation of a
// normal distribution, mean + t·s·sqrt(1+1/n) with n-1 degrees of freedom (Hahn and
// Meeker, Statistical Intervals, section 4.8), of the logarithms, as times and sizes
// scatter by factors. ok is false with fewer than three values, or one that is not
// above 0.
func atMost(values []float64) (bound float64, ok bool) {
	n := float64(len(values))
	if n < minPredict {
		return 0, false
	}
	logs := make([]float64, len(values))
	for i, v := range values {
		if v <= 0 {
			return 0, false
		}
		logs[i] = math.Log(v)
	}
	mean, _, hi := stats.MeanCI(logs, confidence) // hi is mean + t·s/sqrt(n)
	return math.Exp(mean + (hi-mean)*math.Sqrt(n+1)), true
}

// mergeLatencies are the quantiles of all latencies of the blocks that have valid ones,
// and the names of those that the generator may have made.
func mergeLatencies(blocks []*Block) (q Quantiles, late []string, ok bool) {
	latencies, lags := newHistogram(), newHistogram()
	for _, b := range blocks {
		if b.latencies != nil && latencies.Merge(b.latencies)+lags.Merge(b.lags) != 0 {
			return Quantiles{}, nil, false
		}
	}
	q, late = ofLatencies(latencies, lags)
	return q, late, true
}

func mergeRuntime(blocks []*Block, of func(*Block) testenv.Histogram) Quantiles {
	var sum testenv.Histogram
	for _, b := range blocks {
		sum = sum.Add(of(b))
	}
	return ofRuntime(sum)
}
