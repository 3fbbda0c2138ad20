package load

import (
	"context"
	"time"

	"netbench/results"
)

// Run carries out a plan: it dials, warms up, measures, and closes.
//
// The error wraps [ErrInput] if the plan is bad or no connection can be made. A
// run that took place has a result and no error, whatever went wrong in it. When
// ctx ends, the run stops early, and the result says that it was interrupted.
func Run(ctx context.Context, p Plan) (*Result, error) {
	s, err := Dial(ctx, p)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Run(ctx, Span{})
}

// Session is a set of open connections that may be driven several times. Its
// methods are called by one goroutine.
type Session struct {
	p         Plan
	eng       engine
	processes int
}

// Span is one run of a session. Zero fields mean what the plan says.
type Span struct {
	Duration time.Duration
	Warmup   time.Duration
	Requests int64   // see Plan.Requests
	Rate     float64 // of an open loop, requests a second
}

// Dial opens the connections of a plan (in connect mode it makes one, to see
// that somebody is there, and closes it). Its errors are those of [Run], or
// ctx's.
func Dial(ctx context.Context, p Plan) (*Session, error) {
	p, err := p.Normalize()
	if err != nil {
		return nil, err
	}
	n, err := processesFor(&p)
	if err != nil {
		return nil, err
	}
	s := &Session{p: p, processes: n}
	if p.Mode == Connect {
		if err := knock(ctx, &p); err != nil {
			return nil, err
		}
	}
	if n == 1 && !p.Apart {
		s.eng, err = newEngine(&s.p, p.Conns)
	} else {
		s.eng, err = newFleet(ctx, &s.p, n)
	}
	if err != nil {
		return nil, err
	}
	stop := s.report()
	err = s.eng.dial(ctx)
	stop()
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close closes all connections, and ends all generator processes.
func (s *Session) Close() { s.eng.close() }

// Processes is the number of generator processes.
func (s *Session) Processes() int { return s.processes }

// Run drives the connections once. Replies that are outstanding when the span
// ends are waited for, so one run does not disturb the next.
func (s *Session) Run(ctx context.Context, span Span) (*Result, error) {
	p := s.p
	if span.Duration > 0 {
		p.Duration = span.Duration
	}
	if span.Warmup > 0 {
		p.Warmup = span.Warmup
	}
	if span.Requests > 0 {
		p.Requests = span.Requests
	}
	if span.Rate > 0 {
		p.Rate = span.Rate
	}
	p, err := p.Normalize()
	if err != nil {
		return nil, err
	}
	seg := segment{mode: p.Mode, duration: p.Duration, requests: p.Requests, rate: p.Rate, seed: p.Seed}
	stop := s.report()
	defer stop()
	var before tally
	if p.Warmup > 0 && p.Mode != Idle {
		warm := seg
		warm.duration, warm.requests = p.Warmup, 0
		warm.seed++
		before = s.eng.run(ctx, warm)
	}
	aliveBefore := s.prove(ctx)
	c := circumstances{processes: s.processes, genCPUs: max(1, len(p.CPUs))}
	steal := results.StartSteal()
	cpu, err := readCPU(p.ServerCPU)
	if err != nil {
		return nil, err
	}
	start := nanos()
	t := s.eng.run(ctx, seg)
	c.wall = time.Duration(nanos() - start)
	after, err := readCPU(p.ServerCPU)
	if err != nil {
		return nil, err
	}
	if p.ServerCPU != nil {
		used := after - cpu
		c.serverCPU = &used
	}
	if share, ok := steal.Share(); ok {
		c.steal = &share
	}
	aliveAfter := s.prove(ctx)
	c.stopped = ctx.Err() != nil
	// What was lost beside it is missing from what is measured.
	for _, other := range []*tally{&before, &aliveBefore, &aliveAfter} {
		t.blame(other)
	}
	return newResult(&p, &t, c), nil
}

// prove exchanges requests on every connection, if there are silent ones: what
// is never used may be dead unnoticed. Only the failures in its tally matter.
func (s *Session) prove(ctx context.Context) tally {
	if s.p.Silent == 0 || ctx.Err() != nil {
		return tally{}
	}
	return s.eng.run(ctx, segment{mode: Idle, duration: time.Microsecond})
}

func readCPU(read func() (time.Duration, error)) (time.Duration, error) {
	if read == nil {
		return 0, nil
	}
	return read()
}

// report tells Plan.Progress about the engine until stop is called.
func (s *Session) report() (stop func()) {
	if s.p.Progress == nil {
		return func() {}
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	start := time.Now()
	go func() {
		defer close(gone)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				phase, conns, requests := s.eng.progress()
				p := Progress{Phase: phase, Elapsed: time.Since(start), Conns: conns, Requests: requests}
				if phase != "dial" {
					p.Of = s.p.Duration + s.p.Warmup
				}
				s.p.Progress(p)
			}
		}
	}()
	return func() { close(quit); <-gone }
}
