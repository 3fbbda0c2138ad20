package gate

import "fmt"

// judge gives the verdict on the whole. Failure beats everything; a run that says
// nothing about head beats what is inconclusive, and that what passed.
func (r *Report) judge() {
	because := func(v Verdict, format string, args ...any) {
		if rank(v) > rank(r.Verdict) {
			r.Verdict = v
		}
		r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...))
	}
	r.Verdict = Pass
	judged := 0
	for _, t := range r.tracks {
		n := t.faults(r.Rules)
		if t.unfit != "" {
			because(Unfit, "%s: %s", t.cell.Name, t.unfit)
		}
		switch {
		case t.canary && n[0]+n[1] > 0:
			because(Unfit, "the canary failed in %d of %d rounds: %s", n[0]+n[1], len(t.rounds), t.firstFault(""))
		case n[1] > 0 && n[0] == 0:
			because(Fail, "%s: head failed in %d of %d rounds and base in none: %s", t.cell.Name, n[1], len(t.rounds), t.firstFault(t.names[1]))
		case n[0] > 0 && n[1] == 0:
			because(Unfit, "%s: base failed in %d of %d rounds: %s", t.cell.Name, n[0], len(t.rounds), t.firstFault(t.names[0]))
		case n[0] > 0:
			because(Unfit, "%s: both arms failed, base in %d and head in %d of %d rounds: %s", t.cell.Name, n[0], n[1], len(t.rounds), t.firstFault(""))
		}
	}
	if c := r.Canary; c != nil {
		margin := r.Rules.Margin[c.Kind]
		switch {
		case c.Effect == nil:
			because(Unfit, "the canary has no value in any round%s", firstOf(c.Warnings))
		case *c.Effect >= margin || *c.Effect <= -margin:
			c.Verdict = Unfit
			because(Unfit, "the canary, which no change can touch, moved by %s (at most %.0f %%): the machine is not fit to judge now", percent(*c.Effect), 100*margin)
		default:
			c.Verdict = Pass
		}
	}
	for _, row := range r.Rows {
		if row.Verdict != Informs {
			judged++
		}
		switch {
		case row.Verdict == Fail && row.Waived != "":
			r.Reasons = append(r.Reasons, fmt.Sprintf("%s %s is worse by %s, which is waived: %s", row.Name, row.Unit, percent(*row.Effect), row.Waived))
		case row.Verdict == Fail:
			because(Fail, "%s %s is worse by %s", row.Name, row.Unit, percent(*row.Effect))
		case row.Verdict == Inconclusive && row.Waived != "":
			r.Reasons = append(r.Reasons, fmt.Sprintf("%s %s cannot be decided, which is waived: %s", row.Name, row.Unit, row.Waived))
		case row.Verdict == Inconclusive:
			because(Inconclusive, "%s %s cannot be decided%s", row.Name, row.Unit, firstOf(row.Warnings))
		}
	}
	if judged == 0 {
		because(Unfit, "no row that judges could be compared")
	}
}

// rank orders verdicts by what prevails.
func rank(v Verdict) int {
	switch v {
	case Fail:
		return 3
	case Unfit:
		return 2
	case Inconclusive:
		return 1
	}
	return 0
}

func firstOf(warnings []string) string {
	if len(warnings) == 0 {
		return ""
	}
	return " (" + warnings[0] + ")"
}
