package reuseport

import (
	"context"

	"netbench/models"
	"netbench/testenv"
)

// Stats asks the workers; of one that does not answer within 2 s it has what was
// known before.
func (s *supervisor) Stats() models.Stats {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	snap, _, _ := s.ask(ctx)
	return snap.Server
}

// PerListener tells how many connections each worker was given, those before it
// at its place included.
func (s *supervisor) PerListener() []uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	_, counts, _ := s.ask(ctx)
	return counts
}

// ask sums up what all places have done. The error is that of workers that run
// and did not answer.
func (s *supervisor) ask(ctx context.Context) (testenv.Snapshot, []uint64, error) {
	parts := make([]*testenv.Snapshot, len(s.places))
	err := s.each(func(p *place) (err error) {
		parts[p.index], err = p.ask(ctx)
		return err
	})
	counts := make([]uint64, len(parts))
	var total *testenv.Snapshot
	for i, part := range parts {
		if part != nil {
			counts[i] = part.Server.Accepted
			total = sum(total, *part)
		}
	}
	if total == nil {
		total = &testenv.Snapshot{Rusage: new(testenv.Rusage), Memory: new(testenv.Memory)}
	}
	total.PerListener = counts
	total.Server.Model, total.Server.Variant = s.name, variant("workers", len(s.places), s.o.Steer)
	s.mu.Lock()
	total.Server.Restarts = s.restarts
	s.mu.Unlock()
	return *total, counts, err
}

// WorkerSnapshot is [testenv.Family]'s.
func (s *supervisor) WorkerSnapshot(ctx context.Context) (testenv.Snapshot, error) {
	snap, _, err := s.ask(ctx)
	return snap, err
}

// WorkerRuntime is [testenv.Family]'s.
func (s *supervisor) WorkerRuntime(ctx context.Context) (testenv.Runtime, error) {
	parts := make([]testenv.Runtime, len(s.places))
	err := s.each(func(p *place) (err error) {
		parts[p.index], err = p.runtime(ctx)
		return err
	})
	var total testenv.Runtime
	for _, part := range parts {
		total = total.Add(part)
	}
	return total, err
}

// CollectWorkers is [testenv.Family]'s.
func (s *supervisor) CollectWorkers(ctx context.Context) error {
	return s.each(func(p *place) error {
		w := p.current()
		if err := w.Collect(ctx); err != nil && !ended(w) {
			return err
		}
		return nil
	})
}

var (
	_ testenv.Family = (*supervisor)(nil)
	_ models.Spread  = (*supervisor)(nil)
	_ models.Spread  = (*server)(nil)
)
