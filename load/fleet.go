package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"netbench/internal/proc"
)

// Role is what a generator process is, for [proc.Main]: programs that run plans
// with more connections than one process may hold have to name it there.
func Role() proc.Role { return proc.Role{Name: "generator", Run: serveShare} }

// fleet is an engine whose connections are spread over child processes, each of
// which runs an engine of its own.
type fleet struct {
	ctx      context.Context
	children []*proc.Child
	phase    atomic.Pointer[string]
	conns    atomic.Int64
}

// share is what a generator process is told.
type share struct {
	Plan          Plan
	Conns         int
	Shard, Shards int
}

// order and answer of the operation "run".
type runOrder struct {
	Mode     Mode
	Duration time.Duration
	Requests int64
	Rate     float64
	Seed     uint64
}

// state answers the operation "progress".
type state struct {
	Conns    int
	Requests int64
}

// newFleet starts n processes.
func newFleet(ctx context.Context, p *Plan, n int) (engine, error) {
	f := &fleet{ctx: ctx, children: make([]*proc.Child, n)}
	conns := shares(int64(p.Conns), n)
	started := make(chan error, n)
	// A few at a time: each start loads a program.
	slots := make(chan struct{}, 4)
	for i := range n {
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			child, err := proc.Start(ctx, proc.Options{
				Role:       "generator",
				Spec:       share{Plan: *p, Conns: int(conns[i]), Shard: i, Shards: n},
				CPUs:       p.CPUs,
				GoMaxProcs: max(1, len(p.CPUs)) + 1,
			})
			f.children[i] = child
			started <- err
		}()
	}
	var first error
	for range n {
		if err := <-started; err != nil && first == nil {
			first = err
		}
	}
	if first != nil {
		f.close()
		return nil, fmt.Errorf("start generator process: %w", first)
	}
	return f, nil
}

