package gate

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "base  %s\nhead  %s\n", r.Arms[0], r.Arms[1])
	if r.Same {
		fmt.Fprintln(&b, "Both arms are the same program: this run shows how the gate judges where nothing changed.")
	}
	took := time.Duration(r.Seconds * float64(time.Second)).Round(time.Second)
	if r.Interrupted {
		fmt.Fprintf(&b, "interrupted in %d rounds after %s, seed %d\n\n", r.Rounds, took, r.Seed)
	} else {
		fmt.Fprintf(&b, "%d rounds in %s, seed %d\n\n", r.Rounds, took, r.Seed)
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(heading, "\t"))
	for _, row := range r.all() {
		fmt.Fprintln(t, strings.Join(row.cells(), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\nPositive is worse; intervals are 95 %%; p is adjusted for the rows that gate; could see is the\nleast effect that this run would have failed.\n\n")
	for _, row := range r.all() {
		for _, warning := range row.Warnings {
			fmt.Fprintf(&b, "warning  %s %s: %s\n", row.Name, row.Unit, warning)
		}
	}
	for _, why := range r.Reasons {
		fmt.Fprintf(&b, "because  %s\n", why)
	}
	verdict := string(r.Verdict)
	if r.Interrupted {
		verdict = "none, as the run did not come to its end"
	}
	fmt.Fprintf(&b, "verdict  %s\nagain    %s\n", verdict, r.Again)
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown writes the report for a pull request.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## netbench gate: %s\n\n", r.Verdict)
	for _, why := range r.Reasons {
		fmt.Fprintf(&b, "- %s\n", escaped(why))
	}
	fmt.Fprintf(&b, "\n| %s |\n|%s\n", strings.Join(heading, " | "), strings.Repeat("---|", len(heading)))
	for _, row := range r.all() {
		cells := row.cells()
		for i := range cells {
			cells[i] = escaped(cells[i])
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	fmt.Fprintf(&b, "\nPositive is worse; intervals are 95 %%; p is adjusted for the rows that gate; *could see* is the least effect that this run would have failed.\n\n")
	for _, row := range r.all() {
		for _, warning := range row.Warnings {
			fmt.Fprintf(&b, "- %s %s: %s\n", escaped(row.Name), row.Unit, escaped(warning))
		}
	}
	fmt.Fprintf(&b, "\nbase %s, head %s; %d rounds, seed %d. Again: %s\n", code(r.Arms[0].String()), code(r.Arms[1].String()), r.Rounds, r.Seed, code(r.Again))
	_, err := io.WriteString(w, b.String())
	return err
}

// code is text to be shown as it is.
func code(text string) string {
	text = strings.ReplaceAll(text, "\n", " ")
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		return fence + " " + text + " " + fence
	}
	return fence + text + fence
}

// escaped keeps text from ending a cell of a table, and from being taken for markup.
func escaped(text string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "\n", " ", "<", "&lt;", "`", "\\`").Replace(text)
}

// all are the rows and the canary.
func (r *Report) all() []Outcome {
	if r.Canary == nil {
		return r.Rows
	}
	return append(r.Rows[:len(r.Rows):len(r.Rows)], *r.Canary)
}

var heading = []string{"row", "metric", "base", "head", "worse by", "interval", "p", "n", "could see", "verdict"}

func (row *Outcome) cells() []string {
	verdict := string(row.Verdict)
	if row.Verdict == Fail && row.Waived != "" {
		verdict = "fail, waived"
	}
	return []string{
		row.Name, row.Unit, plain(row.Base), plain(row.Head), share(row.Effect), interval(row.Lo, row.Hi),
		probability(row.PAdj), fmt.Sprint(row.N), share(row.MDE), verdict,
	}
}

// none stands for what is absent.
const none = "-"

func plain(v *float64) string {
	if v == nil {
		return none
	}
	return fmt.Sprintf("%.4g", *v)
}

func share(v *float64) string {
	if v == nil {
		return none
	}
	return percent(*v)
}

func interval(lo, hi *float64) string {
	if lo == nil || hi == nil {
		return none
	}
	return fmt.Sprintf("[%s, %s]", percent(*lo), percent(*hi))
}

func probability(p *float64) string {
	if p == nil {
		return none
	}
	return fmt.Sprintf("%.3g", *p)
}

// String names an arm: "main (1a2b3c4d5e6f), program 0123456789ab".
func (a Arm) String() string {
	var text string
	switch {
	case a.Command != "":
		return a.Command
	case a.Commit == "":
		text = "a given binary"
	case a.Ref == "" && a.Dirty:
		text = fmt.Sprintf("working tree (%.12s, changed)", a.Commit)
	case a.Ref == "":
		text = fmt.Sprintf("working tree (%.12s)", a.Commit)
	default:
		text = fmt.Sprintf("%s (%.12s)", a.Ref, a.Commit)
	}
	return fmt.Sprintf("%s, program %.12s", text, a.Hash)
}
