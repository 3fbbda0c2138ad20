//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"syscall"
	"time"

	"netbench/models"
	"netbench/models/internal/buffers"
)

// phase is where a connection is in its life.
type phase uint8

const (
	open      phase = iota
	working         // a worker has its session
	parting         // nothing is read any more; it ends when what is owed is written
	finishing       // the same, and then the peer is waited for
	lingering       // the stream is ended; what the peer still sends is discarded
	dead            // closed; the memory is reused when the batch is over
)

// conn is a connection. Only its loop uses it, but for the session, the input
// and the output of one that is working.
type conn struct {
	fd    int32
	place int32 // in the loop's table, by which the poller calls it; never changes
	phase phase

	more    bool // there may be input that no event will tell of
	ended   bool // the peer has ended its stream, or the connection has failed
	paused  bool // too much is owed to go on reading
	killed  bool // Close came while a worker had the session
	queued  bool // in the loop's list of those to be looked at again
	drained bool // Shutdown has set left
	urgent  bool // urgent data was sent: a read ends before its mark, whatever is behind

	mask interest // what the poller was told, where it is level-triggered
	slot int16    // list of the wheel that it is in; none if in none
	need int32    // bytes that the session asked for, at least 1
	off  int32    // of in.B that was consumed

	session models.Session
	in      *buffers.Buffer // input that was not consumed; nil if there is none
	out     *buffers.Buffer // output that the socket did not take; nil if there is none
	sent    int             // of out.B
	own     []byte          // a read buffer of its own, with Options.OwnBuffers

	left int64 // bytes still to be consumed in a drain

	// last is the time, by the loop's clock, of the last traffic, or when a
	// lingering connection is to be closed.
	last       time.Duration
	prev, next *conn // in a list of the wheel
}

// owed is how many bytes of output the socket has not taken.
func (c *conn) owed() int {
	if c.out == nil {
		return 0
	}
	return len(c.out.B) - c.sent
}

// held is how many bytes of input were read and not consumed.
func (c *conn) held() int {
	if c.in == nil {
		return 0
	}
	return len(c.in.B) - int(c.off)
}

// read reads what there is, up to the budget, answers it and writes the answers.
func (l *loop) read(c *conn) {
	for turn := 0; ; {
		if turn == l.budget {
			l.lookAgain(c)
			break
		}
		n, full, errno := l.receive(c)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			c.more = false
		case errno != 0:
			l.fail(c)
			return
		case n == 0:
			l.flush(c)
			l.peerEnded(c)
			return
		}
		if errno != 0 {
			break
		}
		turn++
		c.more = full || c.ended || c.urgent
		l.answer(c, l.received(c, n))
		if c.phase != open || c.paused {
			return // the rest is read when this one goes on
		}
		if !c.more || c.drained && c.left <= 0 {
			break
		}
	}
	l.flush(c)
	l.checkDrained(c)
}

// receive makes one read. Full tells that there may be more to read.
func (l *loop) receive(c *conn) (n int, full bool, errno syscall.Errno) {
	buf := l.rbuf
	switch {
	case c.in != nil:
		buf = l.room(c)
	case l.s.opts.OwnBuffers:
		if c.own == nil {
			c.own = make([]byte, l.s.cfg.ReadBuffer)
		}
		buf = c.own
	}
	if n, errno = l.sys.read(int(c.fd), buf); n > 0 && errno == 0 {
		l.counts.BytesIn += uint64(n)
		c.last = l.now
	}
	return n, n == len(buf), errno
}

// received is the input that the session has not consumed, with the n bytes of a
// read.
func (l *loop) received(c *conn, n int) []byte {
	switch {
	case c.in != nil:
		c.in.B = c.in.B[:len(c.in.B)+n]
		return c.in.B[c.off:]
	case c.own != nil:
		return c.own[:n]
	}
	return l.rbuf[:n]
}

// room makes place for input behind what is held, at least for what the session
// waits for, and returns it.
func (l *loop) room(c *conn) []byte {
	held := c.held()
	want := max(int(c.need), held+1)
	switch {
	case want > cap(c.in.B):
		// A session that does not know how long its message is asks for one byte
		// more each time, so the size doubles.
		larger := l.s.pool.Get(min(max(want, 2*cap(c.in.B)), max(want, l.s.inLimit)))
		larger.B = append(larger.B, c.in.B[c.off:]...)
		l.s.pool.Put(c.in)
		c.in, c.off = larger, 0
	case c.off > 0:
		copy(c.in.B, c.in.B[c.off:])
		c.in.B, c.off = c.in.B[:held], 0
	}
	return c.in.B[held:cap(c.in.B)]
}

