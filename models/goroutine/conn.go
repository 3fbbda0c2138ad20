package goroutine

import (
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync/atomic"
	"time"

	"netbench/models"
	"netbench/models/internal/buffers"
)

// ending is how a connection ends, or that it does not yet.
type ending uint8

const (
	ongoing  ending = iota
	timedOut        // a deadline has passed: it was idle, or Shutdown woke it
	idled           // closed for want of traffic
	stuck           // the same, with replies that the peer does not take
	finished        // the peer ended its stream, and everything is answered
	parting         // the session closes the connection
	drained         // everything is answered that Shutdown waits for
	killed          // by Close
	failed          // by an error
)

// conn is a connection and the state of its goroutine, which alone uses what is
// not atomic.
type conn struct {
	s       *server
	nc      net.Conn
	session models.Session

	lean *lean // reads, in the lean variant; nil in the others

	// What was read and not consumed is buf[start:end]. Buf is the connection's
	// own buffer, base, or, while a message does not fit there, large. In the
	// lean variant there is neither while nothing is held.
	base, large *buffers.Buffer
	buf         []byte
	start, end  int
	need        int // bytes that the session asked for, at least 1

	out      *buffers.Buffer // replies to be written; nil while there are none
	outGuess int             // how large out had to be lately

	consumed int64 // bytes of the stream that were consumed
	mark     int64 // no request that begins here or later is answered

	renewed time.Duration // when the deadlines were last moved, in time of s.now

	// Written by the goroutine, read by Stats.
	bytesIn, bytesOut, paused atomic.Uint64
}

// addTo adds what was counted to a total.
func (c *conn) addTo(total *models.Stats) {
	total.BytesIn += c.bytesIn.Load()
	total.BytesOut += c.bytesOut.Load()
	total.Paused += c.paused.Load()
}

func newConn(s *server, nc net.Conn) *conn {
	return &conn{s: s, nc: nc, need: 1, mark: math.MaxInt64}
}

// begin gets what the connection needs to be served.
func (c *conn) begin() {
	c.session = c.s.service.Open()
	switch {
	case c.s.opts.Lean:
		c.makeLean()
	case !c.s.opts.NaiveBuffers:
		c.borrow()
	}
	c.setDeadlines()
}

// serve is the life of a connection.
func (c *conn) serve() {
	c.begin()
	how := c.run()
	switch how {
	case parting:
		c.linger(lingerTime)
	case drained:
		c.linger(drainLinger)
	case stuck:
		c.abandon()
	}
	_ = c.nc.Close()
	c.giveBack()
	c.s.forget(c, how)
}

// run reads and answers until the connection ends.
func (c *conn) run() ending {
	for !c.s.draining.Load() {
		switch how := c.turn(); how {
		case ongoing:
		case timedOut:
			if !c.s.draining.Load() {
				return idled
			}
		default:
			return how
		}
	}
	return c.drain()
}

// turn makes one read and answers what can be answered then.
func (c *conn) turn() ending {
	n, err := c.read()
	if n > 0 {
		c.bytesIn.Add(uint64(n))
		c.end += n
		if c.end-c.start < c.need {
			c.renew()
		} else if how := c.answer(); how != ongoing {
			return how
		}
	}
	if err != nil {
		return endedBy(err)
	}
	return ongoing
}

// endedBy tells what an error of a read or a write means.
func endedBy(err error) ending {
	switch {
	case err == io.EOF:
		return finished
	case errors.Is(err, os.ErrDeadlineExceeded):
		return timedOut
	case errors.Is(err, net.ErrClosed):
		return killed
	}
	return failed
}

// answer steps through what is buffered and writes the replies.
func (c *conn) answer() ending {
	for in := c.buf[c.start:c.end]; len(in) > 0 && len(in) >= c.need && c.consumed < c.mark; {
		if c.out == nil {
			c.out = c.s.memory.Get(c.outGuess)
		}
		n, reply, next := c.session.Step(in, c.out.B)
		if next.Op == models.Block {
			// What came before must not wait for work that may take long.
			if len(c.out.B) > 0 {
				if how := c.flush(); how != ongoing {
					return how
				}
				c.out = c.s.memory.Get(c.outGuess)
			}
			n, reply, next = c.session.(models.Blocker).Work(in, c.out.B)
		}
		c.out.B = reply
		c.start += n
		c.consumed += int64(n)
		in = in[n:]
		if next.Op == models.Close {
			if how := c.flush(); how != ongoing {
				return how
			}
			return parting
		}
		c.need = max(1, next.Need)
		if n == 0 && c.need <= len(in) {
			c.need = len(in) + 1
		}
		if c.need > c.s.limit {
			return failed // the session asks for more than its Limits say
		}
		if len(reply) >= c.s.cfg.MaxPending {
			if how := c.flush(); how != ongoing {
				return how
			}
		}
	}
	return c.flush()
}

// flush writes the replies, all of them, and renews the idle deadline.
func (c *conn) flush() ending {
	began := c.renew()
	if c.out == nil {
		return ongoing
	}
	how := ongoing
	if len(c.out.B) > 0 {
		n, err := c.nc.Write(c.out.B)
		c.bytesOut.Add(uint64(n))
		if err != nil {
			how = c.persist(c.out.B[n:], n, err, began)
		}
	}
	// A large reply is likely to be followed by another. What is not needed
	// any more is forgotten bit by bit.
	if n := len(c.out.B); n > c.outGuess {
		c.outGuess = n
	} else {
		c.outGuess -= (c.outGuess - n) / 16
	}
	c.s.memory.Put(c.out)
	c.out = nil
	return how
}

// persist goes on with a write that was stuck until its deadline, which is short,
// as long as it makes progress now and then.
func (c *conn) persist(rest []byte, n int, err error, progress time.Duration) ending {
	if endedBy(err) == timedOut {
		c.paused.Add(1)
	}
	for err != nil {
		if how := endedBy(err); how != timedOut {
			return how
		}
		now := c.s.now()
		if n > 0 {
			progress = now
		} else if c.s.cfg.IdleTimeout != models.NoLimit && now-progress >= c.s.cfg.IdleTimeout {
			return stuck
		}
		_ = c.nc.SetWriteDeadline(time.Now().Add(2 * c.s.renewEvery))
		n, err = c.nc.Write(rest)
		c.bytesOut.Add(uint64(n))
		rest = rest[n:]
	}
	c.setDeadlines()
	return ongoing
}

// renew moves the deadlines if they were moved long enough ago. It returns the
// time.
func (c *conn) renew() time.Duration {
	now := c.s.now()
	if now-c.renewed >= c.s.renewEvery {
		c.setDeadlines()
	}
	return now
}

// setDeadlines moves the deadlines. A read may last for the idle time-out from
// now and from any traffic until they are moved again. A write gets a short
// time, after which persist decides. Errors are those of a closed connection,
// which the next read finds.
func (c *conn) setDeadlines() {
	c.renewed = c.s.now()
	now := time.Now()
	if c.s.cfg.IdleTimeout != models.NoLimit {
		_ = c.nc.SetReadDeadline(now.Add(c.s.cfg.IdleTimeout + c.s.renewEvery))
	}
	_ = c.nc.SetWriteDeadline(now.Add(2 * c.s.renewEvery))
}
