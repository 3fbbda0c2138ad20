package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

// portableConn is one connection of the portable engine. Its part's lock guards
// its state; flow belongs to the goroutines that read (rx, part, http) and write
// (tx).
type portableConn struct {
	flow
	e      *portableEngine
	part   *portablePart
	target *Target
	index  int // among the connections of this process
	number int // among the connections of all processes
	silent bool

	conn     net.Conn
	state    connState
	slots    []slot
	head     int          // position of the oldest request outstanding
	inflight atomic.Int32 // requests begun and not answered; written to under the lock
	reissue  int          // places for requests to be given back when redialled
	owed     int64        // bytes of them still to be written
	writing  bool         // a goroutine is writing

	kick     chan struct{} // wakes the writing goroutine, nil if there is none
	outcomes []outcome     // of the replies in one read
	cycles   int           // connections made, in connect mode
}

const (
	// promptBytes and promptRequests bound what may be outstanding on a
	// connection for it to be written by whoever has something to send: so
	// little fits in any socket buffer, so writing never waits for the peer.
	promptBytes    = 4 << 10
	promptRequests = 64

	// maxRead bounds what one connection reads at once. An idle one holds its
	// buffer too.
	maxRead = 64 << 10
)

// fate is what becomes of a connection that has stopped reading.
type fate uint8

const (
	fateGone   fate = iota // closed; whoever closed it has booked why
	fateAgain              // closed by the server behind a whole reply
	fateFinish             // the exchange of a cycle is complete
)

// connect makes the connection, which has to be connDialing. If it returns an
// error, that is booked.
func (c *portableConn) connect() error {
	s := c.part
	s.mu.Lock()
	dials := s.dials
	s.mu.Unlock()
	since := nanos()
	nc, err := c.e.open(dials, c)
	now := nanos()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.state != connDialing { // given up meanwhile
		if err == nil {
			_ = nc.Close()
		}
		return errNoReply
	}
	if err != nil {
		c.lose(classify(err, DialError), fmt.Errorf("connect to %s: %w", c.target.Address, systemError(err)))
		return err
	}
	c.conn = nc
	c.become(connOpen)
	c.e.m.begin(&c.flow, c.number)
	if !c.e.prompt {
		kick := make(chan struct{}, 1)
		c.kick = kick
		c.e.tasks.Go(func() {
			for range kick {
				s.mu.Lock()
				c.flush()
				s.mu.Unlock()
			}
		})
	}
	places := c.reissue
	c.reissue = 0
	if c.e.p.Mode == Connect {
		s.record(s.connect, now-since)
		c.begin(1, now, now)
	} else if places > 0 {
		c.proceed(places, now)
	}
	return nil
}

// source is the local address that the next connection of c comes from, if it
// is not left to the kernel.
func (c *portableConn) source() (addr [4]byte, set bool) {
	if c.target.Network != "tcp" || !manySources(*c.target) {
		return addr, false
	}
	if c.e.p.Mode == Connect {
		c.cycles++
		return connectSource(c.e.p.shard, c.index+c.cycles)
	}
	return heldSource(c.number, len(c.e.p.Targets))
}

// systemError strips what package net puts around an error of the system, which
// repeats the addresses.
func systemError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// live reads until the connection is beyond use, or needed no more.
func (c *portableConn) live() {
	b := make([]byte, c.e.readSize())
	for c.serve(b) == fateAgain {
		if c.connect() != nil {
			return
		}
	}
}

// readSize is the size of a connection's read buffer: what is outstanding at
// most, as far as that is known.
func (e *portableEngine) readSize() int {
	if e.m.proto == HTTPProtocol {
		return 16 << 10
	}
	return max(1<<10, min(e.m.rxUnit*e.p.Pipeline, maxRead))
}

