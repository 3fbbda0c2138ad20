package sizing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netbench/pools"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a kind whose server has a number of places, each of which serves one
// call at a time, for as long.
type bench struct {
	places chan struct{}
	takes  time.Duration

	permits int  // connections
	fails   int  // pools of this size fail their calls
	hangs   int  // calls of pools of this size never end
	broken  int  // pools of this size cannot be warmed
	absent  bool // pools keep no figures

	mu     sync.Mutex
	opened []int // sizes, in order
	open   int   // pools that are
}

func newBench(places int, takes time.Duration) *bench {
	return &bench{places: make(chan struct{}, places), takes: takes, permits: 1000}
}

func (b *bench) Name() string { return "bench" }

func (b *bench) Open(_ context.Context, size int) (pools.Pool, error) {
	if size > b.permits {
		return nil, fmt.Errorf("the server permits %d connections", b.permits)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened = append(b.opened, size)
	b.open++
	return &benchPool{kind: b, size: size, conns: make(chan struct{}, size)}, nil
}

// stillOpen is how many pools are.
func (b *bench) stillOpen() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

type benchPool struct {
	kind   *bench
	size   int
	conns  chan struct{}
	warm   atomic.Bool
	closed atomic.Bool
	waits  atomic.Int64
	waited atomic.Int64
}

var errRefused = errors.New("the server refused")

func (p *benchPool) Do(ctx context.Context) error {
	if !p.warm.Load() {
		return errors.New("not warm")
	}
	if p.size == p.kind.fails {
		time.Sleep(p.kind.takes)
		return errRefused
	}
	if p.size == p.kind.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case p.conns <- struct{}{}:
	default:
		began := time.Now()
		select {
		case p.conns <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		p.waits.Add(1)
		p.waited.Add(int64(time.Since(began)))
	}
	defer func() { <-p.conns }()
	select {
	case p.kind.places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.kind.places }()
	select {
	case <-time.After(p.kind.takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *benchPool) Warm(_ context.Context, n int) error {
	switch {
	case n != p.size:
		return fmt.Errorf("warmed %d of %d", n, p.size)
	case n == p.kind.broken:
		return errors.New("connection refused")
	}
	p.warm.Store(true)
	return nil
}

func (p *benchPool) Stats() pools.Stats {
	if p.kind.absent {
		return pools.Stats{Open: pools.Absent, Dials: pools.Absent, Waits: pools.Absent, Waited: pools.Absent}
	}
	return pools.Stats{Max: p.size, Open: p.size, Dials: int64(p.size), Waits: p.waits.Load(), Waited: time.Duration(p.waited.Load())}
}

func (p *benchPool) Close() error {
	if !p.closed.Swap(true) {
		p.kind.mu.Lock()
		defer p.kind.mu.Unlock()
		p.kind.open--
	}
	return nil
}
