package gate

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table is what a self-test prints as text and on a page.
type table struct {
	title string
	note  string
	head  []string
	rows  [][]string
}

func (r *SelfReport) tables() []table {
	promises := table{title: "What the gate promises", head: []string{"promise", "found", "kept"}}
	for _, p := range r.Promises {
		kept := "yes"
		if !p.Kept {
			kept = "NO"
		}
		promises.rows = append(promises.rows, []string{p.What, p.Seen, kept})
	}
	real := table{
		title: "Real servers",
		note: fmt.Sprintf("Gates of %d rounds each of %s. Seen is the mean over all rounds; sd is that of one round. "+
			"The canary runs in the gates of A/A alone, so the others are never unfit because of it. "+
			"One round of extra work cost %.2f ns in the calibration. The p99 of paced rows, which informs unless it is told to judge, is not among it.", r.Rounds, r.Row, r.SpinCost),
		head: []string{"head is", "extra work", "gates", "fail", "pass", "inconclusive", "unfit", "failing share", "inconclusive share", "slower by, seen", "sd", "effects of gates"},
	}
	for _, e := range r.Real {
		var effects []string
		for _, g := range e.Gates {
			effects = append(effects, share(g.Effect))
		}
		seen := none
		if e.Seen != nil {
			seen = fmt.Sprintf("%s [%s, %s]", percent(e.Seen.Mean-1), percent(e.Seen.Lo-1), percent(e.Seen.Hi-1))
		}
		real.rows = append(real.rows, []string{
			e.Name, fmt.Sprintf("%d rounds", e.Spin), fmt.Sprint(len(e.Gates)),
			fmt.Sprint(e.Count(Fail)), fmt.Sprint(e.Count(Pass)), fmt.Sprint(e.Count(Inconclusive)), fmt.Sprint(e.Count(Unfit)),
			shareOf(e.Count(Fail), len(e.Gates)), shareOf(e.Count(Inconclusive), len(e.Gates)), seen, fmt.Sprintf("%.2f %%", 100*e.SD), strings.Join(effects, ", "),
		})
	}
	simulated := table{
		title: "Simulated noise",
		note: fmt.Sprintf("Gates of %d rows and %d rounds, each with a standard deviation of %.1f %%; one row is slower. Shares with 95 %% intervals (Clopper and Pearson).",
			simulatedRows, r.Rounds, 100*simulatedSD),
		head: []string{"noise", "one row slower by", "gates", "some row fails", "that row fails", "inconclusive"},
	}
	for _, s := range r.Simulated {
		found := none
		if s.Effect > 0 {
			found = shareOf(s.Found, s.Trials)
		}
		simulated.rows = append(simulated.rows, []string{
			s.Noise, fmt.Sprintf("%.0f %%", 100*s.Effect), fmt.Sprint(s.Trials), shareOf(s.Failed, s.Trials), found, shareOf(s.Inconclusive, s.Trials),
		})
	}
	var all []table
	for _, t := range []table{promises, real, simulated} {
		if len(t.rows) > 0 {
			all = append(all, t)
		}
	}
	return all
}

// shareOf is a share with its interval.
func shareOf(k, n int) string {
	if n == 0 {
		return none
	}
	p, lo, hi := Share(k, n)
	return fmt.Sprintf("%.2f %% [%.2f, %.2f]", 100*p, 100*lo, 100*hi)
}

// Print writes the report for people.
func (r *SelfReport) Print(w io.Writer) error {
	for _, t := range r.tables() {
		if _, err := fmt.Fprintf(w, "%s\n\n", t.title); err != nil {
			return err
		}
		if t.note != "" {
			fmt.Fprintf(w, "%s\n\n", t.note)
		}
		columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(columns, strings.Join(t.head, "\t"))
		for _, row := range t.rows {
			fmt.Fprintln(columns, strings.Join(row, "\t"))
		}
		if err := columns.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	return nil
}

// Markdown writes the report as a page, without its heading.
func (r *SelfReport) Markdown(w io.Writer) error {
	var b strings.Builder
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "## %s\n\n", t.title)
		if t.note != "" {
			fmt.Fprintf(&b, "%s\n\n", t.note)
		}
		fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
		for _, row := range t.rows {
			for i := range row {
				row[i] = escaped(row[i])
			}
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
		b.WriteByte('\n')
	}
	if len(r.Simulated) > 0 {
		fmt.Fprintf(&b, "The models of noise:\n\n")
		for _, noise := range Noises {
			fmt.Fprintf(&b, "- %s: %s\n", noise.Name, noise.Doc)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
