package strategies

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"netbench/pools"
)

// Check says how the idle connections of a pool are probed.
type Check struct {
	Every   time.Duration // from the end of one check to the next, at least 1 ms
	Timeout time.Duration // of a check, above 0; a probe that takes longer has failed

	// Failed is told of checks that found something, by the checking goroutine;
	// nil for nobody.
	Failed func(error)
}

// probeRounds bounds the probing of one check: where one connection was dead,
// those that took its place in the probe may be dead too.
const probeRounds = 3

// Checked opens all connections of a pool, and probes them from then on. Open
// fails with a Check that makes no sense.
func Checked(k pools.Kind, c Check) pools.Kind { return checked{k, c} }

type checked struct {
	pools.Kind
	check Check
}

func (c checked) Name() string { return c.Kind.Name() + "-checked" }

func (c checked) Open(ctx context.Context, size int) (pools.Pool, error) {
	if c.check.Every < time.Millisecond || c.check.Timeout <= 0 {
		return nil, fmt.Errorf("check a pool every %v for at most %v: at least 1 ms and more than 0 are needed", c.check.Every, c.check.Timeout)
	}
	pool, warm, err := openWarm(ctx, c.Kind, size)
	if err != nil {
		return nil, err
	}
	p := &checkedPool{Pool: pool, check: c.check, keep: warm, done: make(chan struct{})}
	// A pool that keeps fewer idle connections than it may have would close what
	// is above that, and have it opened again by the next check.
	if idle := pool.Stats().Idle; idle != pools.Absent {
		p.keep = min(warm, idle)
	}
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx)) // the pool outlives its opening
	go p.run(ctx)
	return p, nil
}

// checkedPool is a pool with the goroutine that checks it.
type checkedPool struct {
	pools.Pool
	check Check
	keep  int // connections to have

	stop context.CancelFunc
	done chan struct{}
}

// Close ends the checks, then all connections.
func (p *checkedPool) Close() error {
	p.stop()
	<-p.done
	return p.Pool.Close()
}

func (p *checkedPool) run(ctx context.Context) {
	defer close(p.done)
	timer := time.NewTimer(p.check.Every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := p.once(ctx); err != nil && ctx.Err() == nil && p.check.Failed != nil {
			p.check.Failed(err)
		}
		timer.Reset(p.check.Every)
	}
}

// once probes what is idle, and opens what is missing.
func (p *checkedPool) once(ctx context.Context) (found error) {
	probing, cancel := context.WithTimeout(ctx, p.check.Timeout)
	defer cancel()
	for range probeRounds {
		failed, first := p.probe(probing)
		if failed == 0 {
			break
		}
		if found == nil {
			found = fmt.Errorf("%d probes failed: %w", failed, first)
		}
		if probing.Err() != nil {
			break
		}
	}
	now := p.Stats()
	if found == nil && (now.Open == pools.Absent || now.Open >= p.keep) {
		return nil
	}
	// Those in use are not waited for.
	n := p.keep - max(now.InUse, 0)
	if n <= 0 {
		return found
	}
	// A check whose time the probes used up has as much again to open others.
	warming, cancel := context.WithTimeout(ctx, p.check.Timeout)
	defer cancel()
	if err := p.Warm(warming, n); err != nil {
		return fmt.Errorf("open %d connections again: %w", n, err)
	}
	return found
}

// probe performs an operation for each idle connection, all at once.
func (p *checkedPool) probe(ctx context.Context) (failed int64, first error) {
	n := p.Stats().Idle
	if n == pools.Absent {
		n = p.keep
	}
	var failures atomic.Int64
	var once sync.Once
	var probes sync.WaitGroup
	for range n {
		probes.Go(func() {
			if err := p.Do(ctx); err != nil {
				failures.Add(1)
				once.Do(func() { first = err })
			}
		})
	}
	probes.Wait()
	return failures.Load(), first
}
