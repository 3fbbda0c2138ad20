package memory

import (
	"fmt"
	"math"

	"github.com/aclements/go-moremath/stats"
)

// Slope is how many bytes more there are for each connection more.
type Slope struct {
	PerConn float64 `json:"bytes_per_conn"`

	// Lo and Hi are the ends of its 95 % interval, nil if there are too few
	// points to tell: of one repetition with two numbers of connections.
	Lo *float64 `json:"lo,omitempty"`
	Hi *float64 `json:"hi,omitempty"`

	// Residual is how far the points are from the lines of their repetitions,
	// root mean square, in bytes of the whole server.
	Residual float64 `json:"residual_bytes"`

	ByRepetition []float64 `json:"by_repetition"`
}

// slopeOf fits a line through the points of each repetition by least squares.
//
// Of several repetitions the slope is the mean, with Student's interval: mean ±
// t(0.975, n-1)·sd/√n. Of a single one it is the line's own: with n points and
// residuals e, the standard error of the slope is √(Σe²/(n-2)/Σ(x-x̄)²), and the
// interval has n-2 degrees of freedom.
func slopeOf(points []Point, y func(Point) float64) Slope {
	var s Slope
	var squares, single float64
	n := 0
	for from := 0; from < len(points); {
		to := from
		var xs, ys []float64
		for ; to < len(points) && points[to].Repetition == points[from].Repetition; to++ {
			xs = append(xs, float64(points[to].Conns))
			ys = append(ys, y(points[to]))
		}
		slope, rest, spread := leastSquares(xs, ys)
		s.ByRepetition = append(s.ByRepetition, slope)
		squares += rest
		if len(xs) > 2 {
			single = math.Sqrt(rest / float64(len(xs)-2) / spread)
		}
		n += len(xs)
		from = to
	}
	s.Residual = math.Sqrt(squares / float64(n))
	if len(s.ByRepetition) > 1 {
		mean, lo, hi := stats.MeanCI(s.ByRepetition, 0.95)
		s.PerConn, s.Lo, s.Hi = mean, &lo, &hi
		return s
	}
	s.PerConn = s.ByRepetition[0]
	if n > 2 {
		half := single * stats.InvCDF(stats.TDist{V: float64(n - 2)})(0.975)
		lo, hi := s.PerConn-half, s.PerConn+half
		s.Lo, s.Hi = &lo, &hi
	}
	return s
}

// leastSquares returns the slope of the line through (x, y), the sum of the
// squares of what it leaves, and the sum of the squares of x about its mean.
func leastSquares(x, y []float64) (slope, rest, spread float64) {
	mx, my := stats.Mean(x), stats.Mean(y)
	var xy float64
	for i := range x {
		spread += (x[i] - mx) * (x[i] - mx)
		xy += (x[i] - mx) * (y[i] - my)
	}
	slope = xy / spread
	for i := range x {
		e := y[i] - my - slope*(x[i]-mx)
		rest += e * e
	}
	return slope, rest, spread
}

// times is the slope of a share of what was measured.
func (s Slope) times(f float64) Slope {
	t := Slope{PerConn: f * s.PerConn, Residual: f * s.Residual}
	if s.Lo != nil && s.Hi != nil {
		lo, hi := f*(*s.Lo), f*(*s.Hi)
		t.Lo, t.Hi = &lo, &hi
	}
	for _, v := range s.ByRepetition {
		t.ByRepetition = append(t.ByRepetition, f*v)
	}
	return t
}

// String is the slope with its interval, in bytes.
func (s Slope) String() string {
	if s.Lo == nil || s.Hi == nil {
		return fmt.Sprintf("%.0f", s.PerConn)
	}
	return fmt.Sprintf("%.0f ± %.0f", s.PerConn, (*s.Hi-*s.Lo)/2)
}
