package load

import (
	"math"

	"github.com/aclements/go-moremath/stats"
)

// Difference is a mean difference of two contenders over rounds.
type Difference struct {
	N    int     // rounds
	Mean float64 // b - a; not a number if N is 0
	Lo   float64 // lower end of the 95 % confidence interval of Mean
	Hi   float64 // upper end; without bounds if N is less than 2
}

func differenceOf(d []float64) Difference {
	out := Difference{N: len(d), Mean: math.NaN(), Lo: math.Inf(-1), Hi: math.Inf(1)}
	switch {
	case out.N == 1:
		out.Mean = d[0]
	case out.N > 1:
		out.Mean, out.Lo, out.Hi = stats.MeanCI(d, 0.95)
	}
	return out
}
