package results

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// mostScatterColumns bounds the width of the table of scatter.
const mostScatterColumns = 6

// printScatter shows how much each benchmark differed from itself within each of
// two runs: the distance between the extremes, relative to the median. That is
// the least one has to expect between two runs of identical binaries.
func printScatter(w io.Writer, before, after []Row) {
	type pair struct {
		name     string
		old, new Row
	}
	var pairs []pair
	common := false
	for _, r := range before {
		i := slices.IndexFunc(after, func(o Row) bool { return o.Package == r.Package && o.Name == r.Name })
		p := pair{name: r.Name, old: r}
		if i >= 0 {
			p.new, common = after[i], true
		}
		pairs = append(pairs, p)
	}
	for _, r := range after {
		if !slices.ContainsFunc(before, func(o Row) bool { return o.Package == r.Package && o.Name == r.Name }) {
			pairs = append(pairs, pair{name: r.Name, new: r})
		}
	}
	if !common {
		fmt.Fprintln(w, "No benchmark is in both runs.")
	}
	pairs = slices.DeleteFunc(pairs, func(p pair) bool { return p.old.N < 2 && p.new.N < 2 })
	if len(pairs) == 0 {
		fmt.Fprintln(w, "Scatter is not known: every benchmark ran once. Six repetitions (-count=6) show it, and let benchstat give intervals.")
		return
	}

	var units []string
	for _, p := range pairs {
		for _, m := range slices.Concat(p.old.Metrics, p.new.Metrics) {
			if m.N > 1 && unitTitle(m.Unit) != "" && !slices.Contains(units, m.Unit) {
				units = append(units, m.Unit)
			}
		}
	}
	slices.SortStableFunc(units, func(a, b string) int { return unitRank(a) - unitRank(b) })
	shown := units[:min(len(units), mostScatterColumns)]

	var worst float64
	var where string
	cell := func(r Row, unit string) string {
		m, ok := r.metric(unit)
		if !ok || m.N < 2 || m.Median == 0 {
			return "-"
		}
		if s := m.Spread(); s > worst {
			worst, where = s, r.Name+", "+unitTitle(unit)
		}
		return fmt.Sprintf("%.1f%%", 100*m.Spread())
	}
	head := []string{"scatter within a run, old / new", "n"}
	for _, u := range shown {
		head = append(head, unitTitle(u))
	}
	table := [][]string{head}
	for _, p := range pairs {
		line := []string{p.name, fmt.Sprintf("%d / %d", p.old.N, p.new.N)}
		for _, u := range shown {
			line = append(line, cell(p.old, u)+" / "+cell(p.new, u))
		}
		table = append(table, line)
	}
	printTable(w, table)
	if rest := units[len(shown):]; len(rest) > 0 {
		var titles []string
		for _, u := range rest {
			titles = append(titles, unitTitle(u))
		}
		fmt.Fprintf(w, "(not shown: %s)\n", strings.Join(titles, ", "))
	}
	if worst > 0 {
		fmt.Fprintf(w, "Scatter is (most - least) / median. Within one run the same binary differed from itself by up to %.1f %% (%s);\na difference that is not clearly larger may be noise.\n", 100*worst, where)
	}
}