// keep holds on to the input that was not consumed: in is what the session saw,
// n how much of it was consumed. A connection that ends needs none of it.
func (l *loop) keep(c *conn, in []byte, n int) {
	rest := in[n:]
	switch {
	case len(rest) == 0 || c.phase != open:
		l.dropInput(c)
	case c.in != nil:
		c.off += int32(n)
	default:
		c.in = l.s.pool.Get(max(int(c.need), len(rest)))
		c.in.B = append(c.in.B, rest...)
	}
}

func (l *loop) dropInput(c *conn) {
	if c.in != nil {
		l.s.pool.Put(c.in)
		c.in, c.off = nil, 0
	}
}

// answer steps through the input, of which nothing was consumed yet.
func (l *loop) answer(c *conn, in []byte) {
	at := 0
	for len(in) > at && len(in)-at >= int(c.need) && !(c.drained && c.left <= 0) {
		n, reply, next := c.session.Step(in[at:], l.out.B)
		l.out.B = reply
		if next.Op == models.Block {
			l.keep(c, in, at)
			l.handOver(c)
			return
		}
		at += n
		if !l.stepped(c, len(in)-at, n, next) {
			l.keep(c, in, at)
			return
		}
	}
	l.keep(c, in, at)
}

// stepped notes what a step has come to. rest is what is left of the input. It
// returns false if the connection cannot go on at once.
func (l *loop) stepped(c *conn, rest, n int, next models.Next) bool {
	if c.drained {
		c.left -= int64(n)
	}
	if next.Op == models.Close {
		c.phase = finishing
		l.flush(c)
		l.settle(c)
		return false
	}
	c.need = int32(max(1, next.Need))
	if n == 0 && int(c.need) <= rest {
		c.need = int32(rest) + 1
	}
	if int(c.need) > l.s.inLimit {
		l.fail(c) // the session asks for more than its Limits say
		return false
	}
	if len(l.out.B)+c.owed() >= l.s.cfg.MaxPending {
		l.flush(c)
		l.publish() // this connection may keep the loop for a while
		if c.phase == open && c.owed() >= l.s.cfg.MaxPending {
			c.paused = true
			l.counts.Paused++
			l.tell(c)
			return false
		}
	}
	return c.phase == open
}

// proceed goes on with a connection that was paused or working: with what it
// holds, then with what has come meanwhile.
func (l *loop) proceed(c *conn) {
	if c.in != nil && c.held() >= int(c.need) {
		l.answer(c, c.in.B[c.off:])
		if c.phase != open || c.paused {
			return
		}
	}
	l.flush(c)
	if c.phase != open {
		return
	}
	l.tell(c)
	if c.more {
		l.read(c)
		return
	}
	l.checkDrained(c)
}

// peerEnded deals with the end of the peer's stream. What is owed is still
// written; a request that is not whole is not answered.
func (l *loop) peerEnded(c *conn) {
	if c.phase == open {
		c.phase = parting
		l.settle(c)
	}
}

// settle ends a connection that reads no more, when all that is owed is written.
func (l *loop) settle(c *conn) {
	switch {
	case c.owed() > 0:
		l.tell(c)
	case c.phase == parting:
		l.close(c)
	case c.phase == finishing:
		l.linger(c)
	}
}

// fail ends a connection by an error.
func (l *loop) fail(c *conn) {
	if c.phase != lingering && c.phase != dead && !c.killed {
		l.counts.ConnErrors++
	}
	l.close(c)
}

// close closes a connection. Its descriptor is closed and its memory reused when
// the batch is over: until then, events of this batch may be about it, and none
// may be about another connection with the same descriptor. One whose session a
// worker has is cut off, and closed when that is over.
func (l *loop) close(c *conn) {
	switch c.phase {
	case dead:
		return
	case working:
		if !c.killed {
			c.killed = true
			shutdownBoth(int(c.fd))
		}
		return
	}
	c.phase = dead
	l.wheel.remove(c)
	l.dropInput(c)
	if c.out != nil {
		l.s.pool.Put(c.out)
		c.out = nil
	}
	l.out.B = l.out.B[:0] // it was this one's
	l.dying = append(l.dying, c)
}
