package load

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/aclements/go-moremath/stats"
)

// Ratio compares a metric of two contenders over rounds. It is computed on d =
// ln(b/a), one value for each round, because a ratio and its inverse then differ
// by the sign only, and averaged to a geometric mean.
type Ratio struct {
	N    int       `json:"n"`    // rounds
	D    []float64 `json:"d"`    // ln(b/a), by round
	Mean float64   `json:"mean"` // exp of the mean of D: 1.05 means that b is 5 % above a
	Lo   float64   `json:"lo"`   // lower end of the 95 % confidence interval of Mean
	Hi   float64   `json:"hi"`   // upper end
	SD   float64   `json:"sd"`   // standard deviation of D, 0.01 being about 1 %
}

// logRatio is ln(b/a). It is the difference of logarithms, not the logarithm of
// the quotient, so that exchanging a and b changes exactly the sign.
func logRatio(a, b float64) float64 { return math.Log(b) - math.Log(a) }

// RatioOf compares b with a, which are paired by round: of the same length, and
// above zero.
func RatioOf(a, b []float64) Ratio {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = logRatio(a[i], b[i])
	}
	return ratioOf(d)
}

// ratioOf summarizes d. The interval is Student's, on the logarithms: mean ±
// t(0.975, n-1)·sd/√n. With fewer than two rounds it is unbounded.
func ratioOf(d []float64) Ratio {
	r := Ratio{N: len(d), D: d, Mean: math.NaN(), Lo: 0, Hi: math.Inf(1)}
	switch {
	case r.N == 1:
		r.Mean = math.Exp(d[0])
	case r.N > 1:
		mean, lo, hi := stats.MeanCI(d, 0.95)
		r.Mean, r.Lo, r.Hi = math.Exp(mean), math.Exp(lo), math.Exp(hi)
		r.SD = stats.StdDev(d)
	}
	return r
}

// MarshalJSON leaves out what is not known: with fewer than two rounds the
// bounds, with none the mean.
func (r Ratio) MarshalJSON() ([]byte, error) {
	known := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) || r.N < 2 && v != r.Mean {
			return nil
		}
		return &v
	}
	return json.Marshal(struct {
		N    int       `json:"n"`
		D    []float64 `json:"d"`
		Mean *float64  `json:"mean,omitempty"`
		Lo   *float64  `json:"lo,omitempty"`
		Hi   *float64  `json:"hi,omitempty"`
		SD   *float64  `json:"sd,omitempty"`
	}{r.N, r.D, known(r.Mean), known(r.Lo), known(r.Hi), known(r.SD)})
}

func (r Ratio) String() string {
	return fmt.Sprintf("%.4f [%.4f, %.4f] (n=%d, sd %.2f %%)", r.Mean, r.Lo, r.Hi, r.N, 100*r.SD)
}
