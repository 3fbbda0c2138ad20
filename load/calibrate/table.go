package calibrate

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Print writes the report for people: a table with a line for each cell, then
// the verdicts.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "generator on CPU %s; C client made by %s\n\n", r.CPU, r.Compiler)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "workload\tbeside\trounds\tCPU/req\tbeside it\tsd of ratio\treq/CPU-s\thighest req/s\tlimit\t")
	for _, c := range r.all() {
		if c.Verdict == Absent {
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n", c.Name, c.Other, len(c.Rounds),
			c.Ours.format(), c.Theirs.format(), c.formatSD(), formatCount(c.Yield), formatCount(c.HighestRate), orDash(string(c.Limit)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteByte('\n')
	for _, c := range r.all() {
		b.WriteString(c.verdictLine() + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// verdictLine says in one line what a cell was held to and what came out.
func (c *Cell) verdictLine() string {
	line := fmt.Sprintf("%s: CPU per request at most %.2f times that of the C client: %s", c.Name, c.Bound, c.Verdict)
	if c.atLeast() {
		line = fmt.Sprintf("%s: requests per CPU-second at least wrk's: %s", c.Name, c.Verdict)
	}
	if c.Ratio != nil {
		line += fmt.Sprintf(" (ratio %.3f [%.3f, %.3f])", c.Ratio.Mean, c.Ratio.Lo, c.Ratio.Hi)
	}
	if c.Verdict == Undecided {
		line += ", as the bound is within the interval (more rounds narrow it)"
	}
	if len(c.Reasons) > 0 {
		line += ": " + strings.Join(c.Reasons, "; ")
	}
	return line
}

func (s *Spread) format() string {
	if s == nil {
		return "-"
	}
	return formatCount(s.Mean) + " ns"
}

func (c *Cell) formatSD() string {
	if c.Ratio == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*c.Ratio.SD)
}

// formatCount rounds to a whole number with separators; 0 is absent.
func formatCount(v float64) string {
	if v == 0 {
		return "-"
	}
	s := strconv.FormatInt(int64(math.Round(v)), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func formatSize(bytes int) string {
	if bytes >= 1<<10 && bytes%(1<<10) == 0 {
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d B", bytes)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
