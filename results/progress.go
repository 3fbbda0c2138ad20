package results

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/perf/benchfmt"
)

// progress shows how far a run is. On a terminal that is one line, drawn again
// and again below whatever else is printed; elsewhere a line for each result.
type progress struct {
	w        io.Writer
	terminal bool
	width    int // of the terminal in columns
	start    time.Time

	running string
	results int
	drawn   bool
}

// draw shows the state as of now. It does nothing without a terminal.
func (p *progress) draw() {
	if !p.terminal {
		return
	}
	state := p.running
	if state == "" {
		state = "waiting for a benchmark"
	}
	s := fmt.Sprintf("[%s, %s] %s", formatDuration(time.Since(p.start)), count(p.results, "result"), state)
	// A line as wide as the terminal would wrap and could not be drawn over.
	if most := p.width - 1; utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:max(0, most-1)]) + "…"
	}
	fmt.Fprint(p.w, "\r\x1b[K"+s)
	p.drawn = true
}

// clear takes the status line away.
func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// print shows a line that stays.
func (p *progress) print(s string) {
	p.clear()
	fmt.Fprintln(p.w, s)
	p.draw()
}

func (p *progress) begin(name string) {
	p.running = strings.TrimPrefix(name, "Benchmark")
	p.draw()
}

func (p *progress) result(res *benchfmt.Result) {
	p.results++
	p.running = ""
	if p.terminal {
		p.draw()
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[%s, %d] %s", formatDuration(time.Since(p.start)), p.results, res.Name)
	values := slices.Clone(res.Values)
	slices.SortStableFunc(values, func(a, b benchfmt.Value) int { return unitRank(a.Unit) - unitRank(b.Unit) })
	for _, v := range values {
		if title := unitTitle(v.Unit); title != "" {
			fmt.Fprintf(&b, "  %s %s", title, formatValue(v.Value, v.Unit))
		}
	}
	fmt.Fprintln(p.w, b.String())
}
