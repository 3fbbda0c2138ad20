package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"netbench/pools"
)

// Pool is a go-redis client with its settings. Any number of goroutines may use
// it at once.
type Pool struct {
	client   *goredis.Client
	settings Settings
	addr     string
	key      string // what the keys of this pool's own operations begin with
	dials    atomic.Int64
	calls    atomic.Uint64 // of Do and of workloads, to number keys

	closing sync.Once
	closed  error
}

var _ pools.Pool = (*Pool)(nil)

// Client is the driver's client, for all commands. Closing it closes the pool.
func (p *Pool) Client() *goredis.Client { return p.client }

// Settings are those that the pool was opened with.
func (p *Pool) Settings() Settings { return p.settings }

// String names the pool, without credentials.
func (p *Pool) String() string {
	return fmt.Sprintf("redis pool of %d and %d for pipelines at %s", p.settings.Size, p.settings.PipelineSize, p.addr)
}

// GoString is String's text.
func (p *Pool) GoString() string { return p.String() }

// What Do and Pipelined set.
const (
	keys     = 10_000      // their calls use so many keys, or groups of keys, in turn
	doExpiry = time.Minute // after which these go away of themselves
	doBytes  = 64          // length of a value
)

// Do sets a key, with an expiry of a minute, and gets it: two commands,
// each with a connection of its own from the pool. That what it got is what it
// had set is part of its success.
func (p *Pool) Do(ctx context.Context) error {
	n := p.calls.Add(1)
	key, value := p.key+strconv.FormatUint(n%keys, 10), padded(strconv.FormatUint(n, 36), doBytes)
	if err := p.client.Set(ctx, key, value, doExpiry).Err(); err != nil {
		return fmt.Errorf("SET: %w", asTimeout(err))
	}
	got, err := p.client.Get(ctx, key).Result()
	if err != nil {
		return fmt.Errorf("GET: %w", asTimeout(err))
	}
	if got != value {
		return errors.New("GET: the value is not the one that was set")
	}
	return nil
}

// asTimeout makes the driver's error for a caller that waited for a connection in
// vain tell that it is one of time, which it does not do by itself.
func asTimeout(err error) error {
	if errors.Is(err, goredis.ErrPoolTimeout) {
		return inVain{err}
	}
	return err
}

type inVain struct{ error }

func (inVain) Timeout() bool   { return true }
func (e inVain) Unwrap() error { return e.error }

// Warm opens connections of the main pool until n are idle. It fails if the
// settings do not let so many be idle.
func (p *Pool) Warm(ctx context.Context, n int) error {
	most := p.settings.Size
	if p.settings.MaxIdle > 0 {
		most = p.settings.MaxIdle
	}
	if n < 0 || n > most {
		return fmt.Errorf("warm %d connections of the redis pool: 0 to %d can be idle (by Size and MaxIdle)", n, most)
	}
	// They are held all at once, so that no one is the same as another.
	held := make([]*goredis.Conn, n)
	failures := make([]error, n)
	var opening sync.WaitGroup
	for i := range n {
		held[i] = p.client.Conn()
		opening.Go(func() { failures[i] = held[i].Ping(ctx).Err() })
	}
	opening.Wait()
	var failed error
	for i, c := range held {
		if failures[i] != nil && failed == nil {
			failed = failures[i]
		}
		if err := c.Close(); err != nil && failed == nil { // gives it back
			failed = err
		}
	}
	if failed != nil {
		return fmt.Errorf("warm %d connections of the redis pool: %w", n, failed)
	}
	return nil
}

// Detail is a snapshot of all figures of both pools.
func (p *Pool) Detail() Stats {
	d := p.client.PoolStats()
	s := Stats{Main: poolStats(p.settings.Size, d), Dials: p.dials.Load()}
	if d.PipelineStats != nil {
		pipeline := goredis.PoolStats(*d.PipelineStats)
		s.Pipeline = poolStats(p.settings.PipelineSize, &pipeline)
	}
	return s
}

// Stats is a snapshot of the figures that every kind of pool has.
func (p *Pool) Stats() pools.Stats { return p.Detail().Common() }

// Close ends all connections, those in use too.
func (p *Pool) Close() error {
	p.closing.Do(func() {
		if err := p.client.Close(); err != nil && !errors.Is(err, goredis.ErrClosed) {
			p.closed = err
		}
	})
	return p.closed
}

// Kind opens pools of several sizes before one server.
type Kind struct {
	// Base has address and credentials.
	Base *goredis.Options
}

var _ pools.Kind = Kind{}

// Name is "redis".
func (Kind) Name() string { return "redis" }

// Open makes a pool by the recommended settings, but that it opens no connection
// before one is needed, keeps all that were opened, and has none for pipelines,
// which Do does not use: so size is all there is.
func (k Kind) Open(ctx context.Context, size int) (pools.Pool, error) {
	s := Recommended().Sized(size)
	s.MinIdle, s.MaxIdle, s.PipelineSize = 0, 0, 0
	p, err := Open(ctx, k.Base, s)
	if err != nil {
		return nil, err
	}
	return p, nil
}
