package calibrate

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// columns are the heads of the table; row is a cell's line in it.
var columns = []string{"workload", "beside", "rounds", "CPU/req", "beside it", "sd of ratio", "req/CPU-s", "highest req/s", "limit"}

func (c *Cell) row() []string {
	return []string{
		c.Name, c.Other, strconv.Itoa(len(c.Rounds)), c.Ours.format(), c.Theirs.format(), c.formatSD(),
		formatCount(c.Yield), formatCount(c.HighestRate), orDash(string(c.Limit)),
	}
}

// rows are the lines of the table. What is absent has none.
func (r *Report) rows() (rows [][]string) {
	for _, c := range r.all() {
		if c.Verdict != Absent {
			rows = append(rows, c.row())
		}
	}
	return rows
}

// Print writes the report for people: a table with a line for each cell, then
// the verdicts.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "generator on CPU %s; C client made by %s\n\n", r.CPU, r.Compiler)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range append([][]string{columns}, r.rows()...) {
		fmt.Fprintln(t, strings.Join(row, "\t")+"\t")
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

// Markdown writes the report as a page that can be kept beside the project.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	e := r.Environment
	fmt.Fprintf(&b, `# How cheap the generator is

Written by `+"`make proof-generator`"+` on %s with %s for
%s/%s on %s, %d CPUs (%s).
Clients on CPU %s, server on CPU %s; C client made by %s.

CPU/req is CPU time of the generator's whole process for each request, and "beside
it" that of the other client's process, as geometric means over rounds. In a round
both drive the same server in turn, in short slices with equal numbers of requests;
wrk takes turns in blocks, and both are charged from connecting to closing.

`, e.Start.Format(time.DateOnly), e.GoVersion, e.GOOS, e.GOARCH, e.Kernel, e.CPUs, e.CPUModel,
		r.CPU, e.ServerCPUs, r.Compiler)
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, row := range r.rows() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteByte('\n')
	for _, c := range r.all() {
		b.WriteString("- " + c.verdictLine() + "\n")
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
