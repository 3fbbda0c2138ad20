package sizing

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"time"

	"netbench/internal/cpu"
	"netbench/pools"
)

// clientBusy is the share of its CPUs above which this process, which holds the
// callers and the pool, is taken for the limit.
const clientBusy = 0.85

// Sweep measures the curves of a plan, one concurrency after the other. A plan
// that cannot be carried out, say because a size is above what the server permits or
// the server does not answer, is an [ErrInput] before anything is measured. If ctx
// ends, or a pool cannot be opened any more, the report has the rounds that are whole,
// with the error; it is nil without any. Calls that fail are no error: they are in the
// report.
func Sweep(ctx context.Context, p Plan) (*Report, error) {
	p, err := p.normalize()
	if err == nil && p.Kind == nil {
		err = badInput("no kind of pool is given")
	}
	if err != nil {
		return nil, fmt.Errorf("sweep pool sizes: %w", err)
	}
	if err := p.permitted(ctx); err != nil {
		return nil, fmt.Errorf("sweep pool sizes: %w", err)
	}
	if err := p.trial(ctx); err != nil {
		return nil, fmt.Errorf("sweep pool sizes: %w", err)
	}
	r := &Report{
		Kind: p.Kind.Name(), Sizes: p.Sizes, Concurrency: p.Concurrency, Rounds: p.Rounds,
		Slice: p.Slice, Warm: p.Warm, Timeout: p.Timeout, Seed: p.Seed, Notes: []string{},
	}
	for _, concurrency := range p.Concurrency {
		var c *Curve
		c, err = p.curve(ctx, concurrency)
		if c != nil {
			r.Curves = append(r.Curves, *c)
		}
		if err != nil {
			break
		}
	}
	r.Interrupted = err != nil && ctx.Err() != nil
	if len(r.Curves) == 0 && err != nil {
		return nil, err
	}
	r.Knee = overall(p.Sizes, r.Curves)
	if err != nil {
		if !r.Interrupted {
			r.Failure = err.Error()
		}
		r.Knee = r.Knee.ofAPart(r.whole(), r.Rounds*len(r.Concurrency))
	}
	r.Rule = p.Rule.says(r.Curves, p.Sizes)
	r.note()
	return r, err
}

// curve carries out the rounds of one concurrency. It is nil without a whole one.
func (p Plan) curve(ctx context.Context, concurrency int) (*Curve, error) {
	random := rand.New(rand.NewPCG(p.Seed, uint64(concurrency)))
	c := &Curve{Concurrency: concurrency}
	tallies := make([]tally, len(p.Sizes))
	for i, size := range p.Sizes {
		tallies[i].size = size
	}
	var failure error
	for range p.Rounds {
		began := time.Now()
		order := random.Perm(len(p.Sizes))
		var round []slice
		if round, failure = p.round(ctx, concurrency, order); failure != nil {
			break // half a round is not comparable
		}
		var sizes []int
		for _, i := range order {
			sizes = append(sizes, p.Sizes[i])
		}
		for i := range tallies {
			tallies[i].add(round[i])
		}
		c.Rounds++
		c.Orders = append(c.Orders, sizes)
		if p.Progress != nil {
			p.Progress(Step{Concurrency: concurrency, Round: c.Rounds, Rounds: p.Rounds, Took: time.Since(began)})
		}
	}
	if c.Rounds == 0 {
		return nil, failure
	}
	c.assess(tallies)
	return c, failure
}

// assess makes points of the tallies, and judges them.
func (c *Curve) assess(tallies []tally) {
	var all []series
	var sizes []int
	for _, t := range tallies {
		c.Points = append(c.Points, t.point(ownCPUs()))
		s := t.series
		for _, p99 := range t.p99 {
			v := math.NaN()
			if p99 != nil {
				v = float64(*p99)
			}
			s.p99 = append(s.p99, v)
		}
		all, sizes = append(all, s), append(sizes, t.size)
	}
	judged, best := judge(all)
	for i := range c.Points {
		c.Points[i].Judgement = judged[i]
	}
	if best >= 0 {
		c.Best = sizes[best]
	}
	c.Knee = kneeOf(sizes, judged, c.Concurrency)
}

// ownCPUs is how many CPUs this process can keep busy at once: GOMAXPROCS may be
// more than it is pinned to.
func ownCPUs() int {
	n := runtime.GOMAXPROCS(0)
	if set, err := cpu.Thread(0); err == nil { // not every platform has sets
		n = min(n, len(set))
	}
	return n
}

// round has one slice of each size, in an order of their indices; the slices are
// returned by index.
func (p Plan) round(ctx context.Context, concurrency int, order []int) ([]slice, error) {
	round := make([]slice, len(p.Sizes))
	for _, i := range order {
		s, err := p.slice(ctx, p.Sizes[i], concurrency)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("%s pool of %d with %d callers: %w", p.Kind.Name(), p.Sizes[i], concurrency, err)
		}
		round[i] = s
	}
	return round, nil
}

// slice opens a pool, warms it, and drives it.
func (p Plan) slice(ctx context.Context, size, concurrency int) (s slice, err error) {
	pool, err := p.Kind.Open(ctx, size)
	if err != nil {
		return s, fmt.Errorf("open: %w", err)
	}
	defer func() {
		if e := pool.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("close: %w", e))
		}
	}()
	if _, err := pools.WarmUp(ctx, pool, size); err != nil {
		return s, fmt.Errorf("open %d connections beforehand: %w", size, err)
	}
	l := pools.Load{Workers: concurrency, For: p.Warm, Timeout: p.Timeout}
	if _, err := pools.Drive(ctx, l, pool.Do); err != nil {
		return s, err
	}
	runtime.GC() // what the slice before left behind is not this one's
	s.before = pool.Stats()
	l.For = p.Slice
	if s.outcome, err = pools.Drive(ctx, l, pool.Do); err != nil {
		return s, err
	}
	s.after = pool.Stats()
	return s, nil
}

// whole is the number of rounds that there are.
func (r *Report) whole() (rounds int) {
	for _, c := range r.Curves {
		rounds += c.Rounds
	}
	return rounds
}

// note says what a reader of the figures should know.
func (r *Report) note() {
	add := func(format string, args ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, args...)) }
	switch all := r.Rounds * len(r.Concurrency); {
	case r.Interrupted:
		add("interrupted after %d of %d rounds", r.whole(), all)
	case r.Failure != "":
		add("broken off after %d of %d rounds: %s", r.whole(), all, r.Failure)
	}
	for _, c := range r.Curves {
		var busy, beyond []int
		for _, p := range c.Points {
			if p.ClientBusy > clientBusy {
				busy = append(busy, p.Size)
			}
			if p.Size > c.Concurrency {
				beyond = append(beyond, p.Size)
			}
		}
		if len(busy) > 0 {
			add("at %d callers this process used more than %.0f %% of its CPUs with size %s: the rate there is the client's limit", c.Concurrency, 100*clientBusy, listed(busy))
		}
		if len(beyond) > 0 {
			add("%d callers cannot use all connections of size %s", c.Concurrency, listed(beyond))
		}
	}
}
