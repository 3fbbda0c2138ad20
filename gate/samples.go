package gate

import (
	"fmt"
	"strconv"
	"strings"

	"netbench/results"
)

// WriteSamples adds what one arm (0 base, 1 head) did to a run file, a line for each
// round that counts and load, under names that are the same for both arms, so that
// benchstat sets the two files side by side.
func (r *Report) WriteSamples(w *results.Writer, arm int) error {
	for _, t := range r.tracks {
		if t.canary {
			continue
		}
		for i, round := range t.rounds {
			if round.Invalid != "" {
				continue
			}
			requests := int64(1)
			if s := round.Samples[arm]; s != nil {
				requests = s.Requests
			}
			var line strings.Builder
			fmt.Fprintf(&line, "Benchmark%s %d", t.cell.Name, requests)
			some := false
			for _, m := range t.cell.Metrics {
				if v, ok := t.value(i, arm, m); ok {
					some = true
					fmt.Fprintf(&line, " %s %s", strconv.FormatFloat(v, 'g', 8, 64), m.Unit)
				}
			}
			if !some {
				continue
			}
			if err := w.Result(line.String()); err != nil {
				return err
			}
		}
	}
	return w.Note(results.Note{Kind: results.Info, Text: fmt.Sprintf("gate: %s %s, verdict %s", r.Arms[arm].Name, r.Arms[arm], r.Verdict)})
}
