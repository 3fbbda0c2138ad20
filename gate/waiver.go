package gate

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Waiver lets a row be worse until a day, for a reason that everybody can read.
type Waiver struct {
	Until  time.Time // the last day on which it holds, UTC
	Name   string    // of the row's load
	Unit   string
	Reason string
	Place  string // where it is written, FILE:LINE
}

// ReadWaivers reads a file of waivers, one a line:
//
//	2026-12-31 Echo/model=goroutine/conns=100/size=1024 server-cpu-ns/op checksums, see the proposal
//
// Empty lines and those that begin with # are skipped. A line that is none, is
// listed twice or whose day is over is an error that wraps [ErrInput] and names
// its place: a waiver that nobody looks at any more hides what it was not meant to.
func ReadWaivers(r io.Reader, file string, now time.Time) ([]Waiver, error) {
	var all []Waiver
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		place := fmt.Sprintf("%s:%d", file, number)
		bad := func(format string, args ...any) error {
			return badInput("%s: %s", place, fmt.Sprintf(format, args...))
		}
		fields := strings.Fields(line)
		if len(fields) < 4 {
			return nil, bad("%q is no waiver (want: YYYY-MM-DD ROW UNIT REASON)", line)
		}
		until, err := time.Parse(time.DateOnly, fields[0])
		if err != nil {
			return nil, bad("%q is no date (want YYYY-MM-DD, the last day on which the waiver holds)", fields[0])
		}
		if now.UTC().Format(time.DateOnly) > until.Format(time.DateOnly) {
			return nil, bad("the waiver of %s %s ended on %s (mend the row, or give the waiver another date)", fields[1], fields[2], fields[0])
		}
		w := Waiver{Until: until, Name: fields[1], Unit: fields[2], Reason: strings.Join(fields[3:], " "), Place: place}
		if slices.ContainsFunc(all, w.sameRow) {
			return nil, bad("%s %s is waived twice", w.Name, w.Unit)
		}
		all = append(all, w)
	}
	if err := lines.Err(); err != nil {
		return nil, badInput("%s: %v", file, err)
	}
	return all, nil
}

func (w Waiver) sameRow(other Waiver) bool { return w.Name == other.Name && w.Unit == other.Unit }

// CheckWaivers returns an error, which wraps [ErrInput], if one is of no row that
// gates. Cells are all that there are, driven or not.
func CheckWaivers(all []Waiver, cells []Cell) error {
	for _, w := range all {
		known := slices.ContainsFunc(cells, func(c Cell) bool {
			return c.Name == w.Name && slices.ContainsFunc(c.Metrics, func(m Metric) bool { return m.Unit == w.Unit && m.Gates })
		})
		if !known {
			return badInput("%s: %s %s is not a row that gates (netbench gate -list prints them)", w.Place, w.Name, w.Unit)
		}
	}
	return nil
}
