package gcprofile

import (
	"fmt"
	"strings"
	"time"
)

// Goal is what a setting has to achieve; a zero field asks for nothing.
type Goal struct {
	Budget int64         `json:"budget,omitempty"` // peak RSS, bytes
	P99    time.Duration `json:"p99_ns,omitempty"` // of latency, at the rate of the plan
}

// Check returns an error that wraps [ErrInput] for a goal that no server can meet.
func (g Goal) Check(live int64) error {
	switch {
	case g.P99 < 0:
		return badInput("the p99 goal is %v (want more than 0)", g.P99)
	case g.Budget < 0:
		return badInput("the memory budget is %d bytes (want more than the live set)", g.Budget)
	case g.Budget > 0 && g.Budget <= live:
		return badInput("a memory budget of %s is not above the live set of %s (no setting of the collector makes what is live smaller)",
			roundSize(float64(g.Budget)), roundSize(float64(live)))
	}
	return nil
}

func (g Goal) String() string {
	var parts []string
	if g.Budget > 0 {
		parts = append(parts, "a peak RSS of at most "+roundSize(float64(g.Budget)))
	}
	if g.P99 > 0 {
		parts = append(parts, fmt.Sprintf("a p99 of at most %v", g.P99))
	}
	return strings.Join(parts, " and ")
}

// Met tells whether a block met the goal; known is false where it cannot be told. A p99
// that is within the goal with the generator's lag in it is so without.
func (g Goal) Met(b *Block) (met, known bool) {
	switch {
	case g.P99 > 0 && b.Overloaded || g.Budget > 0 && b.PeakRSS > uint64(g.Budget):
		return false, true
	case g.Budget > 0 && b.PeakRSS == 0:
		return false, false
	case g.P99 == 0:
		return true, true
	case b.P99AtMost == nil:
		return false, false
	case *b.P99AtMost <= int64(g.P99):
		return true, true
	}
	return false, b.Latency.P99 != nil
}

// Answer is the outcome of a search for a setting.
type Answer string

const (
	Found     Answer = "found"     // a setting meets the goal
	None      Answer = "none"      // all were judged, and none does
	Undecided Answer = "undecided" // none is known to, and some could not be judged
)

// Recommendation is the setting for a goal.
type Recommendation struct {
	Goal    Goal     `json:"goal"`
	Answer  Answer   `json:"answer"`
	Setting *Setting `json:"setting,omitempty"` // if found
	Text    string   `json:"text"`              // what to do and why, in a line
}

// Recommend chooses a setting for a goal from the blocks that were measured, and keeps
// the answer in the report.
//
// A setting meets a goal if what one further block is predicted not to exceed, with a
// probability of 97.5 %, is within it; for a p99 it must also have kept up with the
// load and not have been in a death spiral in any block. Of the settings that meet a
// memory budget, that with the least share of CPU time in the collector is chosen; of
// those that meet a p99 only, that with the least memory.
func (r *Report) Recommend(g Goal) *Recommendation {
	rec := &Recommendation{Goal: g, Answer: None}
	r.Recommendation = rec
	var best *Row
	unknown := 0
	for i := range r.Rows {
		w := &r.Rows[i]
		met, known := w.meets(g)
		switch {
		case !known:
			unknown++
		case met && (best == nil || w.better(best, g)):
			best = w
		}
	}
	switch {
	case best != nil:
		rec.Answer, rec.Setting = Found, &best.Setting
		rec.Text = best.because(g)
	case unknown > 0:
		rec.Answer = Undecided
		rec.Text = fmt.Sprintf("no setting is known to keep %s, and %d of %d could not be judged (three valid blocks of each are needed: more blocks, or a quieter machine)", g, unknown, len(r.Rows))
	default:
		rec.Text = fmt.Sprintf("no setting that was tried keeps %s%s", g, r.nearest(g))
	}
	return rec
}

// meets judges a setting by what is predicted of it.
func (w *Row) meets(g Goal) (met, known bool) {
	if w.Spirals > 0 || g.P99 > 0 && w.Overloaded > 0 {
		return false, true
	}
	met, known = true, true
	if g.Budget > 0 {
		if w.PeakRSSAtMost == nil {
			return false, false
		}
		met = *w.PeakRSSAtMost <= float64(g.Budget)
	}
	if g.P99 > 0 && met {
		if w.P99AtMost == nil {
			return false, false
		}
		met = *w.P99AtMost <= float64(g.P99)
		known = met || w.P99.Value != nil // else it may have been the generator
	}
	return met, known
}

// better tells whether w is to be preferred to o, both of which meet the goal. What is
// not known comes last.
func (w *Row) better(o *Row, g Goal) bool {
	mine, other := w.PeakRSS.Value, o.PeakRSS.Value
	if g.Budget > 0 {
		mine, other = w.GCShare.Value, o.GCShare.Value
	}
	return mine != nil && (other == nil || *mine < *other)
}

func (w *Row) because(g Goal) string {
	text := fmt.Sprintf("%s: it keeps %s", w.Setting, g)
	var bounds []string
	if w.PeakRSSAtMost != nil {
		bounds = append(bounds, "peak RSS of at most "+roundSize(*w.PeakRSSAtMost))
	}
	if w.P99AtMost != nil {
		bounds = append(bounds, fmt.Sprintf("p99 of at most %v", roundTime(*w.P99AtMost)))
	}
	if len(bounds) > 0 {
		text += fmt.Sprintf(" (predicted for a further block, from %d: %s)", len(w.Blocks), strings.Join(bounds, ", "))
	}
	switch {
	case g.Budget > 0 && w.GCShare.Value != nil:
		text += fmt.Sprintf("; of the settings that do, it spends the least CPU time on collections, %.1f %% of what the server uses", 100**w.GCShare.Value)
	case g.Budget == 0 && w.PeakRSS.Value != nil:
		text += fmt.Sprintf("; of the settings that do, it needs the least memory, %s at its peak", roundSize(*w.PeakRSS.Value))
	}
	return text
}

// nearest tells how near the best setting came, if that can be told in one number.
func (r *Report) nearest(g Goal) string {
	least := func(of func(*Row) *float64) (best *float64, row *Row) {
		for i := range r.Rows {
			if v := of(&r.Rows[i]); v != nil && (best == nil || *v < *best) {
				best, row = v, &r.Rows[i]
			}
		}
		return best, row
	}
	switch {
	case g.Budget > 0 && g.P99 == 0:
		if v, row := least(func(w *Row) *float64 { return w.PeakRSSAtMost }); v != nil {
			return fmt.Sprintf(": the least memory is that of %s, up to %s", row.Setting, roundSize(*v))
		}
	case g.P99 > 0 && g.Budget == 0:
		if v, row := least(func(w *Row) *float64 { return w.P99AtMost }); v != nil {
			return fmt.Sprintf(": the least p99 is that of %s, up to %v", row.Setting, roundTime(*v))
		}
	}
	return ""
}
