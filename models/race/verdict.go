package race

import (
	"fmt"
	"slices"
	"strings"

	"netbench/load"
)

// Verdict says who wins. The floor, and contenders that inform only, take no part
// in it: they are lines to measure against.
type Verdict struct {
	// Metric decides: server CPU time for each request; or, where the service's
	// answers wait, so that no CPU is what limits it, the median latency of the
	// closed loop (which there is the inverse of its rate) or the p99 of the
	// paced one.
	Metric string `json:"metric"`

	Winner string   `json:"winner"` // "" if nothing is decided
	Tied   []string `json:"tied"`   // those whose interval against the winner has 1 in it

	// Next is the next one that is not tied, and Ratio the next one's value over
	// the winner's.
	Next  string   `json:"next"`
	Ratio *float64 `json:"ratio"`
	Lo    *float64 `json:"lo"`
	Hi    *float64 `json:"hi"`

	Uncompared []string `json:"uncompared"` // those without two values to compare

	Text string `json:"text"` // all of it in a sentence
}

// metric is what decides a race.
func (r *Report) metric() (load.Metric, string) {
	switch {
	case !blocks(r.Service):
		return load.ServerCPUPerOp, "server CPU per request"
	case r.State == Paced:
		return load.LatencyP99, "p99 latency"
	}
	return load.LatencyP50, "median latency"
}

// judge decides.
func (r *Report) judge() {
	compared := 0
	for _, s := range r.Contenders {
		if s.CPURatio != nil {
			compared++
		}
	}
	switch {
	case r.Interrupted:
		r.because("interrupted after %d of %d rounds", r.Rounds, r.RoundsAsked)
	case r.RoundsCounted < 2:
		r.because("%d of %d rounds count (an interval needs two)", r.RoundsCounted, r.Rounds)
	}
	r.Valid = r.RoundsCounted >= 2 && compared >= 2
	if r.RoundsCounted >= 2 && compared < 2 {
		r.because("server CPU per request could not be compared")
	}
	r.decide()
}

// decide fills in the verdict.
func (r *Report) decide() {
	metric, name := r.metric()
	r.Verdict = Verdict{Metric: name, Tied: []string{}, Uncompared: []string{}}
	v := &r.Verdict
	type rival struct {
		s     Standing
		value *float64
	}
	var rivals []rival
	for _, s := range r.Contenders {
		if s.Kind == Floor || s.Informs {
			continue
		}
		if values := r.Comparison.Values(s.index, metric); len(values) >= 2 {
			rivals = append(rivals, rival{s, geometric(values)})
		} else {
			v.Uncompared = append(v.Uncompared, s.Model)
		}
	}
	slices.SortStableFunc(rivals, func(a, b rival) int { return compareAbsent(a.value, b.value) })
	if len(rivals) < 2 || r.RoundsCounted < 2 {
		v.Text = fmt.Sprintf("undecided: by %s, %d models could be compared over %d rounds", name, len(rivals), r.RoundsCounted)
		return
	}
	best := rivals[0].s
	v.Winner = best.Model
	for _, other := range rivals[1:] {
		ratio := r.Comparison.Ratio(best.index, other.s.index, metric)
		switch {
		case ratio.N < 2: // there are values, not of the same rounds
			v.Uncompared = append(v.Uncompared, other.s.Model)
		case ratio.Lo <= 1:
			v.Tied = append(v.Tied, other.s.Model)
		case v.Next == "":
			v.Next = other.s.Model
			v.Ratio, v.Lo, v.Hi = interval(ratio)
		}
	}
	v.Text = v.sentence()
}

func (v *Verdict) sentence() string {
	text := fmt.Sprintf("%s wins by %s", v.Winner, v.Metric)
	if len(v.Tied) > 0 {
		text = fmt.Sprintf("tie by %s: %s, then %s; no difference is shown", v.Metric, v.Winner, strings.Join(v.Tied, ", "))
	}
	if v.Next != "" {
		text += fmt.Sprintf("; %s takes %s times as much as %s", v.Next, ratioText(v.Ratio, v.Lo, v.Hi), v.Winner)
	}
	if len(v.Uncompared) > 0 {
		text += "; not compared: " + strings.Join(v.Uncompared, ", ")
	}
	return text
}