// serve reads from the open connection until it is closed.
func (c *portableConn) serve(b []byte) fate {
	c.part.mu.Lock()
	nc := c.conn
	c.part.mu.Unlock()
	if nc == nil {
		return fateGone
	}
	for {
		n, err := nc.Read(b)
		now := nanos()
		if n > 0 {
			if f, open := c.take(b[:n], now); !open {
				return f
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return c.ended(now)
		default:
			c.part.mu.Lock()
			if c.state == connOpen { // else who closed it has booked why
				c.lose(classify(err, ResetError), systemError(err))
			}
			c.part.mu.Unlock()
			return fateGone
		}
	}
}

// take hands bytes to the protocol, books what they complete, and sends what
// follows. The connection goes on if open is true.
func (c *portableConn) take(b []byte, now int64) (f fate, open bool) {
	var wrong error
	size, last := len(b), false
	c.outcomes = c.outcomes[:0]
	for len(b) > 0 && wrong == nil && !last {
		if int(c.inflight.Load()) <= len(c.outcomes) {
			wrong = errUnasked
			break
		}
		n, out := c.e.m.receive(&c.flow, b)
		b = b[n:]
		switch out {
		case more:
		case mismatch:
			wrong = errMismatch
		default:
			c.outcomes = append(c.outcomes, out)
			last = (out == doneLast || out == doneLastBad) && c.e.p.Mode != Connect
		}
	}
	s := c.part
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.state != connOpen {
		return fateGone, false
	}
	s.bytesIn += int64(size)
	for _, out := range c.outcomes {
		c.complete(now, out == doneBad || out == doneLastBad)
	}
	switch places := len(c.outcomes); {
	case wrong != nil:
		c.lose(MismatchError, wrong)
		return fateGone, false
	case places == 0:
	case c.e.p.Mode == Connect:
		return fateFinish, false
	case last:
		return c.again(places, now), false
	default:
		c.proceed(places, now)
	}
	return 0, true
}

// ended handles the end of the stream.
func (c *portableConn) ended(now int64) fate {
	s := c.part
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.state != connOpen {
		return fateGone
	}
	out := c.e.m.endOfStream(&c.flow)
	if out == more || c.inflight.Load() == 0 {
		c.lose(ShortError, errShort)
		return fateGone
	}
	c.complete(now, out == doneLastBad)
	if c.e.p.Mode == Connect {
		return fateFinish
	}
	return c.again(1, now)
}

// The functions below are called with the part locked. Those that write unlock
// it meanwhile.

// again replaces a connection that its server closed behind a whole reply, as
// HTTP allows, after which so many places are free. Requests that were sent
// behind that reply are lost.
func (c *portableConn) again(places int, now int64) fate {
	s := c.part
	if n := int64(c.inflight.Load()); n > 0 {
		s.account(now)
		s.errors[ShortError] += n
		s.note(ShortError, errShort)
		s.inflight -= n
		places += int(n)
	}
	c.hangUp(connClosed)
	c.reissue = places
	c.become(connDialing)
	return fateAgain
}

// proceed decides what follows so many completed requests.
func (c *portableConn) proceed(places int, now int64) {
	switch c.part.mode {
	case Closed, Stream:
		if c.part.sending && now < c.part.endAt {
			c.begin(places, now, now)
		}
	case Open:
		c.e.free.push(c.index, places, now)
	}
	c.settled()
}

// settled tells run when nothing is outstanding, if that is what it waits for.
func (c *portableConn) settled() {
	if c.part.inflight == 0 && c.part.writing == 0 && (c.e.draining.Load() || c.e.quota.Load() == 0) {
		c.e.notify()
	}
}

// begin books k requests on an open connection, as far as the quota goes, and
// has them written.
func (c *portableConn) begin(k int, due, now int64) {
	if c.e.p.Mode != Connect {
		k = c.e.takeQuota(k)
	}
	if k == 0 {
		return
	}
	c.part.account(now)
	before := int(c.inflight.Load())
	for j := range k {
		c.slots[(c.head+before+j)%len(c.slots)] = slot{due, now}
	}
	c.inflight.Add(int32(k))
	c.part.inflight += int64(k)
	c.owed += int64(k) * int64(c.e.m.txUnit)
	if c.e.prompt {
		c.flush()
		return
	}
	select {
	case c.kick <- struct{}{}:
	default: // it is going to look anyway
	}
}

// flush writes what is owed, unless another goroutine is at it, which then writes
// that too.
func (c *portableConn) flush() {
	if c.writing {
		return
	}
	c.writing = true
	c.part.writing++
	for c.state == connOpen && c.owed > 0 {
		nc, b := c.conn, c.e.m.next(&c.flow, c.owed)
		c.part.mu.Unlock()
		n, err := nc.Write(b)
		c.part.mu.Lock()
		c.part.bytesOut += int64(n)
		if c.conn != nc {
			continue // closed meanwhile, or replaced
		}
		c.e.m.sent(&c.flow, n)
		c.owed -= int64(n)
		if err != nil {
			c.lose(ResetError, systemError(err))
		}
	}
	c.writing = false
	c.part.writing--
	c.settled()
}

// complete books the oldest request as answered.
func (c *portableConn) complete(now int64, bad bool) {
	s := c.part
	s.account(now)
	at := c.slots[c.head]
	c.head = (c.head + 1) % len(c.slots)
	c.inflight.Add(-1)
	s.inflight--
	if bad {
		s.errors[StatusError]++
		s.bad++
		s.note(StatusError, errStatus)
		switch {
		case s.mode == Open:
			s.residence += float64(now - at.due)
		case now <= s.endAt:
			s.lastDone = max(s.lastDone, now)
			s.residence += float64(now - at.sent)
		}
		return
	}
	if s.mode == Open {
		if now <= s.endAt {
			s.completed++
		} else {
			s.drained++
		}
		s.residence += float64(now - at.due)
		s.record(s.latency, now-at.due)
		s.record(s.service, now-at.sent)
		return
	}
	if now > s.endAt {
		s.drained++
		return
	}
	s.completed++
	s.lastDone = max(s.lastDone, now)
	s.residence += float64(now - at.sent)
	s.record(s.service, now-at.sent)
}

// lose gives a connection up, and books its requests as failed.
func (c *portableConn) lose(kind ErrorKind, err error) {
	s, n := c.part, int64(c.inflight.Load())
	s.account(nanos())
	s.errors[kind] += max(1, n)
	s.note(kind, err)
	s.inflight -= n
	s.lost++
	c.hangUp(connLost)
	if s.open == 0 {
		c.e.notify()
	}
	c.settled()
}

// hangUp closes a connection and forgets its requests.
func (c *portableConn) hangUp(state connState) {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
	if c.kick != nil {
		close(c.kick)
		c.kick = nil
	}
	c.become(state)
	c.head, c.owed = 0, 0
	c.inflight.Store(0)
}

// become changes the state.
func (c *portableConn) become(state connState) {
	for _, change := range [2]struct {
		state connState
		by    int64
	}{{c.state, -1}, {state, 1}} {
		switch change.state {
		case connOpen:
			c.part.open += change.by
		case connDialing:
			c.part.dialling += change.by
		}
	}
	c.state = state
}

// account integrates the number of requests in the system up to now.
func (s *portablePart) account(now int64) {
	if s.counting && now > s.accounted {
		s.inSystem += float64(s.inflight) * float64(now-s.accounted)
		s.accounted = now
	}
}

func (s *portablePart) note(kind ErrorKind, err error) {
	if s.first == "" {
		s.first = kind.String() + ": " + err.Error()
	}
}
