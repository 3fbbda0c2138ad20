package race

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Title says what was raced.
func (r *Report) Title() string {
	title := r.Service + ", " + workload(r.Conns, r.Silent, r.Size, r.Pipeline) + ", " + string(r.State)
	if r.PacedRate != nil {
		title += fmt.Sprintf(" at %.0f requests a second", *r.PacedRate)
	}
	return title
}

// workload is a load in words: "1000 x 1 KiB, pipelined by 16".
func workload(conns, silent, size, pipeline int) string {
	text := fmt.Sprintf("%d connections", conns)
	if size > 0 {
		text = fmt.Sprintf("%d x %s", conns, sizeText(size))
	}
	if silent > 0 {
		text += fmt.Sprintf(", %.3g %% idle", 100*float64(silent)/float64(conns))
	}
	if pipeline > 1 {
		text += fmt.Sprintf(", pipelined by %d", pipeline)
	}
	return text
}

func sizeText(size int) string {
	switch {
	case size >= 1<<20 && size%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", size>>20)
	case size >= 1<<10 && size%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", size>>10)
	}
	return fmt.Sprintf("%d B", size)
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d of %d rounds count, seed %d\n\n", r.Title(), r.RoundsCounted, r.Rounds, r.Seed)
	if r.RoundsCounted > 0 {
		head, rows := r.rows()
		writeAligned(&b, head, rows)
		fmt.Fprintf(&b, "\nRatios are to %s, with 95 %% intervals; ~ is a rate that informs only.\n", r.Baseline)
	}
	if r.pacedBy != "" {
		fmt.Fprintf(&b, "Paced at %.0f requests a second, %s.\n", *r.PacedRate, r.pacedBy)
	}
	fmt.Fprintf(&b, "\n%s\n", r.Verdict.Text)
	for _, line := range r.Notes() {
		fmt.Fprintf(&b, "%s\n", line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Notes are what has to be said beside the table, a line each.
func (r *Report) Notes() []string {
	var lines []string
	for _, line := range r.declared() {
		lines = append(lines, "declared: "+line)
	}
	for _, version := range r.versions() {
		lines = append(lines, "version: "+version)
	}
	return append(lines, r.notes()...)
}

// versions are those of other people's engines, with their names.
func (r *Report) versions() []string {
	var all []string
	for _, s := range r.Contenders {
		if s.Version != "" {
			all = append(all, s.Model+" "+s.Version)
		}
	}
	return all
}

// declared is what contenders could not be given.
func (r *Report) declared() []string {
	var lines []string
	for _, s := range r.Contenders {
		for _, d := range s.Declared {
			lines = append(lines, s.Model+": "+d)
		}
	}
	return lines
}

// notes are the others.
func (r *Report) notes() []string {
	var lines []string
	for _, s := range r.Contenders {
		if s.Fallback != "" {
			lines = append(lines, fmt.Sprintf("fallback: %s: %s", s.Model, s.Fallback))
		}
		if s.Informs {
			lines = append(lines, fmt.Sprintf("informs: %s is measured and takes no part in the decision", s.Model))
		}
	}
	if r.ServiceRun != r.Service {
		lines = append(lines, fmt.Sprintf("service: %s was run as %s", r.Service, r.ServiceRun))
	}
	var absent grouped
	for _, a := range r.Absent {
		absent.add(a.Model, a.Reason)
	}
	for _, g := range absent {
		lines = append(lines, fmt.Sprintf("absent: %s: %s", strings.Join(g.models, ", "), g.about))
	}
	for _, why := range r.Reasons {
		if why != memoryNotMeasured {
			lines = append(lines, "note: "+why)
		}
	}
	return lines
}

// rows is the table. Columns that nobody has are left out.
func (r *Report) rows() (head []string, rows [][]string) {
	type column struct {
		name string
		cell func(s *Standing) string
	}
	columns := []column{
		{"model", func(s *Standing) string { return s.Model }},
		{"cpu/req", func(s *Standing) string { return nanos(s.CPUPerOp) }},
		{"cpu ratio", func(s *Standing) string { return ratioText(s.CPURatio, s.CPULo, s.CPUHi) }},
		{"req/s", func(s *Standing) string { return rateText(s) }},
		{"rate ratio", func(s *Standing) string { return ratioText(s.RateRatio, s.RateLo, s.RateHi) }},
		{"p50", func(s *Standing) string { return latency(s, 50) }},
		{"p99", func(s *Standing) string { return latency(s, 99) }},
		{"p99 ratio", func(s *Standing) string { return ratioText(s.P99Ratio, s.P99Lo, s.P99Hi) }},
		{"busy", func(s *Standing) string { return percent(s.Busy) }},
		{"syscalls/req", func(s *Standing) string { return number(s.SyscallsPerOp) }},
		{"ctxsw/req", func(s *Standing) string { return number(s.SwitchesPerOp) }},
		{"allocs/req", func(s *Standing) string { return number(s.AllocsPerOp) }},
		{"B/conn", func(s *Standing) string { return whole(s.UserBytesPerConn) }},
		{"lost rounds", func(s *Standing) string {
			if s.LostRounds == 0 {
				return none
			}
			return fmt.Sprint(s.LostRounds)
		}},
	}
	for _, c := range columns {
		var cells []string
		some := false
		for i := range r.Contenders {
			cell := c.cell(&r.Contenders[i])
			some = some || cell != none
			cells = append(cells, cell)
		}
		if !some {
			continue
		}
		head = append(head, c.name)
		if rows == nil {
			rows = make([][]string, len(cells))
		}
		for i, cell := range cells {
			rows[i] = append(rows[i], cell)
		}
	}
	return head, rows
}

// writeAligned writes a table: the first column to the left, the others to the
// right.
func writeAligned(b *strings.Builder, head []string, rows [][]string) {
	width := make([]int, len(head))
	all := append([][]string{head}, rows...)
	for _, row := range all {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range all {
		line := row[0] + strings.Repeat(" ", width[0]-utf8.RuneCountInString(row[0]))
		for i, cell := range row[1:] {
			line += "  " + strings.Repeat(" ", width[i+1]-utf8.RuneCountInString(cell)) + cell
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// none stands for what is absent.
const none = "-"

func ratioText(mean, lo, hi *float64) string {
	if mean == nil {
		return none
	}
	upper := fmt.Sprintf("%.3f", *hi)
	if *hi > 99 { // whatever it is, nothing is known
		upper = "99+"
	}
	return fmt.Sprintf("%.3f [%.3f, %s]", *mean, *lo, upper)
}

func nanos(v *float64) string {
	if v == nil {
		return none
	}
	return fmt.Sprintf("%.0f ns", *v)
}

func number(v *float64) string {
	if v == nil {
		return none
	}
	return fmt.Sprintf("%.3f", *v)
}

func whole(v *float64) string {
	if v == nil {
		return none
	}
	return fmt.Sprintf("%.0f", *v)
}

func percent(v *float64) string {
	if v == nil {
		return none
	}
	return fmt.Sprintf("%.0f %%", 100**v)
}

func rateText(s *Standing) string {
	switch {
	case s.Rate == nil:
		return none
	case s.RateRatio == nil:
		return fmt.Sprintf("~%.0f", *s.Rate)
	}
	return fmt.Sprintf("%.0f", *s.Rate)
}

func latency(s *Standing, percentile int) string {
	if s.Latency == nil {
		return none
	}
	v := s.Latency.P50
	if percentile == 99 {
		v = s.Latency.P99
	}
	if v == nil {
		return none
	}
	d := time.Duration(*v)
	switch {
	case d < time.Millisecond:
		return d.Round(100 * time.Nanosecond).String()
	case d < time.Second:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
