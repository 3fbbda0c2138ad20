package results

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// printSummary writes what a person wants to know at the end of a run.
func printSummary(w io.Writer, s Summary) {
	printRows(w, s.Rows)
	printNotes(w, s.Notes)
	skipped := 0
	for _, n := range s.Notes {
		if n.Kind == Skip {
			skipped++
		}
	}
	fmt.Fprintf(w, "%s, %s", count(len(s.Rows), "benchmark"), count(s.Results, "result"))
	if skipped > 0 {
		fmt.Fprintf(w, ", %d skipped", skipped)
	}
	fmt.Fprintf(w, ", in %s\n", formatDuration(s.Duration))
	switch {
	case s.Path == "":
	case s.Partial:
		fmt.Fprintf(w, "partial run: %s\n  because: %s\n", s.Path, s.Reason)
	default:
		fmt.Fprintf(w, "run: %s\n", s.Path)
	}
}

// printRows writes a table for each group of benchmarks with the same base name,
// as these report the same metrics. With repetitions, a cell is the median, with
// the extremes in the line below.
func printRows(w io.Writer, rows []Row) {
	severalPackages := slices.ContainsFunc(rows, func(r Row) bool { return r.Package != rows[0].Package })
	for start := 0; start < len(rows); {
		end := start + 1
		for end < len(rows) && rows[end].Package == rows[start].Package && baseName(rows[end]) == baseName(rows[start]) {
			end++
		}
		if severalPackages && (start == 0 || rows[start-1].Package != rows[start].Package) {
			fmt.Fprintf(w, "pkg: %s\n", rows[start].Package)
		}
		printGroup(w, rows[start:end])
		start = end
	}
}

func baseName(r Row) string {
	base, _, _ := strings.Cut(r.Name, "/")
	return base
}

func printGroup(w io.Writer, rows []Row) {
	var units []string
	repeated := false
	for _, r := range rows {
		repeated = repeated || r.N > 1
		for _, m := range r.Metrics {
			if unitTitle(m.Unit) != "" && !slices.Contains(units, m.Unit) {
				units = append(units, m.Unit)
			}
		}
	}
	slices.SortStableFunc(units, func(a, b string) int { return unitRank(a) - unitRank(b) })
	head := []string{"benchmark", "n"}
	if repeated {
		head[0] = "benchmark: median, least–most"
	}
	for _, u := range units {
		head = append(head, unitTitle(u))
	}
	table := [][]string{head}
	for _, r := range rows {
		line := []string{r.Name, fmt.Sprint(r.N)}
		span := []string{"", ""}
		for _, u := range units {
			m, ok := r.metric(u)
			switch {
			case !ok:
				line, span = append(line, "-"), append(span, "")
				continue
			case m.N < r.N:
				line = append(line, fmt.Sprintf("%s (n=%d)", formatValue(m.Median, u), m.N))
			default:
				line = append(line, formatValue(m.Median, u))
			}
			if m.N > 1 {
				span = append(span, formatValue(m.Min, u)+"–"+formatValue(m.Max, u))
			} else {
				span = append(span, "")
			}
		}
		table = append(table, line)
		if r.N > 1 {
			table = append(table, span)
		}
	}
	printTable(w, table)
	fmt.Fprintln(w)
}

// printTable aligns columns: the first to the left, all others to the right.
func printTable(w io.Writer, table [][]string) {
	var widths []int
	for _, line := range table {
		for i, cell := range line {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range table {
		var b strings.Builder
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString(cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// printNotes lists what was skipped, failed or is in doubt.
func printNotes(w io.Writer, notes []Note) {
	for _, kind := range []NoteKind{Failure, Skip, Warning, Info} {
		for _, n := range notes {
			if n.Kind == kind {
				fmt.Fprintln(w, formatNote(n))
			}
		}
	}
	if len(notes) > 0 {
		fmt.Fprintln(w)
	}
}

func formatNote(n Note) string {
	about := strings.TrimPrefix(n.Benchmark, "Benchmark")
	if about != "" {
		about += ": "
	}
	word := map[NoteKind]string{Failure: "failed", Skip: "skipped", Warning: "warning", Info: "note"}[n.Kind]
	return fmt.Sprintf("%-8s %s%s", word, about, cutLine(n.Text, 500))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// formatDuration rounds to what a person reads at a glance: 0.4s, 12s, 2m31s.
func formatDuration(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
