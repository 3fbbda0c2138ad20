package sizing

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// plotWidth is that of the longest bar, in characters.
const plotWidth = 40

// Print writes the report as text: a table and a plot for each concurrency, and
// what is recommended.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	b.WriteString(r.head())
	for i := range r.Curves {
		c := &r.Curves[i]
		fmt.Fprintf(&b, "\n%d callers, %d rounds\n\n", c.Concurrency, c.Rounds)
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, strings.Join(columns, "\t")+"\t")
		for _, p := range c.Points {
			fmt.Fprintln(t, strings.Join(p.cells(), "\t")+"\t")
		}
		_ = t.Flush() // a Builder takes all
		b.WriteString("\n")
		b.WriteString(c.plot())
		fmt.Fprintf(&b, "\nknee: %s: %s\n", c.Knee.short(), c.Knee.Text)
		b.WriteString(c.failures())
	}
	b.WriteString("\n" + r.tail())
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown writes the same as parts of a page, from headings of the second level
// on.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(r.head())
	for i := range r.Curves {
		c := &r.Curves[i]
		fmt.Fprintf(&b, "\n## %d callers\n\n%d rounds.\n\n", c.Concurrency, c.Rounds)
		fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("--:|", len(columns)))
		for _, p := range c.Points {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(p.cells(), " | "))
		}
		fmt.Fprintf(&b, "\n```\n%s```\n\nKnee: **%s**: %s.\n", c.plot(), c.Knee.short(), c.Knee.Text)
		if f := c.failures(); f != "" {
			fmt.Fprintf(&b, "\n```\n%s```\n", f)
		}
	}
	b.WriteString("\n## Recommended\n\n" + strings.ReplaceAll(r.tail(), "\n", "\n\n"))
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

func (r *Report) head() string {
	text := fmt.Sprintf("%s pools of %s connections, closed loop, %d rounds of %v slices in shuffled order, seed %d\n",
		r.Kind, joined(r.Sizes), r.Rounds, r.Slice, r.Seed)
	if r.Service != "" {
		text += "before " + r.Service + "\n"
	}
	if r.StandIn {
		text += "STAND-IN: this is not the real service, its figures say nothing of one\n"
	}
	return text
}

// failures has a line for each size whose calls failed.
func (c *Curve) failures() (text string) {
	for _, p := range c.Points {
		if p.Error != "" {
			text += fmt.Sprintf("size %d: %d calls failed, %d of them timed out: %s\n", p.Size, p.Failed, p.Late, p.Error)
		}
	}
	return text
}

// tail is the recommendation with its notes.
func (r *Report) tail() string {
	text := fmt.Sprintf("recommended: %s: %s\n", r.Knee.short(), r.Knee.Text)
	if r.Rule != nil {
		text += "cores x 2 + disks: " + r.Rule.Text + "\n"
	}
	for _, n := range r.Notes {
		text += "note: " + n + "\n"
	}
	return text
}

// columns head what cells returns.
var columns = []string{"size", "ops/s", "95 % interval", "p50", "p99", "p99.9", "wait/op", "waits/op", "conns", "dials", "client CPU/op", "failed", "of the best", "verdict"}

func (p *Point) cells() []string {
	interval, ofBest := "-", "-"
	if p.OpsPerSec.Lo != nil {
		interval = fmt.Sprintf("%.0f to %.0f", *p.OpsPerSec.Lo, *p.OpsPerSec.Hi)
	}
	if p.Judgement.OfBest != nil {
		ofBest = fmt.Sprintf("%.1f %%", 100*p.Judgement.OfBest.Mean)
	}
	var wait, waits, open, dials = "-", "-", "-", "-"
	if p.WaitPerOp != nil {
		wait = short(*p.WaitPerOp)
	}
	if p.WaitsPerOp != nil {
		waits = fmt.Sprintf("%.2f", *p.WaitsPerOp)
	}
	if p.Open != nil {
		open = fmt.Sprint(*p.Open)
	}
	if p.Dials != nil {
		dials = fmt.Sprint(*p.Dials)
	}
	return []string{
		fmt.Sprint(p.Size), fmt.Sprintf("%.0f", p.OpsPerSec.Mean), interval,
		percentile(p.P50), percentile(p.P99), percentile(p.P999),
		wait, waits, open, dials, short(p.ClientCPUPerOp), fmt.Sprint(p.Failed), ofBest, string(p.Judgement.Verdict),
	}
}

func percentile(ns *int64) string {
	if ns == nil {
		return "-"
	}
	return short(float64(*ns))
}

// short is a time of three digits.
func short(ns float64) string {
	d := time.Duration(math.Round(ns))
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
}

// eighths of a block.
var eighths = []rune("▏▎▍▌▋▊▉█")

// plot draws throughput by size, a bar each from zero on, and marks the knee.
func (c *Curve) plot() string {
	most, width := 0.0, 0
	for _, p := range c.Points {
		most = max(most, p.OpsPerSec.Mean)
		width = max(width, len(fmt.Sprint(p.Size)))
	}
	var b strings.Builder
	for _, p := range c.Points {
		bar := ""
		if most > 0 {
			n := int(math.Round(p.OpsPerSec.Mean / most * plotWidth * 8))
			bar = strings.Repeat("█", n/8)
			if n%8 > 0 {
				bar += string(eighths[n%8-1])
			}
		}
		line := fmt.Sprintf("%*d %s%s %.0f ops/s", width, p.Size, bar, strings.Repeat(" ", plotWidth-utf8.RuneCountInString(bar)), p.OpsPerSec.Mean)
		if p.Size == c.Knee.Size && c.Knee.Answer != Undecided {
			line += "  < knee"
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func joined(list []int) string {
	var words []string
	for _, n := range list {
		words = append(words, fmt.Sprint(n))
	}
	return strings.Join(words, ", ")
}
