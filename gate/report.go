package gate

import (
	"fmt"
	"math"
	"time"

	"github.com/aclements/go-moremath/stats"

	"netbench/results"
)

// Report is the outcome of a gate.
type Report struct {
	Verdict Verdict   `json:"verdict"`
	Reasons []string  `json:"reasons"` // for the verdict
	Rows    []Outcome `json:"rows"`
	Canary  *Outcome  `json:"canary"`
	Rounds  int       `json:"rounds"`
	Seed    uint64    `json:"seed"`
	Arms    [2]Arm    `json:"arms"`
	Same    bool      `json:"same"` // both arms are the same program: an A/A run
	Seconds float64   `json:"seconds"`
	Again   string    `json:"again,omitempty"` // the command that repeats the run

	Rules       Rules                `json:"rules"`
	Fingerprint *results.Fingerprint `json:"fingerprint,omitempty"` // of the host
	Interrupted bool                 `json:"interrupted,omitempty"`

	tracks []*track
}

// Outcome is what became of a row. Effects are shares, positive is worse.
type Outcome struct {
	Name     string   `json:"name"` // of the load
	Unit     string   `json:"unit"`
	Kind     Kind     `json:"kind"`
	N        int      `json:"n"` // rounds
	Base     *float64 `json:"base"`
	Head     *float64 `json:"head"`
	Effect   *float64 `json:"effect"`
	Lo       *float64 `json:"lo"` // 95 % confidence interval of the effect
	Hi       *float64 `json:"hi"`
	P        *float64 `json:"p"`
	PAdj     *float64 `json:"p_adj"`
	MDE      *float64 `json:"mde"` // least effect that this run could have seen
	Verdict  Verdict  `json:"verdict"`
	Waived   string   `json:"waived,omitempty"` // why a failure does not count
	Warnings []string `json:"warnings"`

	base, head, d []float64
}

// report judges what was measured.
func (o *Options) report(tracks []*track, took time.Duration, interrupted bool) *Report {
	r := &Report{
		Reasons: []string{}, Rounds: o.Rounds, Seed: o.Seed, Arms: o.Arms, Rules: o.Rules,
		Same: o.Arms[0].same(o.Arms[1]), Seconds: took.Seconds(), Interrupted: interrupted, tracks: tracks,
	}
	var gates []int // places of the rows that gate
	var judged []series
	for _, t := range tracks {
		for i, m := range t.cell.Metrics {
			if t.canary && i > 0 {
				break
			}
			row, mute := t.outcome(m), t.mute(m)
			switch {
			case t.canary:
				row.set(o.Rules.describe(series{m.Kind, row.d}, 1))
				r.Canary = &row
				continue
			case m.Gates && t.absent == "" && mute == "":
				gates = append(gates, len(r.Rows))
				judged = append(judged, series{m.Kind, row.d})
			default:
				if m.Gates && t.absent == "" {
					row.Warnings = append(row.Warnings, mute)
				}
				row.set(o.Rules.describe(series{m.Kind, row.d}, 1))
			}
			r.Rows = append(r.Rows, row)
		}
	}
	for i, j := range o.Rules.decide(judged) {
		row := &r.Rows[gates[i]]
		row.set(j)
		for _, w := range o.Waivers {
			if w.Name == row.Name && w.Unit == row.Unit {
				row.Waived = fmt.Sprintf("%s (until %s)", w.Reason, w.Until.Format(time.DateOnly))
			}
		}
	}
	if !interrupted {
		r.judge()
	}
	return r
}

