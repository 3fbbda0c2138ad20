package sizing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"netbench/pools"
)

// Defaults of a [Plan].
const (
	DefaultRounds  = 10
	DefaultSlice   = 500 * time.Millisecond
	DefaultWarm    = 100 * time.Millisecond
	DefaultTimeout = 10 * time.Second
)

// Bounds of a [Plan].
const (
	minSlice       = 10 * time.Millisecond
	maxSlice       = time.Minute
	maxRounds      = 1000
	maxSize        = 10_000
	maxConcurrency = 100_000
)

// A Plan says what is swept.
type Plan struct {
	Kind        pools.Kind
	Sizes       []int // of the pool, connections, 1 to 10,000; in any order
	Concurrency []int // callers in a closed loop, 1 to 100,000; each gets a curve

	Rounds int           // 2 to 1000; 0 means DefaultRounds
	Slice  time.Duration // of one size in one round, 10 ms to 1 min; 0 means DefaultSlice

	// Warm is for how long a pool, whose connections are open as far as it keeps
	// them idle, is driven before its slice; 0 means DefaultWarm.
	Warm time.Duration

	// Timeout bounds one call; 0 means DefaultTimeout. A call that runs into it
	// has failed.
	Timeout time.Duration

	Seed uint64 // of the order of sizes
	Rule Rule   // what the rule of thumb counts; its zero value leaves it out

	// Progress is told of each round when it has ended; nil for nobody.
	Progress func(Step)
}

// A Step is a round that has ended.
type Step struct {
	Concurrency, Round, Rounds int
	Took                       time.Duration
}

// ErrInput is what the errors of a plan that cannot be carried out as it is are.
var ErrInput = errors.New("bad input")

// inputError is an ErrInput with a text of its own.
type inputError struct{ error }

func (inputError) Is(target error) bool { return target == ErrInput }
func (e inputError) Unwrap() error      { return e.error }

func badInput(format string, args ...any) error {
	return inputError{fmt.Errorf(format, args...)}
}

// Check returns an [ErrInput] for a plan that makes no sense whatever its kind is,
// which may be nil still: so that a server is not started for it.
func (p Plan) Check() error {
	_, err := p.normalize()
	return err
}

// normalize fills in defaults, orders the lists and refuses what makes no sense.
func (p Plan) normalize() (Plan, error) {
	if p.Rounds == 0 {
		p.Rounds = DefaultRounds
	}
	if p.Slice == 0 {
		p.Slice = DefaultSlice
	}
	if p.Warm == 0 {
		p.Warm = DefaultWarm
	}
	if p.Timeout == 0 {
		p.Timeout = DefaultTimeout
	}
	var err error
	if p.Sizes, err = ascending("size", p.Sizes, maxSize); err != nil {
		return p, err
	}
	if p.Concurrency, err = ascending("concurrency", p.Concurrency, maxConcurrency); err != nil {
		return p, err
	}
	switch {
	case p.Rounds < 2 || p.Rounds > maxRounds:
		return p, badInput("rounds is %d (want 2 to %d: one has no scatter)", p.Rounds, maxRounds)
	case p.Slice < minSlice || p.Slice > maxSlice:
		return p, badInput("slice is %v (want %v to %v)", p.Slice, minSlice, maxSlice)
	case p.Warm < 0 || p.Warm > maxSlice:
		return p, badInput("warm is %v (want up to %v)", p.Warm, maxSlice)
	case p.Timeout < 0:
		return p, badInput("time-out is %v (want more than 0)", p.Timeout)
	}
	return p, p.Rule.check()
}

// ascending is a copy of list in order, without which nothing can be swept.
func ascending(name string, list []int, most int) ([]int, error) {
	if len(list) == 0 {
		return nil, badInput("no %s is given (want at least one)", name)
	}
	list = slices.Sorted(slices.Values(list))
	for i, n := range list {
		switch {
		case n < 1 || n > most:
			return nil, badInput("%s is %d (want 1 to %d)", name, n, most)
		case i > 0 && n == list[i-1]:
			return nil, badInput("%s %d is listed twice", name, n)
		}
	}
	return list, nil
}

// permitted asks the kind for a pool of each size, the largest first, as that is
// the one that a server refuses. Nothing is measured yet, and no pool connects.
func (p Plan) permitted(ctx context.Context) error {
	for _, size := range slices.Backward(p.Sizes) {
		pool, err := p.Kind.Open(ctx, size)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return inputError{fmt.Errorf("open a %s pool of %d: %w", p.Kind.Name(), size, err)}
		}
		if err := pool.Close(); err != nil {
			return fmt.Errorf("close a %s pool of %d: %w", p.Kind.Name(), size, err)
		}
	}
	return nil
}

// trial makes one call, by a pool of the smallest size: a server that is not there
// is better told at once than after a sweep.
func (p Plan) trial(ctx context.Context) error {
	size := p.Sizes[0]
	failed := func(err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return inputError{fmt.Errorf("a trial call by a %s pool of %d: %w", p.Kind.Name(), size, err)}
	}
	pool, err := p.Kind.Open(ctx, size)
	if err != nil {
		return failed(err)
	}
	within, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	if _, err = pools.WarmUp(within, pool, size); err == nil {
		err = pool.Do(within)
	}
	if err = errors.Join(err, pool.Close()); err != nil {
		return failed(err)
	}
	return nil
}
