package beforeafter

import (
	"fmt"
	"io"
	"strings"

	"netbench/load"
	"netbench/results"
)

// Print writes the article's table with our figures beside it, and the verdicts. It
// is Markdown that reads well as it is.
func (p *Report) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%.0f requests/s to both", p.Rate)
	if p.Capacity > 0 {
		fmt.Fprintf(&b, " (%.0f %% of what the naive one can do, %.0f)", 100*p.Rate/p.Capacity, p.Capacity)
	}
	fmt.Fprintf(&b, ", Poisson, %d connections; %d products, %d items an order;\n%d rounds of a block of %g s of each. naive: GOGC=%s GOMEMLIMIT=%s; tuned: GOGC=%s GOMEMLIMIT=%s.\nMeans over rounds with 95 %% intervals; ratios are geometric means.\n\n",
		p.Conns, p.Products, p.Items, p.Rounds, p.BlockS, p.Naive.GOGC, p.Naive.GOMEMLIMIT, p.Tuned.GOGC, p.Tuned.GOMEMLIMIT)
	rows := [][]string{{"", "article: before", "after", "naive", "tuned", "tuned / naive"}}
	for _, r := range p.Rows {
		m := r.metric
		rows = append(rows, []string{m.title, orDash(m.claim[0]), orDash(m.claim[1]), m.format(r.Naive), m.format(r.Tuned), formatRatio(r.Ratio)})
	}
	for _, q := range pauseQuantiles {
		rows = append(rows, []string{"one pause, " + q.name + ", ms", "-", "-", p.NaivePauses.format(q.name), p.TunedPauses.format(q.name), "-"})
	}
	writeTable(&b, rows)
	b.WriteByte('\n')
	rows = [][]string{{"required of tuned / naive", "at most", "found", ""}}
	for _, bound := range p.Bounds {
		rows = append(rows, []string{bound.title, fmt.Sprintf("%.3f", bound.AtMost), formatRatio(bound.Ratio), bound.Verdict})
	}
	writeTable(&b, rows)
	for i, why := range p.Warnings {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "warning: %s\n", why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (m *metric) format(i *Interval) string {
	if i == nil {
		return "-"
	}
	text := fmt.Sprintf("%.*f", m.digit, i.Mean/m.scale)
	if i.Lo != nil {
		text += fmt.Sprintf(" [%.*f, %.*f]", m.digit, *i.Lo/m.scale, m.digit, *i.Hi/m.scale)
	}
	return text
}

func formatRatio(r *load.Ratio) string {
	switch {
	case r == nil:
		return "-"
	case r.N < 2:
		return fmt.Sprintf("%.3f", r.Mean)
	}
	return fmt.Sprintf("%.3f [%.3f, %.3f]", r.Mean, r.Lo, r.Hi)
}

func (s PauseSummary) format(name string) string {
	d, ok := s.Quantiles[name]
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.3f", float64(d)/1e6)
}

// writeTable writes rows, the first of which is the head, in columns.
func writeTable(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	line := func(row []string) {
		for i, cell := range row {
			b.WriteString("| " + cell + strings.Repeat(" ", widths[i]-len([]rune(cell))) + " ")
		}
		b.WriteString("|\n")
	}
	line(rows[0])
	for _, w := range widths {
		b.WriteString("|" + strings.Repeat("-", w+2))
	}
	b.WriteString("|\n")
	for _, row := range rows[1:] {
		line(row)
	}
}

// Write adds the blocks of the rounds that count to a run file, a line each, in Go
// benchmark format; iterations are requests.
func (p *Report) Write(w *results.Writer) error {
	naive, tuned := p.rounds()
	for _, b := range append(naive, tuned...) {
		line := fmt.Sprintf("BenchmarkBeforeAfter/style=%s %d", b.Style, b.Requests)
		for i := range table {
			if v, ok := table[i].of(b); ok {
				line += fmt.Sprintf(" %.6g %s", v, table[i].unit)
			}
		}
		if err := w.Result(line); err != nil {
			return err
		}
	}
	for _, why := range p.Warnings {
		if err := w.Note(results.Note{Kind: results.Warning, Benchmark: "BenchmarkBeforeAfter", Text: why}); err != nil {
			return err
		}
	}
	return nil
}
