package race

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"netbench/results"
)

// Choice says which model to choose for a cell, from what was measured: the
// winner of its races. What ties with it may be chosen as well; where the states
// differ, each has its own.
type Choice struct {
	Cell    Cell
	Reports []*Report // one for each state
}

// choices groups reports by their cells, in order.
func choices(races []CellRace, reports []*Report) []Choice {
	var all []Choice
	for i, r := range reports {
		cell := races[i].Cell
		if n := len(all); n > 0 && all[n-1].Cell.Name == cell.Name {
			all[n-1].Reports = append(all[n-1].Reports, r)
			continue
		}
		all = append(all, Choice{cell, []*Report{r}})
	}
	return all
}

// Load is the cell's load in words.
func (c Choice) Load() string {
	r := c.Reports[0]
	return r.Service + ", " + workload(r.Conns, r.Silent, r.Size, r.Pipeline)
}

// Model is what to choose: one model; several that tie; different ones by state;
// "undecided".
func (c Choice) Model() string {
	var picks []string
	same := true
	for _, r := range c.Reports {
		pick := "undecided"
		if v := r.Verdict; v.Winner != "" {
			pick = strings.Join(append([]string{v.Winner}, v.Tied...), " or ")
		}
		picks = append(picks, pick)
		same = same && pick == picks[0]
	}
	if same {
		return picks[0]
	}
	for i, r := range c.Reports {
		picks[i] = string(r.State) + ": " + picks[i]
	}
	return strings.Join(picks, "; ")
}

// Why are the reasons, one for each state.
func (c Choice) Why() []string {
	var lines []string
	for _, r := range c.Reports {
		line := string(r.State) + ": " + r.Verdict.Text
		if low := r.floorLine(); low != "" {
			line += "; " + low
		}
		lines = append(lines, line)
	}
	return lines
}

// floorLine says how far the winner is above the floor; "" if there is none.
func (r *Report) floorLine() string {
	winner := r.standingOf(r.Verdict.Winner)
	if winner == nil {
		return ""
	}
	metric, name := r.metric()
	for _, s := range r.Contenders { // the cheapest first
		if s.Kind != Floor {
			continue
		}
		mean, lo, hi := interval(r.Comparison.Ratio(s.index, winner.index, metric))
		if mean == nil {
			continue
		}
		return fmt.Sprintf("its %s is %s times that of %s, the floor", name, ratioText(mean, lo, hi), s.Model)
	}
	return ""
}

func (r *Report) standingOf(model string) *Standing {
	for i := range r.Contenders {
		if r.Contenders[i].Model == model {
			return &r.Contenders[i]
		}
	}
	return nil
}

// rule explains how a model is chosen.
const rule = `The choice is the model with the least server CPU time for each request whose 95 %
interval is clear of the next one's; where it is not, the tie is named. Where
answers wait, CPU time is not what limits a server, and latency decides: the median
of the closed loop, the p99 of the paced one. Ours and other people's engines are
chosen from; the floor is a line to measure against.`

// PrintChoices writes which model to choose in each cell, and why.
func PrintChoices(w io.Writer, races []CellRace, reports []*Report) error {
	var b strings.Builder
	b.WriteString("Which model to choose\n\n" + rule + "\n\n")
	for _, c := range choices(races, reports) {
		fmt.Fprintf(&b, "%s: %s\n", c.Load(), c.Model())
		for _, why := range c.Why() {
			fmt.Fprintf(&b, "  %s\n", why)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown writes a page about races of cells, which command has held.
func Markdown(w io.Writer, command string, host results.Fingerprint, races []CellRace, reports []*Report) error {
	var b strings.Builder
	b.WriteString("# Which model for which load\n\n")
	fmt.Fprintf(&b, "    %s\n\nwrote this on %s with %s for\n%s/%s on %s, %d CPUs (%s).\n",
		command, host.Start.Format(time.DateOnly), host.GoVersion, host.GOOS, host.GOARCH, host.Kernel, host.CPUs, host.CPUModel)
	if len(reports) > 0 {
		fmt.Fprintf(&b, "Servers on CPU %s, generator on CPU %s; at most %d rounds of slices of %v with fresh\nprocesses. Ratios are to %s.\n",
			list(reports[0].ServerCPUs), list(reports[0].GeneratorCPUs), reports[0].RoundsAsked, reports[0].Slice, reports[0].Baseline)
	}
	b.WriteString("\n## The choice\n\n" + rule + "\n\n| load | model to choose | why |\n|---|---|---|\n")
	all := choices(races, reports)
	for _, c := range all {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", escape(c.Load()), escape(c.Model()), escape(strings.Join(c.Why(), "<br>")))
	}
	b.WriteString("\n## The measurements\n")
	if slices.ContainsFunc(races, func(c CellRace) bool { return c.Cell.Models != nil && c.Options.LeaveOut }) {
		fmt.Fprintf(&b, "\nWith ten thousand connections to each model, memory and time are short: there only\n%s\nrace, as far as this host has them.\n", strings.Join(fewer, ", "))
	}
	for _, c := range all {
		for _, r := range c.Reports {
			r.section(&b, reports[0].Baseline)
		}
	}
	listOnce(&b, "What contenders could not be given", reports, (*Report).declared)
	listOnce(&b, "Versions of other people's engines", reports, (*Report).versions)
	_, err := io.WriteString(w, b.String())
	return err
}

// listOnce writes a section with the lines of all reports, each of them once; none
// if there are no lines.
func listOnce(b *strings.Builder, title string, reports []*Report, lines func(*Report) []string) {
	var all []string
	for _, r := range reports {
		for _, line := range lines(r) {
			if !slices.Contains(all, line) {
				all = append(all, line)
			}
		}
	}
	if len(all) > 0 {
		fmt.Fprintf(b, "\n## %s\n\n- %s\n", title, strings.Join(all, "\n- "))
	}
}

// section is one race on the page, which says that ratios are to usual.
func (r *Report) section(b *strings.Builder, usual string) {
	fmt.Fprintf(b, "\n### %s\n\n%d of %d rounds count, seed %d. ", r.Title(), r.RoundsCounted, r.Rounds, r.Seed)
	if r.pacedBy != "" {
		fmt.Fprintf(b, "The rate is %s. ", r.pacedBy)
	}
	if r.Baseline != usual {
		fmt.Fprintf(b, "Ratios are to %s. ", r.Baseline)
	}
	b.WriteString("A rate with ~ informs only.\n\n")
	head, rows := r.rows()
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = "---"
	}
	for _, row := range append([][]string{head, rule}, rows...) {
		for i, cell := range row {
			row[i] = escape(cell)
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	fmt.Fprintf(b, "\n- %s\n", r.Verdict.Text)
	if low := r.floorLine(); low != "" {
		fmt.Fprintf(b, "- %s: %s\n", r.Verdict.Winner, low)
	}
	for _, line := range r.notes() {
		fmt.Fprintf(b, "- %s\n", line)
	}
}

func escape(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func list(numbers []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(numbers)), ","), "[]")
}
