package calibrate

import (
	"context"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"netbench/internal/cc"
	"netbench/internal/cpu"
	"netbench/load"
	"netbench/results"
)

// setup is what all cells of a calibration share.
type setup struct {
	Options
	client *cc.Binary
	cpus   []int // one, or none
}

func measure(ctx context.Context, o Options) (r *Report, err error) {
	client, err := cc.Build(ctx, reference)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := client.Remove(); e != nil && err == nil {
			err = e
		}
	}()
	s := &setup{Options: o, client: client, cpus: o.CPUs[:min(1, len(o.CPUs))]}
	r = &Report{Compiler: client.Compiler, CPU: cpu.Format(s.cpus)}
	if r.Environment, err = results.Collect(ctx); err != nil {
		return nil, err
	}
	r.Environment.ServerCPUs, r.Environment.GeneratorCPUs = cpu.Format(o.ServerCPUs), r.CPU
	for _, w := range o.Workloads {
		c := &Cell{Name: w.String(), Other: "C client", Conns: w.Conns, Size: w.Size, Bound: MaxRatio, Reasons: []string{}}
		r.Cells = append(r.Cells, c)
		if err := s.cell(ctx, c, "echo", s.echoRound); err != nil {
			return r, err
		}
	}
	if o.WithoutWrk {
		return r, nil
	}
	r.Wrk = &Cell{Name: fmt.Sprintf("http, %d conns", wrkConns), Other: wrkName, Conns: wrkConns, Bound: MinYield, Reasons: []string{}}
	path, reason := findWrk()
	if path == "" {
		r.Wrk.Verdict, r.Wrk.Reasons = Absent, append(r.Wrk.Reasons, reason)
		o.Progress(reason)
		return r, nil
	}
	return r, s.cell(ctx, r.Wrk, "http", func(ctx context.Context, server Server, c *Cell, n int) (*Round, error) {
		return s.wrkRound(ctx, path, server, n)
	})
}

