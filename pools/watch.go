package pools

import (
	"context"
	"errors"
	"fmt"
	"time"

	"netbench/internal/sampling"
)

// An Alert is one rule broken within one interval between two samples.
type Alert struct {
	Rule   string        // the rule's name, such as "waits"
	Value  float64       // what was seen within the interval
	Limit  float64       // what the rule permits
	Unit   string        // of both: "waits", "of the maximum", "s"
	Within time.Duration // the interval's length
	At     time.Time     // its end
	Cause  string        // what the figures mean, in one sentence
	Advice string        // what to do, in one sentence
}

func (a Alert) String() string {
	return fmt.Sprintf("%s: %.4g %s within %v (limit %.4g): %s; %s",
		a.Rule, a.Value, a.Unit, a.Within.Round(time.Millisecond), a.Limit, a.Cause, a.Advice)
}

// Watching says how a pool is watched.
type Watching[S any] struct {
	Every time.Duration // between samples, at least 1 ms

	Read  func() S                                          // takes a sample; must not block
	Judge func(before, now S, within time.Duration) []Alert // compares two consecutive ones

	// Alert is told of each alert, one at a time. Sampling waits for it, and so does
	// Stop: it must neither block for long nor call Stop. Who wants to stop at an
	// alert ends the context.
	Alert func(Alert)
}

// A Monitor samples a pool's own statistics at an interval and judges each
// sample against the one before: totals since the start would go on
// complaining of a trouble that is over, and would hide a new one among old
// good days. Last is its newest sample, and how many were taken. Stop ends it, and
// returns when an alert that is being told is told; a second Stop does nothing, and
// Alert must not call it.
type Monitor[S any] struct{ *sampling.Loop[S] }

// Watch begins to sample at once and goes on until ctx ends or Stop. The
// goroutine that it starts has ended when Stop returns.
func Watch[S any](ctx context.Context, w Watching[S]) (*Monitor[S], error) {
	if w.Every < sampling.Least {
		return nil, fmt.Errorf("watch a pool every %v: at least 1 ms is needed", w.Every)
	}
	if w.Read == nil || w.Judge == nil || w.Alert == nil {
		return nil, errors.New("watch a pool: Read, Judge and Alert are all needed")
	}
	loop, err := sampling.Start(ctx, sampling.Plan[S]{
		Every: w.Every, Read: w.Read,
		Pair: func(before, now S, from, to time.Time) {
			for _, alert := range w.Judge(before, now, to.Sub(from)) {
				alert.Within, alert.At = to.Sub(from), to
				w.Alert(alert)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return &Monitor[S]{loop}, nil
}
