package results

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchunit"
)

// Exit codes of commands, by what they answer.
const (
	ExitGood      = 0 // good
	ExitFailed    = 1 // something is worse, or failed
	ExitBadInput  = 2 // the question cannot be understood
	ExitUndecided = 3 // interrupted, or not fit to be judged
)

// Summary is what a run amounts to.
type Summary struct {
	Path     string        `json:"path,omitempty"` // of the run file, "" if there is nothing to keep
	Partial  bool          `json:"partial,omitempty"`
	Reason   string        `json:"reason,omitempty"` // why it is partial
	Exit     int           `json:"exit"`             // exit code that follows
	Duration time.Duration `json:"duration_ns"`
	Results  int           `json:"results"` // lines of results
	Rows     []Row         `json:"benchmarks"`
	Notes    []Note        `json:"notes"`
}

// Row is one benchmark, with all its repetitions.
type Row struct {
	Package string       `json:"package,omitempty"`
	Name    string       `json:"name"` // without "Benchmark"
	N       int          `json:"n"`    // repetitions
	Metrics []Statistics `json:"metrics"`
}

// Statistics is one metric of one benchmark over its repetitions. Median is the
// middle value, or half way between the middle two.
type Statistics struct {
	Unit   string  `json:"unit"` // base unit, for instance p50-sec
	N      int     `json:"n"`    // repetitions that reported it
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Spread is the distance between the extremes relative to the median, 0 for a
// median of zero.
func (s Statistics) Spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.Max - s.Min) / s.Median
}

// metric returns the statistics of a unit.
func (r Row) metric(unit string) (Statistics, bool) {
	for _, s := range r.Metrics {
		if s.Unit == unit {
			return s, true
		}
	}
	return Statistics{}, false
}

// Rows gathers results by benchmark, in order of appearance. Results that differ
// in a configuration other than the package's name count as the same benchmark.
func Rows(all []*benchfmt.Result) []Row {
	type key struct{ pkg, name string }
	type samples struct {
		n      int
		units  []string
		values map[string][]float64
	}
	var order []key
	found := make(map[key]*samples)
	for _, res := range all {
		k := key{res.GetConfig("pkg"), string(res.Name)}
		s := found[k]
		if s == nil {
			s = &samples{values: make(map[string][]float64)}
			found[k] = s
			order = append(order, k)
		}
		s.n++
		for _, v := range res.Values {
			if _, ok := s.values[v.Unit]; !ok {
				s.units = append(s.units, v.Unit)
			}
			s.values[v.Unit] = append(s.values[v.Unit], v.Value)
		}
	}
	rows := make([]Row, 0, len(order))
	for _, k := range order {
		s := found[k]
		row := Row{Package: k.pkg, Name: k.name, N: s.n}
		slices.SortStableFunc(s.units, func(a, b string) int { return unitRank(a) - unitRank(b) })
		for _, unit := range s.units {
			row.Metrics = append(row.Metrics, statistics(unit, s.values[unit]))
		}
		rows = append(rows, row)
	}
	return rows
}

func statistics(unit string, values []float64) Statistics {
	v := slices.Clone(values)
	slices.Sort(v)
	n := len(v)
	median := v[n/2]
	if n%2 == 0 {
		// Halves first, so that two huge values do not overflow.
		median = v[n/2-1]/2 + v[n/2]/2
	}
	return Statistics{Unit: unit, N: n, Median: median, Min: v[0], Max: v[n-1]}
}

// tidiedUnits maps base units to their place in Units.
var tidiedUnits = func() map[string]int {
	m := make(map[string]int)
	for i, u := range Units {
		m[baseUnit(u.Name)] = i
	}
	return m
}()

// unitRank orders units as in Units, unknown ones last.
func unitRank(tidied string) int {
	if i, ok := tidiedUnits[tidied]; ok {
		return i
	}
	return len(Units)
}

// unitTitle is the heading of a unit in our tables, "" if they leave it out.
// Units that we do not know are shown: somebody reported them on purpose.
func unitTitle(tidied string) string {
	if i, ok := tidiedUnits[tidied]; ok {
		return Units[i].Title
	}
	return tidied
}

// dropRepeats leaves out failures that only repeat the failure of a
// sub-benchmark.
func dropRepeats(notes []Note) []Note {
	return slices.DeleteFunc(append([]Note{}, notes...), func(n Note) bool {
		return n.Kind == Failure && n.Text == "failed" && slices.ContainsFunc(notes, func(o Note) bool {
			return o.Kind == Failure && o.Package == n.Package && strings.HasPrefix(o.Benchmark, n.Benchmark+"/")
		})
	})
}

// baseUnit is [benchunit.Tidy] for a name alone.
func baseUnit(unit string) string {
	_, tidied := benchunit.Tidy(1, unit)
	return tidied
}