// outcome collects a metric over the rounds in which both arms have it.
func (t *track) outcome(m Metric) Outcome {
	row := Outcome{Name: t.cell.Name, Unit: m.Unit, Kind: m.Kind, Verdict: Informs, Warnings: []string{}}
	if t.absent != "" {
		row.Warnings = append(row.Warnings, "not compared: "+t.absent)
		return row
	}
	without := 0
	for i, round := range t.rounds {
		if round.Invalid != "" {
			without++
			continue
		}
		base, okBase := t.value(i, 0, m)
		head, okHead := t.value(i, 1, m)
		d, ok := m.worse(base, head)
		if !okBase || !okHead || !ok {
			without++
			continue
		}
		row.base, row.head, row.d = append(row.base, base), append(row.head, head), append(row.d, d)
	}
	if without > 0 {
		row.Warnings = append(row.Warnings, fmt.Sprintf("%d of %d rounds have no value%s", without, len(t.rounds), t.why(m)))
	}
	row.Base, row.Head = mean(row.base, m), mean(row.head, m)
	row.Warnings = append(append(row.Warnings, t.notes...), t.warnings(row.d)...)
	return row
}

// mute is why a metric that gates does not judge after all, "" if it does: a count
// that this host or this kind of server does not have, or a rate where the server
// was not the limit. Neither arm, or not both, had it in any round that counts, of
// which there are some.
func (t *track) mute(m Metric) string {
	if t.cell.idle() || m.Kind != Count && !m.Limited {
		return ""
	}
	some := false
	for i, round := range t.rounds {
		if round.Invalid != "" {
			continue
		}
		some = true
		_, base := t.value(i, 0, m)
		_, head := t.value(i, 1, m)
		if base && head || m.Kind == Count && (base || head) {
			return ""
		}
	}
	switch {
	case !some:
		return ""
	case m.Limited:
		return "it does not judge, as the server was not the limit in both arms in any round"
	}
	return "it does not judge, as neither arm has a value: " + t.noCounts()
}

// noCounts is why counts are absent.
func (t *track) noCounts() string {
	for _, round := range t.rounds {
		for _, s := range round.Samples {
			if s != nil && s.NoCounts != "" {
				return s.NoCounts
			}
		}
	}
	return "it cannot be counted here"
}

// value is what an arm measured in a round.
func (t *track) value(round, arm int, m Metric) (float64, bool) {
	if t.cell.idle() {
		return t.perConn[round][arm], true
	}
	s := t.rounds[round].Samples[arm]
	if m.Limited && !s.Saturated() {
		return 0, false
	}
	return m.Read(s)
}

// why names the first reason for which a metric lacks a value.
func (t *track) why(m Metric) string {
	if t.cell.idle() {
		return ": " + t.firstFault("")
	}
	for _, round := range t.rounds {
		if round.Invalid != "" {
			return ": " + round.Invalid
		}
		for i, s := range round.Samples {
			if m.Limited && !s.Saturated() {
				return ": the server was not the limit of " + t.names[i]
			}
			if _, ok := m.Read(s); ok {
				continue
			}
			switch {
			case len(s.Reasons) > 0:
				return ": " + t.names[i] + ": " + s.Reasons[0]
			case m.Kind == Tail && s.Latency != nil:
				return fmt.Sprintf(": %s: %d latencies are too few for it (longer rounds, or a higher rate)", t.names[i], s.Latency.Count)
			}
		}
	}
	return ""
}

func (row *Outcome) set(j Judged) {
	row.N, row.Verdict = j.N, j.Verdict
	row.Effect, row.Lo, row.Hi = finite(j.Effect), finite(j.Lo), finite(j.Hi)
	if j.Lo <= -1 { // too few rounds to bound it
		row.Lo = nil
	}
	row.P, row.PAdj, row.MDE = finite(j.P), finite(j.PAdj), finite(j.MDE)
	if j.N == 0 {
		row.P, row.PAdj = nil, nil
	}
}

// finite is nil for what JSON cannot hold.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// mean of values: geometric, as effects are, or arithmetic of counts, which may be 0;
// nil for none.
func mean(values []float64, m Metric) *float64 {
	if len(values) == 0 {
		return nil
	}
	if m.Kind == Count {
		return finite(stats.Mean(values))
	}
	return finite(stats.GeoMean(values))
}
