package gate

import "math"

// Kind says how a metric is judged.
type Kind string

const (
	Timing Kind = "timing" // CPU time per request, rates
	Tail   Kind = "tail"   // a high quantile of latency, which scatters more
	Count  Kind = "count"  // allocations, system calls, bytes per connection
)

// Rules say what is worse. Effects are shares: 0.03 is 3 %.
type Rules struct {
	// Alpha bounds the adjusted p-value of a failure. It is the probability that
	// a gate fails, in whatever number of rows, though nothing changed.
	Alpha float64 `json:"alpha"`

	// Margin is the least slowdown that fails, by kind of metric.
	Margin map[Kind]float64 `json:"margin"`

	// Tolerance is what a row that passes does not exceed, with a confidence of
	// Confidence (one-sided).
	Tolerance  map[Kind]float64 `json:"tolerance"`
	Confidence float64          `json:"confidence"`

	measured bool // margins come from a measured effect, and may be large
}

// DefaultRules returns the rules that hold unless told otherwise.
func DefaultRules() Rules {
	return Rules{
		Alpha:      0.01,
		Margin:     map[Kind]float64{Timing: 0.03, Tail: 0.10, Count: 0.02},
		Tolerance:  map[Kind]float64{Timing: 0.05, Tail: 0.15, Count: 0.05},
		Confidence: 0.95,
	}
}

// check returns an error that names the rule that makes no sense.
func (r Rules) check() error {
	if !(r.Alpha > 0 && r.Alpha < 0.5) {
		return badInput("alpha is %v (want more than 0 and less than 0.5)", r.Alpha)
	}
	if !(r.Confidence >= 0.5 && r.Confidence < 1) {
		return badInput("confidence is %v (want 0.5 or more, and less than 1)", r.Confidence)
	}
	for _, k := range []Kind{Timing, Tail, Count} {
		margin, tolerance := r.Margin[k], r.Tolerance[k]
		if !(margin > 0 && (margin < 1 || r.measured)) {
			return badInput("margin of %s is %v (want a share of more than 0 and less than 1)", k, margin)
		}
		if !(tolerance >= margin && (tolerance < 2 || r.measured)) {
			return badInput("tolerance of %s is %v (want a share of at least the margin, %v, and less than 2)", k, tolerance, margin)
		}
	}
	return nil
}

// leastRounds is how many rounds there have to be so that one of so many rows can
// fail: n rounds that are all worse have a p-value of 1/2ⁿ.
func (r Rules) leastRounds(rows int) int {
	return int(math.Ceil(math.Log2(float64(max(1, rows)) / r.Alpha)))
}

// Verdict is what became of a row, or of a gate.
type Verdict string

const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Inconclusive Verdict = "inconclusive" // neither shown to be slower nor shown not to be
	Unfit        Verdict = "unfit"        // the run says nothing about head
	Informs      Verdict = "informs"      // not judged
)

// Judged is the decision about one row.
type Judged struct {
	N      int     // rounds
	Effect float64 // Hodges-Lehmann estimate of head over base less 1; positive is worse
	Lo, Hi float64 // its 95 % confidence interval
	P      float64 // exact one-sided p-value of "head is no worse"
	PAdj   float64 // the same, adjusted for the number of rows that gate
	MDE    float64 // the least effect that would have failed, had it been added to this run's noise
	Bound  float64 // one-sided upper confidence bound of the effect

	Verdict Verdict
}

// series is what a decision is made of: d = ln(head/base) by round, turned so that
// positive is worse.
type series struct {
	kind Kind
	d    []float64
}

// decide judges the rows that gate, all together: their p-values are adjusted for
// their number.
func (r Rules) decide(rows []series) []Judged {
	adjusted := adjust(rows)
	all := make([]Judged, len(rows))
	for i, row := range rows {
		all[i] = r.describe(row, len(rows))
		all[i].PAdj = adjusted[i]
		all[i].Verdict = r.verdict(row.kind, adjusted[i], all[i].Effect, all[i].Bound)
	}
	return all
}

// verdicts are those of decide.
func (r Rules) verdicts(rows []series) []Verdict {
	adjusted := adjust(rows)
	all := make([]Verdict, len(rows))
	for i, row := range rows {
		_, bound := Bounds(row.d, 1-r.Confidence)
		all[i] = r.verdict(row.kind, adjusted[i], math.Expm1(HodgesLehmann(row.d)), math.Expm1(bound))
	}
	return all
}

func adjust(rows []series) []float64 {
	p := make([]float64, len(rows))
	for i, row := range rows {
		p[i] = SignedRank(row.d)
	}
	return Holm(p)
}

// describe is what can be said about a row without a decision. Of tests at once
// there are so many.
func (r Rules) describe(row series, tests int) Judged {
	j := Judged{N: len(row.d), P: SignedRank(row.d), Verdict: Informs}
	j.PAdj = j.P
	j.Effect = math.Expm1(HodgesLehmann(row.d))
	lo, hi := Bounds(row.d, 0.025)
	j.Lo, j.Hi = math.Expm1(lo), math.Expm1(hi)
	_, bound := Bounds(row.d, 1-r.Confidence)
	j.Bound = math.Expm1(bound)
	j.MDE = r.detectable(row, tests)
	return j
}

func (r Rules) verdict(k Kind, p, effect, bound float64) Verdict {
	switch {
	case p <= r.Alpha && effect >= r.Margin[k]:
		return Fail
	case bound < r.Tolerance[k], bound < 0:
		return Pass
	}
	return Inconclusive
}

// detectable is the least effect that would have failed on this row, if it were
// added to the noise that its rounds show, and no other row failed. It is infinite
// if so few rounds could not fail whatever they showed.
func (r Rules) detectable(row series, tests int) float64 {
	centre := HodgesLehmann(row.d)
	shifted := make([]float64, len(row.d))
	fails := func(shift float64) bool {
		for i, d := range row.d {
			shifted[i] = d - centre + shift
		}
		return float64(tests)*SignedRank(shifted) <= r.Alpha
	}
	lo, hi := math.Log1p(r.Margin[row.kind]), 10.0
	switch {
	case len(row.d) == 0 || !fails(hi):
		return math.Inf(1)
	case fails(lo):
		return math.Expm1(lo)
	}
	for hi-lo > 1e-5 {
		if middle := lo/2 + hi/2; fails(middle) {
			hi = middle
		} else {
			lo = middle
		}
	}
	return math.Expm1(hi)
}
