package reuseport

import (
	"context"
	"sync"

	"netbench/testenv"
)

// place is where a worker is, and its successors if it dies.
type place struct {
	index int
	spec  testenv.ServerSpec

	mu     sync.Mutex // not held while a worker is asked
	worker *testenv.Server
	last   *testenv.Snapshot // the last one of worker, nil if there was none
	past   *testenv.Snapshot // what the ones before have left, nil if nothing
}

func (p *place) current() *testenv.Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.worker
}

// settle gives the place to a new worker. A first snapshot is taken, so that
// there is one when it dies.
func (p *place) settle(ctx context.Context, w *testenv.Server) {
	first, err := w.Stats(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil {
		p.past = sum(p.past, p.last.Past())
	}
	p.worker, p.last = w, nil
	if err == nil {
		p.last = &first
	}
}

// ask has the worker's snapshot taken and returns what this place has done so
// far, as far as it is known: the last snapshots of workers that have ended, and
// none, if there never was one. The error is that of a worker that runs and does
// not answer; the sum is then what was known before.
//
// The place is not locked while the worker is asked: one that does not answer
// would else hold up whoever is about to kill it.
func (p *place) ask(ctx context.Context) (*testenv.Snapshot, error) {
	w := p.current()
	snap, err := w.Stats(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil && ended(w):
		return p.known(), nil
	case err != nil || w != p.worker:
		return p.known(), err
	}
	if p.last == nil || !snap.Time.Before(p.last.Time) { // others may ask too
		p.last = &snap
	}
	if ended(w) {
		snap = snap.Past()
	}
	return sum(p.past, snap), nil
}

// known is ask without asking. The caller holds mu.
func (p *place) known() *testenv.Snapshot {
	switch {
	case p.last == nil:
		return p.past
	case ended(p.worker):
		return sum(p.past, p.last.Past())
	}
	return sum(p.past, *p.last)
}

// runtime is ask for the Go runtime alone.
func (p *place) runtime(ctx context.Context) (testenv.Runtime, error) {
	w := p.current()
	r, err := w.Runtime(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && w == p.worker {
		// An answer costs allocations, so of two the later one has more.
		if p.last != nil && p.last.Runtime.Mallocs < r.Mallocs {
			p.last.Runtime = r
		}
		if p.past != nil {
			r = p.past.Runtime.Add(r)
		}
		return r, nil
	}
	if ended(w) {
		err = nil
	}
	if known := p.known(); known != nil {
		return known.Runtime, err
	}
	return testenv.Runtime{}, err
}

// ended tells whether the process of a worker has ended.
func ended(w *testenv.Server) bool {
	select {
	case <-w.Done():
		return true
	default:
		return false
	}
}

// sum adds to a snapshot that may not exist.
func sum(a *testenv.Snapshot, b testenv.Snapshot) *testenv.Snapshot {
	if a != nil {
		b = a.Add(b)
	}
	return &b
}
