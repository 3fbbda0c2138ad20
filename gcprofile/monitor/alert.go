package monitor

import (
	"fmt"
	"time"
)

// Rule is what an alert is about.
type Rule string

const (
	HeapRule       Rule = "heap"
	GoroutinesRule Rule = "goroutines"
	PauseRule      Rule = "pause"
	AllocRateRule  Rule = "allocation-rate"
)

// State is why an alert is told.
type State string

const (
	Raised State = "raised" // the threshold has been crossed
	Lasts  State = "lasts"  // it still is, for longer than Repeat since it was last told
	Over   State = "over"   // it is no longer
)

// Alert is a threshold that a sample went beyond, or does no longer.
type Alert struct {
	Rule      Rule
	State     State
	Value     float64       // what was seen, in Unit
	Threshold float64       // in Unit
	Unit      string        // of both: "B", "goroutines", "s", "B/s"
	At        time.Time     // when the sample was taken
	Within    time.Duration // the time since the sample before; 0 for the first
	Since     time.Time     // when the alert was raised
	Advice    string        // what to do, in one sentence
}

func (a Alert) String() string {
	if a.State == Over {
		return fmt.Sprintf("%s %s: %.4g %s (threshold %.4g), after %v", a.Rule, a.State, a.Value, a.Unit, a.Threshold, a.At.Sub(a.Since).Round(time.Millisecond))
	}
	return fmt.Sprintf("%s %s: %.4g %s (threshold %.4g): %s", a.Rule, a.State, a.Value, a.Unit, a.Threshold, a.Advice)
}

// rule is one threshold.
type rule struct {
	name      Rule
	unit      string
	threshold float64
	advice    string
	of        func(*Sample) (value float64, ok bool)
}

// rules are those that are switched on.
func (c *Config) rules() []rule {
	all := []rule{
		{HeapRule, "B", float64(c.Heap),
			"take a heap profile (go tool pprof -inuse_space) and look for what grows; if it is needed, raise the threshold and set GOMEMLIMIT above it",
			func(s *Sample) (float64, bool) { return float64(s.Heap), true }},
		{GoroutinesRule, "goroutines", float64(c.Goroutines),
			"take a goroutine profile and look for the stack that most wait in: it lacks a deadline, a cancelled context or a bound",
			func(s *Sample) (float64, bool) { return float64(s.Goroutines), true }},
		{PauseRule, "s", c.Pause.Seconds(),
			"take an execution trace and see what delays the stop of the world (long loops without calls, system calls, too few CPUs for GOMAXPROCS)",
			func(s *Sample) (float64, bool) { return s.judged.AtLeast.Seconds(), s.isJudged }},
		{AllocRateRule, "B/s", c.AllocRate,
			"take an allocation profile (go tool pprof -alloc_space) and reuse or avoid the largest of what it shows; a higher GOGC makes the same allocations cheaper",
			func(s *Sample) (float64, bool) { return s.AllocRate, s.Within > 0 }},
	}
	on := all[:0]
	for _, r := range all {
		if r.threshold >= 0 {
			on = append(on, r)
		}
	}
	return on
}

// watched is a rule with what was told of it.
type watched struct {
	rule
	raised      bool
	since, told time.Time
}

// judge holds a sample against the rule. A figure that the sample does not have
// changes nothing.
func (w *watched) judge(c *Config, s *Sample) (a Alert, tell bool) {
	value, ok := w.of(s)
	if !ok {
		return a, false
	}
	a = Alert{
		Rule: w.name, Value: value, Threshold: w.threshold, Unit: w.unit,
		At: s.At, Within: s.Within, Advice: w.advice,
	}
	switch {
	case !w.raised && value > w.threshold:
		w.raised, w.since, a.State = true, s.At, Raised
	case w.raised && value <= w.threshold*(1-c.Hysteresis):
		w.raised, a.State = false, Over
	case w.raised && value > w.threshold && c.Repeat > 0 && s.At.Sub(w.told) >= c.Repeat:
		a.State = Lasts
	default:
		return a, false
	}
	a.Since, w.told = w.since, s.At
	return a, true
}
