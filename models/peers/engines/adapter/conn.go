package adapter

import (
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"netbench/models"
	"netbench/models/internal/buffers"
)

// Wire is an engine's connection. But for Wake and Close its methods are called
// where the engine calls its handlers.
type Wire interface {
	// Write hands b over. It may be reused when Write returns.
	Write(b []byte) error

	// Pending is how many bytes were handed over and not given to the kernel.
	Pending() int

	// Drained tells whether the kernel has all that was handed over.
	Drained() bool

	// Unread is how many bytes have arrived and were not read yet; 0 if that is
	// not known.
	Unread() int

	// CloseWrite ends the stream to the peer. It returns false where the
	// engine cannot.
	CloseWrite() bool

	// Wake has [Conn.Poke] called where the engine calls its handlers.
	Wake()

	// Close has the connection closed.
	Close()
}

// phase is how far a connection is in its life.
type phase uint8

const (
	open      phase = iota
	parting         // nothing more is answered; what is owed is being sent
	lingering       // the stream to the peer is ended; its own is discarded
	gone
)

const (
	// lingerTime bounds how long a connection that the session closed is kept
	// for its peer to read the last reply and to end its own stream.
	lingerTime = 2 * time.Second

	// drainLinger is the same in a shutdown.
	drainLinger = 250 * time.Millisecond
)

// looks is how many looks in a row, glance apart, find a connection before a
// shutdown judges what has arrived. As long may input be on its way through an
// engine, seen by nobody.
const looks = 10

// Conn is a connection and its session.
type Conn struct {
	s       *Server
	wire    Wire
	session models.Session

	// Used where the engine calls its handlers, which is one place at a time,
	// or else under mu.
	mu      sync.Mutex
	held    []byte // input that is not consumed
	later   []byte // input that came while work was in progress
	need    int
	phase   phase
	watched bool
	stalled bool // not stepped on, as too much is owed
	busy    bool // work is in progress, or its result was not taken yet
	failed  bool // the session broke its contract, or a write failed
	sent    uint64
	read    uint64 // bytes received
	taken   uint64 // bytes consumed
	mark    uint64 // no request that begins here or later is answered
	looks   int    // how often it was looked at since the server drains
	owed    int    // what was pending at the last look
	until   time.Time
	result  outcome // of work; written by the worker before working is false

	idled   bool // under Server.mu
	working atomic.Bool
	dead    atomic.Bool // the engine has closed it

	bytesIn, bytesOut atomic.Uint64
	stamp             atomic.Uint32 // tick of the last traffic
}

// outcome is what work came to.
type outcome struct {
	n    int
	out  *buffers.Buffer
	next models.Next
}

func newConn(s *Server, w Wire) *Conn {
	c := &Conn{s: s, wire: w, need: 1, mark: math.MaxUint64}
	if !s.Sessionless {
		c.session = s.Config.Service.Open()
	}
	c.stamp.Store(s.clock.Load())
	return c
}

