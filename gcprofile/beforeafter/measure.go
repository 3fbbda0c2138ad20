package beforeafter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"netbench/load"
	"netbench/testenv"
)

// A Block is one service driven once.
type Block struct {
	Round    int      `json:"round"`
	Style    string   `json:"style"` // naive or tuned
	Rate     float64  `json:"rate"`
	Requests int64    `json:"requests"` // that were answered
	P50      *float64 `json:"p50_ns,omitempty"`
	P99      *float64 `json:"p99_ns,omitempty"`
	CPUPerOp *float64 `json:"server_cpu_ns_per_op,omitempty"`

	// P99AtMost is the p99 as it was measured, also where the generator was late,
	// which only adds to it.
	P99AtMost *float64 `json:"p99_at_most_ns,omitempty"`

	// Late are the percentiles that are absent because the generator was late.
	Late []Lag `json:"late,omitempty"`

	Runtime *Reading `json:"runtime"`
	Reasons []string `json:"reasons,omitempty"` // why something else of it is absent
	Invalid string   `json:"invalid,omitempty"` // why the whole block does not count
}

// A Lag is a percentile of latency that is not believed, and the generator's own lag at
// the same one.
type Lag struct {
	Percentile string `json:"percentile"` // p50 or p99
	By         int64  `json:"by_ns"`
}

// capacityFor is how long the naive service is driven as fast as it answers, to find
// the rate for both.
const capacityFor = 5 * time.Second

// run is a Measure under way.
type run struct {
	Options
	place testenv.Placement
	body  []byte
}

// Measure compares the two services: see the package. It takes twice Rounds blocks
// with their warm-ups, and some seconds more. The generator runs in this process,
// which the caller has pinned where place says. An error wraps [ErrInput], or tells
// what failed; what was measured before it is returned with it, nil if nothing was.
// A round of which a block went wrong does not count, and is told in the report.
func Measure(ctx context.Context, o Options, place testenv.Placement) (*Report, error) {
	o, err := o.normalize()
	if err != nil {
		return nil, err
	}
	r := &run{Options: o, place: place, body: Order(o.Seed, o.Items, o.Products)}
	capacity := 0.0
	if o.Rate == 0 {
		if capacity, err = r.capacity(ctx); err != nil {
			return nil, err
		}
		r.Rate = capacity * o.Share
	}
	random := rand.New(rand.NewPCG(o.Seed, 11))
	order := []string{naiveStyle, tunedStyle}
	var blocks []*Block
	for round := range o.Rounds {
		// Of two rounds, one begins with each.
		if round%2 == 1 || random.IntN(2) == 1 && round%2 == 0 {
			order[0], order[1] = order[1], order[0]
		}
		for _, style := range order {
			b, err := r.block(ctx, round, style)
			if err != nil {
				if len(blocks) < 2 {
					return nil, err
				}
				return r.report(capacity, blocks), err
			}
			blocks = append(blocks, b)
			o.Progress(b.line(o.Rounds))
		}
	}
	return r.report(capacity, blocks), nil
}

// collector is that of a style.
func (r *run) collector(style string) Collector {
	if style == tunedStyle {
		return r.Tuned
	}
	return byDefault
}

