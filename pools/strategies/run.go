package strategies

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"netbench/pools"
)

// A Situation is what a pool has been through when the first request comes.
type Situation string

// The situations.
const (
	AfterStart   Situation = "start"   // the pool was just opened
	AfterIdle    Situation = "idle"    // nobody used it for longer than the server bears
	AfterRestart Situation = "restart" // the server ended in order and began anew
	AfterStall   Situation = "stall"   // the link stood still for a while
)

// Situations are all of them.
func Situations() []Situation {
	return []Situation{AfterStart, AfterIdle, AfterRestart, AfterStall}
}

// Bounds and defaults of a [Plan].
const (
	DefaultRepeat   = 10
	DefaultTimeout  = 5 * time.Second
	DefaultPatience = 30 * time.Second

	retryPause = time.Millisecond // between two tries of a request
)

// A Plan says what is run. The functions bring about a situation, and return when
// it is over: when the server answers again, when the link moves. A nil one leaves
// the situation out.
type Plan struct {
	Kind       pools.Kind
	Strategies []Strategy
	Size       int // of the pools, connections; at least 1

	Idle    func(context.Context) error // lets the time pass
	Restart func(context.Context) error
	Stall   func(context.Context, time.Duration) error

	StallFor time.Duration // what Stall is told

	// Settle is the time between the end of a situation and the first request, in
	// which checks may find out. It is the same for all strategies.
	Settle time.Duration

	Repeat   int           // of every strategy in every situation; 0 means DefaultRepeat
	Timeout  time.Duration // of one try of a request; 0 means DefaultTimeout
	Patience time.Duration // after which no further try is made; 0 means DefaultPatience
	Seed     uint64        // of the order of strategies, which is shuffled each time

	Progress func(string) // is told what is done; nil for nobody
}

func (p Plan) normalize() (Plan, error) {
	if p.Repeat == 0 {
		p.Repeat = DefaultRepeat
	}
	if p.Timeout == 0 {
		p.Timeout = DefaultTimeout
	}
	if p.Patience == 0 {
		p.Patience = DefaultPatience
	}
	if p.Progress == nil {
		p.Progress = func(string) {}
	}
	switch {
	case p.Kind == nil || len(p.Strategies) == 0:
		return p, errors.New("run strategies: a kind and at least one strategy are needed")
	case p.Size < 1:
		return p, fmt.Errorf("run strategies: size is %d (want 1 or more)", p.Size)
	case p.Repeat < 1 || p.Timeout < 0 || p.Patience < 0 || p.Settle < 0:
		return p, fmt.Errorf("run strategies: repeat is %d, time-out %v, patience %v, settle %v (none may be below 0)", p.Repeat, p.Timeout, p.Patience, p.Settle)
	case p.Stall != nil && p.StallFor <= 0:
		return p, fmt.Errorf("run strategies: a stall of %v (want more than 0)", p.StallFor)
	}
	return p, nil
}

// A First is the first request of one pool in one situation.
type First struct {
	Opening  time.Duration // of the pool, with what its strategy does then
	Took     time.Duration // from the first try's beginning to the first success, or to the last failure
	Failures int           // tries before the first success
	Lost     bool          // no try succeeded in time
	Err      error         // of the first failure

	// Connections opened by the request, and by the pool from the situation's
	// beginning to the request; pools.Absent where the pool does not count.
	Dials, DialsBefore int64
}

// Run brings each strategy into each situation. It returns what it has with the
// error of the situation that failed, or of ctx; what requests meet is no error.
func Run(ctx context.Context, p Plan) (*Report, error) {
	p, err := p.normalize()
	if err != nil {
		return nil, err
	}
	r := &Report{Kind: p.Kind.Name(), Size: p.Size, Repeat: p.Repeat, Seed: p.Seed}
	random := rand.New(rand.NewPCG(p.Seed, 5))
	for _, situation := range Situations() {
		if p.bring(situation) == nil {
			continue
		}
		firsts := make([][]First, len(p.Strategies))
		for n := range p.Repeat {
			for _, i := range random.Perm(len(p.Strategies)) {
				var f First
				if f, err = p.first(ctx, p.Strategies[i], situation); err != nil {
					err = fmt.Errorf("%s, %s pool, %s: %w", p.Kind.Name(), p.Strategies[i].Name, situation, err)
					break
				}
				firsts[i] = append(firsts[i], f)
			}
			if err != nil {
				break
			}
			p.Progress(fmt.Sprintf("%s: %s %d of %d", p.Kind.Name(), situation, n+1, p.Repeat))
		}
		for i, s := range p.Strategies {
			if len(firsts[i]) > 0 {
				r.Rows = append(r.Rows, rowOf(s.Name, situation, firsts[i]))
			}
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// bring is how a situation is brought about, nil if it cannot be.
func (p Plan) bring(s Situation) func(context.Context) error {
	switch {
	case s == AfterStart:
		return func(context.Context) error { return nil }
	case s == AfterIdle:
		return p.Idle
	case s == AfterRestart:
		return p.Restart
	case p.Stall != nil:
		return func(ctx context.Context) error { return p.Stall(ctx, p.StallFor) }
	}
	return nil
}

// first opens a pool, brings it into the situation and makes the request.
func (p Plan) first(ctx context.Context, s Strategy, situation Situation) (f First, err error) {
	began := time.Now()
	pool, err := s.Of(p.Kind).Open(ctx, p.Size)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	f.Opening = time.Since(began)
	before := pools.Stats{Dials: pool.Stats().Dials}
	if situation != AfterStart {
		if err := p.use(ctx, pool); err != nil {
			return f, fmt.Errorf("use it beforehand: %w", err)
		}
		before = pool.Stats()
		if err := p.bring(situation)(ctx); err != nil {
			return f, err
		}
		if err := pause(ctx, p.Settle); err != nil {
			return f, err
		}
	}
	f.request(ctx, p, pool, before.Dials)
	return f, ctx.Err()
}

// use has as many callers at once as the pool has connections: a pool that opens
// them when they are needed has them then, too.
func (p Plan) use(ctx context.Context, pool pools.Pool) error {
	o, err := pools.Drive(ctx, pools.Load{Workers: p.Size, For: 10 * time.Millisecond, Timeout: p.Timeout}, pool.Do)
	if err != nil {
		return err
	}
	return o.First
}

// request tries until it succeeds.
func (f *First) request(ctx context.Context, p Plan, pool pools.Pool, dialled int64) {
	ready := pool.Stats().Dials
	began := time.Now()
	for {
		err := once(ctx, p.Timeout, pool.Do)
		f.Took = time.Since(began)
		if err == nil {
			break
		}
		f.Failures++
		if f.Err == nil {
			f.Err = err
		}
		if f.Took >= p.Patience || pause(ctx, retryPause) != nil {
			f.Lost = true
			break
		}
	}
	f.Dials, f.DialsBefore = pools.Absent, pools.Absent
	if after := pool.Stats().Dials; ready != pools.Absent && after != pools.Absent {
		f.Dials, f.DialsBefore = after-ready, ready-dialled
	}
}

func once(ctx context.Context, timeout time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return do(ctx)
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
