package results

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// keyProfiled is the configuration line of results whose server was profiled.
const keyProfiled = "profiled"

// ErrProfiled is wrapped by the error of [Run.Unprofiled].
var ErrProfiled = errors.New("profiled run")

// ProfiledFact is the configuration line of results that were taken while a server's
// profiles were, of these kinds ("cpu,heap"); "" ends it. Profiling costs time, so such
// results are not compared with others: [Compare] refuses them, and [Latest] passes
// them over.
func ProfiledFact(kinds string) KeyValue {
	return KeyValue{Key: keyProfiled, Value: kinds, Config: true}
}

// ProfiledLine is [ProfiledFact] as the line by which a benchmark says so.
func ProfiledLine(kinds string) string { return ConfigLine(keyProfiled, kinds) }

// Profiled names the kinds of profiles that were taken while any of the run's results
// were; "" if none was.
func (r *Run) Profiled() string { return profiledIn(r.Results) }

func profiledIn(all []*benchfmt.Result) string {
	for _, result := range all {
		for _, c := range result.Config {
			if c.File && c.Key == keyProfiled {
				if kinds := strings.TrimSpace(string(c.Value)); kinds != "" {
					return kinds
				}
			}
		}
	}
	return ""
}

// Unprofiled returns an error that wraps [ErrProfiled] if the run was profiled: its
// figures are those of a server that was being watched.
func (r *Run) Unprofiled() error {
	if kinds := r.Profiled(); kinds != "" {
		return fmt.Errorf("%s: %w: %s, which costs time (measure again without profiling, and compare that)", r.Path, ErrProfiled, kinds)
	}
	return nil
}