// cell measures all rounds of a cell against one server process. Failures make
// the cell unfit; the error is ctx's, or tells that no server could be started.
func (s *setup) cell(ctx context.Context, c *Cell, service string, round func(context.Context, Server, *Cell, int) (*Round, error)) error {
	server, err := s.Start(ctx, service)
	if err != nil {
		c.unfit("no server could be started: %v", err)
		c.conclude()
		return fmt.Errorf("%s: start the %s server: %w", c.Name, service, err)
	}
	steal := results.StartSteal()
	for n := range s.Rounds {
		r, err := round(ctx, server, c, n)
		if ctx.Err() != nil {
			c.unfit("interrupted after %d of %d rounds", n, s.Rounds)
			break
		}
		if err != nil {
			c.unfit("round %d: %v", n+1, err)
			break
		}
		c.Rounds = append(c.Rounds, *r)
		s.Progress(fmt.Sprintf("%s, round %d of %d: generator %s ns, %s %s ns of CPU per request",
			c.Name, n+1, s.Rounds, formatCount(r.Ours.PerOp), c.Other, formatCount(r.Theirs.PerOp)))
	}
	if share, ok := steal.Share(); ok {
		c.Steal = &share
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Stop(stop); err != nil {
		c.unfit("the server did not end well: %v", err)
	}
	c.conclude()
	return ctx.Err()
}

// pair is the two clients of a round, both connected.
type pair struct {
	ours   *load.Session
	theirs *client
	hist   *hdrhistogram.Histogram // of our latencies
}

func (s *setup) connect(ctx context.Context, server Server, c *Cell, oursFirst bool) (p *pair, err error) {
	plan, err := s.plan(ctx, "tcp://"+server.Addr(), c)
	if err != nil {
		return nil, err
	}
	p = &pair{hist: hdrhistogram.New(1, int64(time.Hour), 3)}
	steps := []func() error{
		func() (err error) { p.ours, err = load.Dial(ctx, plan); return err },
		func() (err error) {
			p.theirs, err = startClient(ctx, s.client.Path, server.Addr(), c.Conns, c.Size, s.cpus)
			return err
		},
	}
	if !oursFirst {
		steps[0], steps[1] = steps[1], steps[0]
	}
	for _, step := range steps {
		if err := step(); err != nil {
			_ = p.close() // what matters is why it could not connect
			return nil, err
		}
	}
	return p, nil
}

func (p *pair) close() (err error) {
	if p.ours != nil {
		p.ours.Close()
	}
	if p.theirs != nil {
		err = p.theirs.close()
	}
	return err
}

func (s *setup) plan(ctx context.Context, url string, c *Cell) (load.Plan, error) {
	target, err := load.ParseTarget(ctx, url)
	return load.Plan{
		Targets: []load.Target{target}, Mode: load.Closed, Engine: load.Epoll, Processes: 1,
		Conns: c.Conns, Size: c.Size, CPUs: s.cpus, Seed: 1,
	}, err
}

// echoRound drives both clients in slices, then looks for the highest rate.
func (s *setup) echoRound(ctx context.Context, server Server, c *Cell, n int) (*Round, error) {
	r := &Round{OursFirst: n%2 == 0}
	p, err := s.connect(ctx, server, c, r.OursFirst)
	if err != nil {
		return nil, err
	}
	if err := s.slices(ctx, p, r, c, n); err != nil {
		_ = p.close()
		return nil, err
	}
	if err := p.close(); err != nil {
		return nil, err
	}
	return r, s.ceiling(ctx, server, c)
}

// slices drives the clients in turn. As all slices have the same number of
// requests, both do the same work, and none is under way at either end.
func (s *setup) slices(ctx context.Context, p *pair, r *Round, c *Cell, n int) error {
	// Long enough for a host that was slowed down; a slice never gets there.
	bound := 20*s.Slice + 5*time.Second
	warmup := max(2000, 20*int64(c.Conns))
	warm, err := p.ours.Run(ctx, load.Span{Requests: warmup, Duration: bound})
	if err != nil {
		return err
	}
	if err := fault(warm); err != nil {
		return err
	}
	if _, err := p.theirs.run(ctx, warmup, bound); err != nil {
		return err
	}
	requests := max(int64(c.Conns), int64(warm.Rate*s.Slice.Seconds()))
	for _, who := range schedule(n, s.Round, s.Slice) {
		if who == theirs {
			a, err := p.theirs.run(ctx, requests, bound)
			if err != nil {
				return err
			}
			r.Theirs.add(a.requests, a.cpu, a.elapsed)
			r.Theirs.P50, r.Theirs.P99 = a.p50, a.p99
			continue
		}
		res, err := p.ours.Run(ctx, load.Span{Requests: requests, Duration: bound})
		if err != nil {
			return err
		}
		if err := fault(res); err != nil {
			return err
		}
		if res.Requests != requests {
			return fmt.Errorf("the generator made %d of the %d requests of a slice within %v", res.Requests, requests, bound)
		}
		r.Ours.add(res.Requests, int64(res.GeneratorPerOp*float64(res.Requests)), int64(res.Duration*1e9))
		if dropped := p.hist.Merge(res.Histogram()); dropped != 0 {
			return fmt.Errorf("%d latencies were dropped when histograms were merged", dropped)
		}
	}
	r.Ours.P50, r.Ours.P99 = p.hist.ValueAtQuantile(50), p.hist.ValueAtQuantile(99)
	return nil
}

// fault returns an error if anything at all went wrong in a run.
func fault(r *load.Result) error {
	for kind, n := range r.Errors {
		if n > 0 {
			return fmt.Errorf("the generator counted %d errors of kind %s (first: %s)", n, kind, r.FirstError)
		}
	}
	if r.Lost > 0 {
		return fmt.Errorf("the generator lost %d connections (%s)", r.Lost, r.FirstError)
	}
	if r.Requests == 0 {
		return fmt.Errorf("the generator had no reply")
	}
	return nil
}

// ceiling drives the generator alone, for a while, and keeps the highest rate
// seen, with what limited it. It has a session of its own, because reading the
// server's CPU time at each end is of no use to slices.
func (s *setup) ceiling(ctx context.Context, server Server, c *Cell) error {
	plan, err := s.plan(ctx, "tcp://"+server.Addr(), c)
	if err != nil {
		return err
	}
	plan.ServerCPUs = max(1, len(s.ServerCPUs))
	plan.ServerCPU = func() (time.Duration, error) {
		_ = server.Quiesce(ctx) // where it does not, the clock lags by a tick
		return server.CPU()
	}
	plan.Duration, plan.Warmup = s.Ceiling, s.Ceiling/5
	r, err := load.Run(ctx, plan)
	if err != nil {
		return err
	}
	if err := fault(r); err != nil {
		return err
	}
	if r.Rate > c.HighestRate {
		c.HighestRate, c.Limit = r.Rate, r.Limit
	}
	return nil
}