// with starts a service, dials, and calls f. Nothing is left of them.
func (r *run) with(ctx context.Context, style string, change func(*load.Plan), f func(*server, *load.Session) error) (err error) {
	s, err := startServer(ctx, serverSpec{style, r.Products}, r.collector(style), r.place.Server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	target, err := load.ParseTarget(ctx, "http://"+s.info.Addr+"/orders")
	if err != nil {
		return err
	}
	plan := r.plan(target, r.body)
	plan.CPUs, plan.ServerCPUs, plan.ServerCPU = r.place.Generator, max(1, len(r.place.Server)), s.cpu
	if _, err := s.cpu(); err != nil {
		plan.ServerCPU = nil // where it cannot be read, it is absent
	}
	change(&plan)
	session, err := load.Dial(ctx, plan)
	if err != nil {
		return err
	}
	defer session.Close()
	return f(s, session)
}

// capacity is what the naive service answers in a second when it is asked as fast as
// it answers.
func (r *run) capacity(ctx context.Context) (rate float64, err error) {
	err = r.with(ctx, naiveStyle, func(p *load.Plan) { p.Mode = load.Closed }, func(_ *server, session *load.Session) error {
		result, err := session.Run(ctx, load.Span{Warmup: time.Second, Duration: min(capacityFor, r.Block)})
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if why := failures(result); why != "" {
			return fmt.Errorf("find the capacity of the naive service: %s", why)
		}
		rate = result.Rate
		r.Progress(fmt.Sprintf("the naive service answers %.0f requests/s; both get %.0f", rate, rate*r.Share))
		return nil
	})
	return rate, err
}

// failures says what went wrong with requests, "" if nothing did.
func failures(r *load.Result) string {
	n := int64(0)
	for _, count := range r.Errors {
		n += count
	}
	switch {
	case r.Requests == 0:
		return "no request was answered"
	case n > 0 || r.Lost > 0:
		return fmt.Sprintf("%d requests failed and %d connections were lost: %s", n, r.Lost, r.FirstError)
	}
	return ""
}

// block drives a fresh service. An error is one of this host or of ctx; what is the
// service's makes the block invalid.
func (r *run) block(ctx context.Context, round int, style string) (*Block, error) {
	b := &Block{Round: round, Style: style, Rate: r.Rate}
	open := func(p *load.Plan) {
		p.Mode, p.Rate, p.Seed = load.Open, r.Rate, r.Seed+uint64(round)
		p.Thresholds.SendLag = load.AnyLag // each quantile is judged by itself
	}
	err := r.with(ctx, style, open, func(s *server, session *load.Session) error {
		if r.Warmup > 0 {
			if _, err := session.Run(ctx, load.Span{Duration: r.Warmup}); err != nil {
				return err
			}
		}
		if err := s.begin(ctx); err != nil {
			return err
		}
		result, err := session.Run(ctx, load.Span{Duration: r.Block})
		if err != nil {
			return err
		}
		if b.Runtime, err = s.end(ctx); err != nil {
			return err
		}
		b.fill(result)
		return nil
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return b, err
}

// fill takes over what the generator found, as far as it may be believed.
func (b *Block) fill(r *load.Result) {
	b.Requests, b.Reasons = r.Answered, r.Reasons
	if b.Invalid = failures(r); b.Invalid != "" {
		return
	}
	if !r.Valid.Counts {
		b.Invalid = "its requests were not counted right"
		return
	}
	if r.Valid.CPU {
		b.CPUPerOp = r.ServerPerOp
	}
	if !r.Valid.Latency || r.Latency == nil {
		return
	}
	believed, _ := load.WithoutLate(r.Histogram(), r.SendLagHistogram())
	b.P50, b.P99, b.P99AtMost = inFloat(believed.P50), inFloat(believed.P99), inFloat(r.Latency.P99)
	if r.SendLag == nil {
		return
	}
	// Said of those percentiles that the report has, and in numbers that it can sum up.
	for _, p := range []struct {
		name                    string
		measured, believed, lag *int64
	}{{"p50", r.Latency.P50, believed.P50, r.SendLag.P50}, {"p99", r.Latency.P99, believed.P99, r.SendLag.P99}} {
		if by := cmp.Or(p.lag, r.SendLag.Max); p.measured != nil && p.believed == nil && by != nil {
			b.Late = append(b.Late, Lag{p.name, *by})
		}
	}
}

func inFloat(n *int64) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}

// line is a block in a line, for whoever waits.
func (b *Block) line(rounds int) string {
	text := fmt.Sprintf("round %d of %d, %s: ", b.Round+1, rounds, b.Style)
	if b.Invalid != "" {
		return text + "does not count: " + b.Invalid
	}
	p99 := "-"
	switch {
	case b.P99 != nil:
		p99 = time.Duration(*b.P99).Round(10 * time.Microsecond).String()
	case b.P99AtMost != nil:
		p99 = "at most " + time.Duration(*b.P99AtMost).Round(10*time.Microsecond).String()
	}
	return text + fmt.Sprintf("%.1f allocations/request, %d collections, p99 %s",
		float64(b.Runtime.Mallocs)/float64(b.Requests), b.Runtime.Collections, p99)
}
