package pools

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
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
// good days.
type Monitor[S any] struct {
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	last    S
	samples int
}

// Watch begins to sample at once and goes on until ctx ends or Stop. The
// goroutine that it starts has ended when Stop returns.
func Watch[S any](ctx context.Context, w Watching[S]) (*Monitor[S], error) {
	if w.Every < time.Millisecond {
		return nil, fmt.Errorf("watch a pool every %v: at least 1 ms is needed", w.Every)
	}
	if w.Read == nil || w.Judge == nil || w.Alert == nil {
		return nil, errors.New("watch a pool: Read, Judge and Alert are all needed")
	}
	ctx, stop := context.WithCancel(ctx)
	m := &Monitor[S]{stop: stop, done: make(chan struct{}), last: w.Read(), samples: 1}
	go m.run(ctx, w)
	return m, nil
}

func (m *Monitor[S]) run(ctx context.Context, w Watching[S]) {
	defer close(m.done)
	tick := time.NewTicker(w.Every)
	defer tick.Stop()
	before, since := m.last, time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, at := w.Read(), time.Now()
		m.mu.Lock()
		m.last, m.samples = now, m.samples+1
		m.mu.Unlock()
		for _, alert := range w.Judge(before, now, at.Sub(since)) {
			alert.Within, alert.At = at.Sub(since), at
			w.Alert(alert)
		}
		before, since = now, at
	}
}

// Last is the newest sample, and how many were taken.
func (m *Monitor[S]) Last() (S, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last, m.samples
}

// Stop ends the sampling, and returns when an alert that is being told is told. A
// second Stop does nothing. Alert must not call it.
func (m *Monitor[S]) Stop() {
	m.stop()
	<-m.done
}
