package sizing

import (
	"fmt"
	"math"
	"slices"
)

// What decides whether a size fits; see the package's comment.
const (
	// Margin is the share of the best throughput that a smaller size may cost.
	Margin = 0.03

	// P99Margin is the share by which the p99 may be above that of a larger size.
	P99Margin = 0.10

	// P99Wide is the ratio of two p99 that an interval has to rule out, or the
	// evidence is too thin.
	P99Wide = 1.5

	confidence = 0.95
)

// A Verdict says whether a size fits.
type Verdict string

// Verdicts.
const (
	Fits    Verdict = "fits"
	Refused Verdict = "refused"
	Unclear Verdict = "unclear" // the evidence is too thin
)

// A Judgement is what is thought of one size at one concurrency.
type Judgement struct {
	Verdict Verdict `json:"verdict"`
	Text    string  `json:"text"` // the reason, without the size

	// OfBest is its throughput by that of the best size; 1 for the best itself.
	// Absent for a size whose calls failed.
	OfBest *Interval `json:"of_best,omitempty"`

	// P99OfLarger is its p99 by that of the larger size against which it looks
	// worst, P99Against; absent where nothing was compared.
	P99OfLarger *Interval `json:"p99_of_larger,omitempty"`
	P99Against  int       `json:"p99_against,omitempty"`
}

// series is what the rounds gave for one size.
type series struct {
	size   int
	rate   []float64 // calls a second, by round
	p99    []float64 // ns, by round; NaN where a slice had too few calls
	failed int64
	first  error // of the failed calls
}

// sound tells whether its rates can be compared.
func (s series) sound() bool {
	return s.failed == 0 && len(s.rate) > 0 && slices.Min(s.rate) > 0
}

// judge judges each of the sizes, which ascend, and returns the index of the best,
// -1 if none is sound.
func judge(all []series) ([]Judgement, int) {
	best := -1
	for i, s := range all {
		if s.sound() && (best < 0 || ratioOf(s.rate, all[best].rate, confidence).Mean > 1) {
			best = i
		}
	}
	out := make([]Judgement, len(all))
	for i, s := range all {
		switch {
		case s.failed > 0:
			out[i] = Judgement{Verdict: Refused, Text: fmt.Sprintf("%d calls failed: %v", s.failed, s.first)}
		case !s.sound():
			out[i] = Judgement{Verdict: Unclear, Text: "there are rounds without a call that succeeded"}
		default:
			out[i] = judgeOne(all, i, best)
		}
	}
	return out, best
}

func judgeOne(all []series, i, best int) Judgement {
	var j Judgement
	var throughput string
	if i == best {
		j.Verdict, j.OfBest, throughput = Fits, &Interval{Mean: 1}, "the best throughput"
	} else {
		ratio := ratioOf(all[i].rate, all[best].rate, confidence)
		j.OfBest = &ratio
		j.Verdict = throughputVerdict(ratio)
		throughput = fmt.Sprintf("throughput %s of the best", percent(ratio))
	}
	switch {
	case j.Verdict == Unclear:
		j.Text = throughput + fmt.Sprintf(": the interval is too wide to tell whether that is within %.0f %%", 100*Margin)
		return j
	case j.Verdict == Refused:
		j.Text = throughput
		return j
	}
	verdict, text := j.judgeP99(all, i)
	j.Verdict, j.Text = verdict, throughput+", "+text
	return j
}

func throughputVerdict(ratio Interval) Verdict {
	lo, hi := ratio.bounds()
	switch {
	case ratio.Mean >= 1-Margin && lo >= 1-2*Margin:
		return Fits
	case ratio.Mean < 1-Margin && hi < 1:
		return Refused
	}
	return Unclear
}

// judgeP99 compares the p99 of size i with that of each larger one that is sound.
// A size that is worse than one of them is refused, whatever the others are.
func (j *Judgement) judgeP99(all []series, i int) (Verdict, string) {
	var larger []series
	for _, s := range all[i+1:] {
		if s.sound() {
			larger = append(larger, s)
		}
	}
	if len(larger) == 0 {
		return Fits, "and no larger size to compare the p99 with"
	}
	few := func(p99 []float64) bool { return slices.ContainsFunc(p99, math.IsNaN) }
	if few(all[i].p99) {
		return Unclear, fmt.Sprintf("but slices of fewer than %d calls have no p99 (take longer ones)", samplesP99)
	}
	worst, text := Fits, ""
	for _, l := range larger {
		if few(l.p99) {
			if worst == Fits {
				worst, text = Unclear, fmt.Sprintf("but slices of size %d have fewer than %d calls, hence no p99 (take longer ones)", l.size, samplesP99)
			}
			continue
		}
		ratio := ratioOf(all[i].p99, l.p99, 1-(1-confidence)/float64(len(larger)))
		v := p99Verdict(ratio)
		if v == Refused && worst != Refused || v == Unclear && worst == Fits ||
			v == worst && (j.P99OfLarger == nil || ratio.Mean > j.P99OfLarger.Mean) {
			worst, j.P99OfLarger, j.P99Against = v, &ratio, l.size
			switch v {
			case Refused:
				text = fmt.Sprintf("but a p99 of %s of that of size %d", percent(ratio), l.size)
			case Unclear:
				text = fmt.Sprintf("but the p99, %s of that of size %d, scatters too much to be compared", percent(ratio), l.size)
			case Fits:
				text = fmt.Sprintf("and a p99 not shown to be worse than that of larger ones (%s of that of size %d)", percent(ratio), l.size)
			}
		}
	}
	return worst, text
}

func p99Verdict(ratio Interval) Verdict {
	lo, hi := ratio.bounds()
	switch {
	case lo > 1 && ratio.Mean > 1+Margin:
		return Refused
	case hi <= P99Wide && ratio.Mean <= 1+P99Margin:
		return Fits
	}
	return Unclear
}

// percent is an interval of a ratio in words.
func percent(i Interval) string {
	if i.Lo == nil {
		return fmt.Sprintf("%.1f %% (one round)", 100*i.Mean)
	}
	return fmt.Sprintf("%.1f %% (%.1f to %.1f)", 100*i.Mean, 100**i.Lo, 100**i.Hi)
}
