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

	mu     sync.Mutex
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
func (p *place) ask(ctx context.Context) (*testenv.Snapshot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ended(p.worker) {
		return p.known(), nil
	}
	snap, err := p.worker.Stats(ctx)
	if err == nil {
		p.last = &snap
	} else if ended(p.worker) {
		err = nil
	}
	return p.known(), err
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
	p.mu.Lock()
	defer p.mu.Unlock()
	var total testenv.Runtime
	if p.past != nil {
		total = p.past.Runtime
	}
	r, err := p.worker.Runtime(ctx)
	switch {
	case err == nil && p.last != nil:
		p.last.Runtime = r
	case err == nil:
	case !ended(p.worker):
		return total, err
	case p.last != nil:
		r = p.last.Runtime.Past()
	}
	return total.Add(r), nil
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
