package race

import (
	"cmp"
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

	Uncompared []string `json:"uncompared"` // those without two values of the same rounds as the winner's, or as anybody's

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

// decide fills in the verdict. Values of one round are compared with each other,
// because rounds differ: a contender that lacks a value in the slow ones has the
// lesser mean without being the better.
func (r *Report) decide() {
	metric, name := r.metric()
	r.Verdict = Verdict{Metric: name, Tied: []string{}, Uncompared: []string{}}
	v := &r.Verdict
	var all, rivals []Standing
	for _, s := range r.Contenders {
		if s.Kind != Floor && !s.Informs {
			all = append(all, s)
		}
	}
	means := map[int]*float64{} // by index
	for _, s := range all {
		if slices.ContainsFunc(all, func(o Standing) bool {
			return o.index != s.index && r.Comparison.Ratio(o.index, s.index, metric).N >= 2
		}) {
			rivals = append(rivals, s)
			means[s.index] = geometric(r.Comparison.Values(s.index, metric))
		} else { // its values, if it has some, are of rounds in which nobody else has one
			v.Uncompared = append(v.Uncompared, s.Model)
		}
	}
	if len(rivals) < 2 || r.RoundsCounted < 2 {
		v.Text = fmt.Sprintf("undecided: by %s, %d models could be compared over %d rounds", name, len(rivals), r.RoundsCounted)
		return
	}
	slices.SortStableFunc(rivals, func(a, b Standing) int { return compareAbsent(means[a.index], means[b.index]) })
	best, others := r.best(rivals, metric)
	v.Winner = best.Model
	for _, other := range others {
		switch ratio := other.ratio; {
		case ratio.N < 2: // it has values of the same rounds as others, not as the winner
			v.Uncompared = append(v.Uncompared, other.Model)
		case ratio.Lo <= 1:
			v.Tied = append(v.Tied, other.Model)
		case v.Next == "":
			v.Next = other.Model
			v.Ratio, v.Lo, v.Hi = interval(ratio)
		}
	}
	v.Text = v.sentence()
}

// rival is a contender beside the best one, and its ratio to that.
type rival struct {
	Standing
	ratio load.Ratio
}

// best begins with the first of all, and goes on to whoever is shown to be better,
// until nobody is. The others come back in the order of their ratios to it. Where
// each is beaten by another one, over rounds of which each pair has its own, the
// search ends after as many steps as there are contenders, and whoever beats the
// last one counts as tied with it.
func (r *Report) best(all []Standing, metric load.Metric) (Standing, []rival) {
	best := all[0]
	for step := 1; ; step++ {
		var others []rival
		for _, s := range all {
			if s.index != best.index {
				others = append(others, rival{s, r.Comparison.Ratio(best.index, s.index, metric)})
			}
		}
		slices.SortStableFunc(others, func(a, b rival) int { return cmp.Compare(a.ratio.Mean, b.ratio.Mean) })
		better := slices.IndexFunc(others, func(o rival) bool { return o.ratio.N >= 2 && o.ratio.Hi < 1 })
		if better < 0 || step == len(all) {
			return best, others
		}
		best = others[better].Standing
	}
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