// each calls all processes at once.
func (f *fleet) each(ctx context.Context, op string, call func(i int, c *proc.Child) error) error {
	f.phase.Store(&op)
	errs := make([]error, len(f.children))
	var all sync.WaitGroup
	for i, c := range f.children {
		all.Go(func() { errs[i] = call(i, c) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (f *fleet) dial(ctx context.Context) error {
	var input atomic.Pointer[string]
	err := f.each(ctx, "dial", func(_ int, c *proc.Child) error {
		var reply dialReply
		if err := c.Call(ctx, "dial", nil, &reply); err != nil {
			return err
		}
		f.conns.Add(int64(reply.Conns))
		if reply.Error != "" {
			input.Store(&reply.Error)
		}
		return nil
	})
	if err == nil && f.conns.Load() == 0 && input.Load() != nil {
		return badInput("%s", *input.Load())
	}
	return err
}

type dialReply struct {
	Conns int
	Error string // why no connection could be made
}

func (f *fleet) run(ctx context.Context, s segment) tally {
	// A process that is told to stop early answers with what it has; the call
	// itself must outlast ctx for that answer to arrive.
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	unhook := context.AfterFunc(ctx, func() {
		for _, c := range f.children {
			go func() { _ = c.Call(calls, "interrupt", nil, nil) }()
		}
		time.AfterFunc(2*time.Second, cancel)
	})
	defer unhook()
	quota := shares(s.requests, len(f.children))
	tallies := make([]tally, len(f.children))
	err := f.each(ctx, "measure", func(i int, c *proc.Child) error {
		var wire wireTally
		o := runOrder{s.mode, s.duration, quota[i], s.rate, s.seed}
		if s.requests > 0 && quota[i] == 0 {
			return nil
		}
		if err := c.Call(calls, "run", o, &wire); err != nil {
			return err
		}
		return wire.unpack(&tallies[i])
	})
	var sum tally
	for i := range tallies {
		if e := sum.merge(&tallies[i]); e != nil {
			sum.recordErrors++
		}
	}
	if err != nil && ctx.Err() == nil {
		sum.lost += int64(len(f.children))
		sum.broken = "generator process: " + err.Error()
		sum.first = sum.broken
	}
	return sum
}

func (f *fleet) progress() (phase string, conns int, requests int64) {
	if p := f.phase.Load(); p != nil {
		phase = *p
	}
	ctx, cancel := context.WithTimeout(f.ctx, 200*time.Millisecond)
	defer cancel()
	for _, c := range f.children {
		var s state
		if c.Call(ctx, "progress", nil, &s) == nil {
			conns += s.Conns
			requests += s.Requests
		}
	}
	return phase, conns, requests
}

func (f *fleet) close() {
	var all sync.WaitGroup
	for _, c := range f.children {
		if c != nil {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				_ = c.Stop(ctx) // it holds connections and nothing else; killing it is no loss
			})
		}
	}
	all.Wait()
}

// serveShare is a generator process.
func serveShare(ctx context.Context, ch *proc.Channel, spec json.RawMessage) error {
	var s share
	if err := json.Unmarshal(spec, &s); err != nil {
		return err
	}
	p := s.Plan
	p.shard, p.shards = s.Shard, s.Shards
	eng, err := newEngine(&p, s.Conns)
	if err != nil {
		return err
	}
	defer eng.close()
	interrupted, interrupt := context.WithCancel(ctx)
	defer interrupt()
	var one sync.Mutex // an engine does one thing at a time
	ch.Handle("dial", func(context.Context, json.RawMessage) (any, error) {
		one.Lock()
		defer one.Unlock()
		err := eng.dial(interrupted)
		if err != nil && !errors.Is(err, ErrInput) {
			return nil, err
		}
		reply := dialReply{}
		_, reply.Conns, _ = eng.progress()
		if err != nil {
			reply.Error = err.Error()
		}
		return reply, nil
	})
	ch.Handle("run", func(_ context.Context, arg json.RawMessage) (any, error) {
		one.Lock()
		defer one.Unlock()
		var o runOrder
		if err := json.Unmarshal(arg, &o); err != nil {
			return nil, err
		}
		t := eng.run(interrupted, segment{o.Mode, o.Duration, o.Requests, o.Rate, o.Seed})
		return packTally(&t)
	})
	ch.Handle("interrupt", func(context.Context, json.RawMessage) (any, error) {
		interrupt()
		return nil, nil
	})
	ch.Handle("progress", func(context.Context, json.RawMessage) (any, error) {
		var s state
		_, s.Conns, s.Requests = eng.progress()
		return s, nil
	})
	if err := ch.Ready(nil); err != nil {
		return err
	}
	<-ctx.Done()
	one.Lock() // let what is under way end; it is told to by ctx
	defer one.Unlock()
	return nil
}

// wireTally is a tally as it travels between processes.
type wireTally struct {
	Hist                                           [5]string // HdrHistogram's V2 encoding, base64
	RecordErrors, Completed, Drained, Bad, Offered int64
	Lost, Alive, BytesIn, BytesOut                 int64
	Elapsed, CPU, CPUWall, CPUAll, Took            time.Duration
	InSystem, Residence                            float64
	Errors                                         ErrorCounts
	First                                          string
}

func packTally(t *tally) (*wireTally, error) {
	w := &wireTally{
		RecordErrors: t.recordErrors, Completed: t.completed, Drained: t.drained, Bad: t.bad, Offered: t.offered,
		Lost: t.lost, Alive: t.alive, BytesIn: t.bytesIn, BytesOut: t.bytesOut,
		Elapsed: t.elapsed, CPU: t.cpu, CPUWall: t.cpuWall, CPUAll: t.cpuAll, Took: t.took,
		InSystem: t.inSystem, Residence: t.residence, Errors: t.errors, First: t.first,
	}
	for i, h := range t.series.all() {
		if *h == nil {
			continue
		}
		b, err := (*h).Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			return nil, fmt.Errorf("encode a histogram: %w", err)
		}
		w.Hist[i] = string(b) // already base64
	}
	return w, nil
}

func (w *wireTally) unpack(t *tally) error {
	*t = tally{
		completed: w.Completed, drained: w.Drained, bad: w.Bad, offered: w.Offered,
		lost: w.Lost, alive: w.Alive, bytesIn: w.BytesIn, bytesOut: w.BytesOut,
		elapsed: w.Elapsed, cpu: w.CPU, cpuWall: w.CPUWall, cpuAll: w.CPUAll, took: w.Took,
		inSystem: w.InSystem, residence: w.Residence, errors: w.Errors, first: w.First,
	}
	t.recordErrors = w.RecordErrors
	for i, h := range t.series.all() {
		if w.Hist[i] == "" {
			continue
		}
		d, err := hdrhistogram.Decode([]byte(w.Hist[i]))
		if err != nil {
			return fmt.Errorf("decode a histogram: %w", err)
		}
		*h = d
	}
	return nil
}
