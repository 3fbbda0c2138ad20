package load

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// portableNote is carried into every result of the portable engine.
const portableNote = "portable engine: goroutines for each connection, on any CPU of the process; due times as coarse as the runtime's timers; collections may fall into the run"

// portableEngine drives connections through package net. Each open connection
// has a goroutine that reads, and that also sends what its replies allow to be
// sent; where requests may be larger than what every kernel takes without
// waiting, it has a second one that writes.
type portableEngine struct {
	p     *Plan
	m     *material
	conns []*portableConn
	parts []*portablePart

	prompt bool // writing a connection's requests never waits

	ctx    context.Context // ends with the engine
	cancel context.CancelFunc
	tasks  sync.WaitGroup // all goroutines that belong to connections

	phase    atomic.Pointer[string]
	quota    atomic.Int64  // requests that may still begin; negative: no limit
	draining atomic.Bool   // run waits for outstanding replies
	wake     chan struct{} // room for one: what run waits for may be so
	free     freePlaces    // open mode
}

// portablePart is the account that a part of the connections share. One for all
// would have every reply wait for a single lock; one for each would cost 270 KB
// of histograms a connection.
type portablePart struct {
	mu sync.Mutex // guards all of this, and the state of the part's connections

	tally
	mode      Mode            // of the segment under way
	sending   bool            // new requests may begin
	counting  bool            // inSystem is being integrated
	endAt     int64           // end of the window
	accounted int64           // time up to which inSystem is integrated
	lastDone  int64           // when the last request completed
	dials     context.Context // ends when dials are given up
	present
}

// present counts what is there.
type present struct {
	open     int64 // connections
	dialling int64 // connections being made
	inflight int64 // requests outstanding
	writing  int64 // connections being written to
}

// present sums up over all parts. Each part's numbers belong together.
func (e *portableEngine) present() (sum present) {
	for _, s := range e.parts {
		s.mu.Lock()
		sum.open += s.open
		sum.dialling += s.dialling
		sum.inflight += s.inflight
		sum.writing += s.writing
		s.mu.Unlock()
	}
	return sum
}

func newPortableEngine(p *Plan, conns int) (engine, error) {
	e := &portableEngine{p: p, m: newMaterial(p), wake: make(chan struct{}, 1)}
	e.prompt = e.m.txUnit*p.Pipeline <= promptBytes && p.Pipeline <= promptRequests
	e.ctx, e.cancel = context.WithCancel(context.Background())
	for range min(conns, runtime.GOMAXPROCS(0), 8) {
		e.parts = append(e.parts, &portablePart{tally: tally{series: newSeries(p.Mode)}})
	}
	if p.Mode == Open {
		e.free = freePlaces{changed: make(chan struct{}, 1), ring: ring{tokens: make([]token, conns*p.Pipeline)}}
	}
	for i := range conns {
		n := i*p.shards + p.shard
		e.conns = append(e.conns, &portableConn{
			e: e, part: e.parts[i%len(e.parts)], index: i, number: n,
			target: &e.p.Targets[n%len(e.p.Targets)],
			slots:  make([]slot, p.Pipeline),
			silent: p.silent(p.shard, p.shards, i),
		})
	}
	return e, nil
}

// notify makes run look again at what it waits for.
func (e *portableEngine) notify() {
	select {
	case e.wake <- struct{}{}:
	default: // it is going to look anyway
	}
}

// takeQuota takes up to k requests from what may still begin.
func (e *portableEngine) takeQuota(k int) int {
	for {
		left := e.quota.Load()
		if left < 0 {
			return k
		}
		taken := min(int64(k), left)
		if e.quota.CompareAndSwap(left, left-taken) {
			return int(taken)
		}
	}
}

// dial opens all connections, a few at a time.
func (e *portableEngine) dial(ctx context.Context) error {
	if e.p.Mode == Connect {
		return nil
	}
	e.setPhase("dial")
	dials, stop := context.WithCancel(e.ctx)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	for _, s := range e.parts {
		s.mu.Lock()
		s.dials = dials
		s.mu.Unlock()
	}
	var next, failed atomic.Int64
	var firstFailed atomic.Pointer[error]
	var dialers sync.WaitGroup
	for range min(dialsAtOnce, len(e.conns)) {
		dialers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(e.conns) || failed.Load() >= dialsAtOnce && e.present().open == 0 {
					return // all are made; or nobody is there, so do not try thousands of times
				}
				c := e.conns[i]
				c.part.mu.Lock()
				c.become(connDialing)
				c.part.mu.Unlock()
				if err := c.connect(); err != nil {
					failed.Add(1)
					firstFailed.CompareAndSwap(nil, &err)
					continue
				}
				e.tasks.Go(c.live)
			}
		})
	}
	dialers.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	if first := firstFailed.Load(); first != nil && e.present().open == 0 {
		return dialError(e.p.Targets[e.p.shard%len(e.p.Targets)], systemError(*first))
	}
	return nil
}

// open makes the network connection of c.
func (e *portableEngine) open(ctx context.Context, c *portableConn) (net.Conn, error) {
	d := net.Dialer{Timeout: e.p.DialTimeout, KeepAlive: -1}
	if source, set := c.source(); set {
		d.LocalAddr = &net.TCPAddr{IP: source[:]}
		d.Control = bindNoPort
	}
	deadline := time.Now().Add(e.p.DialTimeout)
	for {
		nc, err := d.DialContext(ctx, c.target.Network, c.target.Address)
		if !errors.Is(err, syscall.EAGAIN) || e.p.Mode == Connect || time.Now().After(deadline) {
			return nc, err
		}
		// The backlog of a Unix socket is full. Where connections are made
		// ahead of the run, there is time to try again.
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (e *portableEngine) setPhase(name string) { e.phase.Store(&name) }

func (e *portableEngine) progress() (phase string, conns int, requests int64) {
	if p := e.phase.Load(); p != nil {
		phase = *p
	}
	for _, s := range e.parts {
		s.mu.Lock()
		requests += s.completed
		s.mu.Unlock()
	}
	return phase, int(e.present().open), requests
}

func (e *portableEngine) close() {
	e.cancel()
	for _, c := range e.conns {
		c.part.mu.Lock()
		c.hangUp(connClosed)
		c.part.mu.Unlock()
	}
	e.tasks.Wait()
}