// Received steps through data and what was held before. The engine may reuse data
// afterwards.
func (c *Conn) Received(data []byte) {
	if c.s.Shared {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	c.read += uint64(len(data))
	c.bytesIn.Store(c.read)
	c.Touch()
	switch {
	case c.phase != open:
		return
	case c.busy:
		c.later = append(c.later, data...)
		return
	case c.stalled:
		c.held = append(c.held, data...)
		return
	case c.s.Direct && c.mark == math.MaxUint64:
		c.taken += uint64(len(data))
		c.put(data)
		return
	case len(c.held) > 0:
		c.held = append(c.held, data...)
		data = c.held
	}
	c.step(data)
	if c.s.draining.Load() {
		c.look()
	}
}

// step answers what can be answered of in, which is what is held or new.
func (c *Conn) step(in []byte) {
	if len(in) < c.need {
		c.hold(in)
		return
	}
	out := c.s.buffers.Get(max(c.s.Config.ReadBuffer, len(in))) // as much as is usually answered at once
	for len(in) > 0 && len(in) >= c.need && c.taken < c.mark {
		n, reply, next := c.session.Step(in, out.B)
		if next.Op == models.Block && c.s.Inline {
			c.put(out.B)
			c.working.Store(true)
			n, reply, next = c.session.(models.Blocker).Work(in, out.B[:0])
			c.Touch()
			c.working.Store(false)
		}
		if next.Op == models.Block {
			c.put(out.B)
			c.s.buffers.Put(out)
			c.hold(in)
			c.work()
			return
		}
		out.B = reply
		in = in[n:]
		if !c.after(n, len(in), next) {
			break
		}
		if len(out.B) >= c.s.Config.MaxPending && len(in) > 0 {
			c.put(out.B)
			out.B = out.B[:0]
			if c.phase != open {
				break
			}
			if c.owed >= c.s.Config.MaxPending {
				c.stall()
				break
			}
		}
	}
	c.put(out.B)
	if !c.failed { // else the engine may hold on to it
		c.s.buffers.Put(out)
	}
	c.hold(in)
	if c.phase == parting {
		c.part()
	}
}

// after notes that n bytes were consumed, and what is next. It returns false if
// nothing more is answered.
func (c *Conn) after(n, left int, next models.Next) bool {
	c.taken += uint64(n)
	if next.Op == models.Close {
		c.leave()
		return false
	}
	c.need = max(1, next.Need)
	if n == 0 && c.need <= left {
		c.need = left + 1
	}
	if c.need > c.s.limit {
		c.failed = true
		c.phase = gone
		c.wire.Close()
		return false
	}
	return true
}

// stall stops answering until less is owed.
func (c *Conn) stall() {
	c.stalled = true
	c.s.mu.Lock()
	c.s.totals.Paused++
	c.s.mu.Unlock()
	c.s.watch(c, true)
}

// hold keeps in, which may be a part of what is held.
func (c *Conn) hold(in []byte) {
	switch {
	case len(in) == 0 || c.phase != open:
		if cap(c.held) > 2*c.s.Config.ReadBuffer {
			c.held = nil
		}
		c.held = c.held[:0]
	default:
		c.held = append(c.held[:0], in...)
		if want := min(c.need, c.s.limit); cap(c.held) < want {
			c.held = append(make([]byte, 0, want), c.held...)
		}
	}
}

// put hands a reply over.
func (c *Conn) put(b []byte) {
	if len(b) == 0 || c.phase == gone || c.dead.Load() {
		return
	}
	if err := c.wire.Write(b); err != nil {
		c.failed = true
		c.phase = gone
		c.wire.Close()
		return
	}
	c.sent += uint64(len(b))
	c.account()
}

// account looks how much is owed, and has it looked at again if there is.
func (c *Conn) account() {
	before := c.owed
	c.owed = c.wire.Pending()
	c.bytesOut.Store(c.sent - uint64(c.owed))
	if c.owed > 0 {
		if c.owed < before {
			c.Touch()
		}
		c.s.watch(c, true)
	}
}

// work hands what is held to a worker.
func (c *Conn) work() {
	if c.phase != open {
		return
	}
	c.busy = true
	c.working.Store(true)
	in := c.held
	c.s.workers.submit(func() {
		out := c.s.buffers.Get(max(c.s.Config.ReadBuffer, len(in)))
		n, reply, next := c.session.(models.Blocker).Work(in, out.B)
		out.B = reply
		c.result = outcome{n, out, next}
		c.Touch()
		c.working.Store(false)
		c.s.wake(c)
	})
}

// worked takes the result of work.
func (c *Conn) worked() {
	r := c.result
	c.result, c.busy = outcome{}, false
	in := append(c.held[r.n:], c.later...)
	c.later = nil
	on := c.after(r.n, len(in), r.next)
	c.put(r.out.B)
	c.s.buffers.Put(r.out)
	switch {
	case on && c.phase == open:
		c.held = in
		c.step(in)
	case c.phase == parting:
		c.hold(nil)
		c.part()
	}
}

// CountIn and CountOut count what a connection without a session has read and
// written. Each is called from one goroutine at a time.
func (c *Conn) CountIn(n int) {
	c.bytesIn.Add(uint64(n))
	c.Touch()
}

// CountOut is told of in CountIn.
func (c *Conn) CountOut(n int) {
	c.bytesOut.Add(uint64(n))
	c.Touch()
}

// Fail notes that the connection ended by an error.
func (c *Conn) Fail() { c.failed = true }

// Touch notes that the connection has made progress.
func (c *Conn) Touch() { c.stamp.Store(c.s.clock.Load()) }

// Poke does what has become possible.
func (c *Conn) Poke() {
	if c.s.Shared {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	c.look()
}

// TryPoke is Poke, unless a handler runs for the connection.
func (c *Conn) TryPoke() {
	if c.mu.TryLock() {
		defer c.mu.Unlock()
		c.look()
	}
}

func (c *Conn) look() {
	if c.phase == gone || c.dead.Load() {
		return
	}
	if c.busy && !c.working.Load() {
		c.worked()
	}
	if c.owed > 0 || c.s.Blind {
		c.account()
	}
	if c.stalled && c.owed < c.s.Config.MaxPending && c.phase == open {
		c.stalled = false
		c.step(c.held)
	}
	if c.phase == open && c.s.draining.Load() {
		c.drain()
	}
	switch {
	case c.phase == parting:
		c.part()
	case c.phase == lingering && !time.Now().Before(c.until):
		c.wire.Close()
	case c.phase == open && c.owed == 0 && !c.stalled:
		c.s.watch(c, false)
	}
}

// drain ends the connection when all is answered that had arrived when it was
// drained first, and what had begun to arrive then.
func (c *Conn) drain() {
	if c.looks++; c.looks < looks {
		return
	}
	if c.mark == math.MaxUint64 {
		c.mark = c.read + uint64(c.wire.Unread())
	}
	if c.busy || c.stalled || c.taken < c.mark {
		return
	}
	c.leave()
}

// leave has nothing more answered.
func (c *Conn) leave() {
	if c.phase != open {
		return
	}
	c.phase = parting
	c.s.watch(c, true)
}

// part ends the stream when all is sent.
func (c *Conn) part() {
	if !c.wire.Drained() {
		return
	}
	if !c.wire.CloseWrite() {
		c.phase = gone
		c.wire.Close()
		return
	}
	c.phase = lingering
	c.until = time.Now().Add(lingerTime)
	if c.s.draining.Load() {
		c.until = time.Now().Add(drainLinger)
	}
	c.s.watch(c, true)
}

// Closed forgets a connection that the engine has closed, err being why.
func (c *Conn) Closed(err error) {
	c.dead.Store(true)
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.conns[c]; !there {
		return
	}
	delete(s.conns, c)
	delete(s.watched, c)
	if s.slots != nil {
		<-s.slots
	}
	s.totals.BytesIn += c.bytesIn.Load()
	s.totals.BytesOut += c.bytesOut.Load()
	if !c.idled && !s.stopped.Load() && (c.failed || err != nil && !errors.Is(err, io.EOF)) {
		s.totals.ConnErrors++
	}
}
