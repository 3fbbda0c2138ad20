package results

import (
	"fmt"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// standInMark is what the value of a configuration line begins with that says that
// a service was not itself.
const standInMark = "stand-in "

// StandInLine returns the line by which a benchmark says that a service which it
// needs was replaced by something that only speaks like it: what holds for all
// results that follow, until [RealLine] ends it. [Compare] refuses to set results
// of a stand-in against those of the service itself, as the difference would be
// that of the two servers.
func StandInLine(service, standIn string) string {
	return ConfigLine(service, standInMark+standIn)
}

// RealLine returns the line that ends what [StandInLine] says.
func RealLine(service string) string { return ConfigLine(service, "") }

// standIns are the stand-ins that a result was taken with, as "service: name".
func standIns(r *benchfmt.Result) string {
	var found []string
	for _, c := range r.Config {
		if name, is := strings.CutPrefix(string(c.Value), standInMark); is && c.File {
			found = append(found, c.Key+": "+name)
		}
	}
	return strings.Join(found, ", ")
}

// sameServices returns an error if a benchmark that is in both runs had a service
// itself in one of them and a stand-in in the other.
func sameServices(before, after *Run) error {
	type benchmark struct{ pkg, name string }
	had := map[benchmark]string{}
	for _, r := range before.Results {
		had[benchmark{r.GetConfig("pkg"), string(r.Name)}] = standIns(r)
	}
	for _, r := range after.Results {
		now := standIns(r)
		then, both := had[benchmark{r.GetConfig("pkg"), string(r.Name)}]
		if !both || (then == "") == (now == "") {
			continue
		}
		with, without, standIn := before, after, then
		if then == "" {
			with, without, standIn = after, before, now
		}
		return fmt.Errorf("%s: Benchmark%s ran with a stand-in (%s), in %s with the real one: they cannot be compared (run both with the same; NETBENCH_REQUIRE=redis refuses a stand-in)",
			with.Path, r.Name, standIn, without.Path)
	}
	return nil
}
