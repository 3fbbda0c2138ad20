// Package sampling takes samples of something at an interval, on a goroutine of its
// own, and hands each over together with the one before: what monitors of pools and
// of memory have in common.
//
// The interval between two samples is what really passed, not what was asked for: a
// late tick makes the interval longer, so rates made of it stay true.
package sampling

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Least is the shortest interval.
const Least = time.Millisecond

// Plan says what is sampled.
type Plan[S any] struct {
	Every time.Duration    // between samples, at least [Least]
	Read  func() S         // takes a sample; must not block
	Now   func() time.Time // nil for time.Now

	// Pair gets two consecutive samples and when they were taken. The next sample
	// waits for it, and so does Stop, which it must not call. nil for nothing.
	Pair func(before, now S, from, to time.Time)

	// End is called when no Pair follows any more; nil for nothing.
	End func()
}

// Loop is sampling under way.
type Loop[S any] struct {
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	last    S
	samples int
}

// Start takes the first sample at once, and goes on until ctx ends or Stop. The
// goroutine that it starts has ended when Stop returns.
func Start[S any](ctx context.Context, p Plan[S]) (*Loop[S], error) {
	if p.Every < Least {
		return nil, fmt.Errorf("a sample every %v: at least %v is needed", p.Every, Least)
	}
	if p.Read == nil {
		return nil, errors.New("sampling: Read is needed")
	}
	if p.Pair == nil {
		p.Pair = func(S, S, time.Time, time.Time) {}
	}
	if p.Now == nil {
		p.Now = time.Now
	}
	ctx, stop := context.WithCancel(ctx)
	l := &Loop[S]{stop: stop, done: make(chan struct{}), last: p.Read(), samples: 1}
	go l.run(ctx, p, l.last, p.Now())
	return l, nil
}

func (l *Loop[S]) run(ctx context.Context, p Plan[S], before S, since time.Time) {
	defer close(l.done)
	if p.End != nil {
		defer p.End()
	}
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, at := p.Read(), p.Now()
		l.mu.Lock()
		l.last, l.samples = now, l.samples+1
		l.mu.Unlock()
		p.Pair(before, now, since, at)
		before, since = now, at
	}
}

// Last is the newest sample, and how many were taken.
func (l *Loop[S]) Last() (S, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, l.samples
}

// Stop ends the sampling, and returns when the Pair under way and End have returned.
// A second Stop does nothing but wait for the same.
func (l *Loop[S]) Stop() {
	l.stop()
	<-l.done
}

// Done is closed when the sampling has ended.
func (l *Loop[S]) Done() <-chan struct{} { return l.done }
