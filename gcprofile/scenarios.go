package gcprofile

import (
	"fmt"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/testenv"
)

// benchLive is the live set of scenarios: large enough that a collection costs
// something, small enough that a benchmark of a second sees several.
const benchLive = 64 << 20

// benchSettings are those of scenarios, as ParseSetting takes them, and how names of
// benchmarks have them.
var benchSettings = []struct{ text, gogc, limit string }{
	{"50", "50", "none"}, {"100", "100", "none"}, {"200", "200", "none"}, {"400", "400", "none"},
	{"off@1.2", "off", "1.2x"}, {"off@1.5", "off", "1.5x"}, {"off@2", "off", "2x"},
}

// Scenarios returns what there is to measure, named as benchmarks without their first
// word: every setting at 30 % of the rate that its own server reaches in a closed loop,
// and the habits with the runtime's default settings.
func Scenarios() []scenario.Scenario {
	of := func(name string, spec Spec) scenario.Scenario {
		spec = spec.withDefaults()
		return scenario.Scenario{
			Name: name,
			Server: testenv.ServerSpec{
				Model: spec.Model, Service: spec.service(), StartTimeout: startLimit,
				GOGC: spec.Setting().gogc(), GOMEMLIMIT: spec.Setting().limit(),
			},
			Scheme: "http", Path: "/json",
			Plan:      load.Plan{Mode: load.Open, Conns: DefaultConns, Grace: overloadGrace},
			RateShare: DefaultShare,
			Collector: true,
		}
	}
	var all []scenario.Scenario
	for _, s := range benchSettings {
		setting, _ := ParseSetting(s.text, benchLive) // they are good
		all = append(all, of(
			fmt.Sprintf("GC/gogc=%s/limit=%s/live=%s/alloc=64KiB", s.gogc, s.limit, FormatSize(benchLive)),
			Spec{Live: benchLive, Alloc: "64KiB"}.With(setting)))
	}
	for _, objects := range []Objects{SmallObjects, LargeObjects} {
		for _, alloc := range []Alloc{AllocNone, "1KiB", "64KiB", AllocSmall} {
			all = append(all, of(
				fmt.Sprintf("Heap/live=%s/objects=%s/alloc=%s", FormatSize(benchLive), objects, alloc),
				Spec{Live: benchLive, Objects: objects, Alloc: alloc}))
		}
	}
	return all
}
