package gcprofile

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Print writes the report for a person, Markdown for a page.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder // which never fails, so that the one write tells of every failure
	fmt.Fprintf(&b, "%s\n\n", r.heading())
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range r.table() {
		fmt.Fprintln(t, strings.Join(line, "\t"))
	}
	_ = t.Flush()
	fmt.Fprintf(&b, "\n%s\n", legend)
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	if r.Recommendation != nil {
		fmt.Fprintf(&b, "\nrecommendation: %s\n", r.Recommendation.Text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown writes the same with a table of Markdown.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.heading())
	for i, line := range r.table() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(line, " | "))
		if i == 0 {
			b.WriteString("|" + strings.Repeat(" --- |", len(line)) + "\n")
		}
	}
	fmt.Fprintf(&b, "\n%s\n", legend)
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "\n- %s\n", warning)
	}
	if r.Recommendation != nil {
		fmt.Fprintf(&b, "\nRecommendation: %s\n", r.Recommendation.Text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// legend explains the table.
const legend = `Times and shares are those of all blocks together; in brackets the least and the most
that one block had, or of a mean its 95 % interval. gc is the share of the server's CPU
time in the collector, assist the part of it that requests had to do. A percentile with
fewer than 10/(1-q) samples is "-", and so is one of a latency that the generator's own
lateness may have made: its lag at the same percentile is above 5 % of it, and 200 µs.`

func (r *Report) heading() string {
	text := fmt.Sprintf("%s, live set %s of %s objects, %s allocated for each request, %d connections, %.0f requests/s",
		r.Spec.Model, FormatSize(r.Spec.Live), r.Spec.Objects, r.Spec.Alloc, r.Drive.Conns, r.Drive.Rate)
	if r.Capacity > 0 {
		text += fmt.Sprintf(" (%.0f %% of the %.0f/s that a closed loop reached with GOGC=100)", 100*r.Share, r.Capacity)
	}
	return text + fmt.Sprintf("; seed %d, %s", r.Seed, r.Host.GoVersion)
}

// table has a line of headings, and one for each setting.
func (r *Report) table() [][]string {
	lines := [][]string{{"setting", "blocks", "p50", "p90", "p99", "p99.9", "gc", "assist", "gcs", "gcs/min", "pause p50", "pause p90", "pause p99", "pause max", "sched p50", "sched p99", "peak RSS", "heap goal"}}
	for _, w := range r.Rows {
		lines = append(lines, []string{
			w.Setting.String(), fmt.Sprint(len(w.Blocks)),
			show(w.P50, roundTimeText), show(w.P90, roundTimeText), showRange(w.P99, roundTimeText), showRange(w.P999, roundTimeText),
			showRange(w.GCShare, percent), show(w.AssistShare, percent), fmt.Sprint(w.Collections), show(w.PerMinute, threeDigits),
			show(w.PauseP50, roundTimeText), show(w.PauseP90, roundTimeText), show(w.PauseP99, roundTimeText), show(w.PauseMax, roundTimeText),
			show(w.SchedP50, roundTimeText), show(w.SchedP99, roundTimeText),
			showRange(w.PeakRSS, roundSize), show(w.HeapGoal, roundSize),
		})
	}
	return lines
}

func show(f Figure, format func(float64) string) string {
	if f.Value == nil {
		return "-"
	}
	return format(*f.Value)
}

func showRange(f Figure, format func(float64) string) string {
	text := show(f, format)
	if f.Lo != nil && f.Hi != nil {
		text += " [" + format(*f.Lo) + ".." + format(*f.Hi) + "]"
	}
	return text
}

func percent(share float64) string { return threeDigits(100*share) + "%" }

// threeDigits prints a number with three digits, and those before the point in full.
func threeDigits(v float64) string {
	decimals := 2
	if v > 0 {
		decimals = min(2, max(0, 2-int(math.Floor(math.Log10(v)))))
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

func roundTimeText(ns float64) string { return roundTime(ns).String() }

// roundTime keeps three digits of a time in nanoseconds.
func roundTime(ns float64) time.Duration {
	if ns <= 0 {
		return 0
	}
	unit := time.Duration(math.Pow(10, math.Max(0, math.Floor(math.Log10(ns))-2)))
	return time.Duration(ns).Round(unit)
}
