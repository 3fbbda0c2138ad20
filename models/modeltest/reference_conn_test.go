package modeltest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"netbench/models"
)

// connection is one connection of a reference server.
type connection struct {
	net.Conn
	r    *reference
	in   []byte
	out  []byte
	need int
	last time.Time // of the last byte in or out

	working atomic.Bool

	mu        sync.Mutex // of the read deadline
	lingering bool
	armed     bool

	unbounded *unboundedQueue // for flawUnbounded
	late      []byte          // for flawOvertakes
}

// converse returns nil where the connection ended properly.
func (c *connection) converse() error {
	r := c.r
	session := r.config.Service.Open()
	scratch := make([]byte, r.config.ReadBuffer)
	if r.flaw == flawUnbounded {
		c.unbounded = newUnboundedQueue(c)
		defer c.unbounded.end()
	}
	if r.flaw == flawStepsEmpty {
		_, c.out, _ = session.Step(nil, c.out)
	}
	for {
		done, err := c.steps(session, scratch)
		if err == nil {
			err = c.flush()
		}
		if err != nil {
			return err
		}
		if done {
			if c.unbounded != nil {
				c.unbounded.end()
			}
			return c.linger()
		}
		n, err := c.read(scratch)
		switch {
		case errors.Is(err, errDrained):
			return c.linger()
		case err == io.EOF:
			return c.atEOF(session)
		case err != nil:
			return err
		}
		c.in = append(c.in, scratch[:n]...)
	}
}

func (c *connection) atEOF(session models.Session) error {
	switch c.r.flaw {
	case flawKeepsHalfClosed:
		<-c.r.closing
	case flawHalfCloseResets:
		if t, ok := c.Conn.(*net.TCPConn); ok {
			return t.SetLinger(0)
		}
	case flawStepsAtEOF:
		if len(c.in) > 0 {
			_, c.out, _ = session.Step(c.in, c.out)
		}
	}
	return nil
}

// steps calls the session as long as it gets on. It returns true when the
// connection has to be closed.
func (c *connection) steps(session models.Session, scratch []byte) (done bool, err error) {
	r := c.r
	for len(c.in) > 0 && len(c.in) >= c.need {
		consumed, reply, next := session.Step(c.in, c.out)
		if r.flaw == flawStepsTwice {
			session.Step(c.in, c.out)
		}
		if next.Op == models.Block {
			consumed, reply, next = c.work(session.(models.Blocker), reply)
		}
		c.take(reply)
		c.in = c.in[consumed:]
		c.need = max(next.Need, 1)
		switch {
		case r.flaw == flawIgnoresNeed:
			c.need = 1
		case r.flaw == flawRoundsNeed && c.need > len(scratch):
			c.need = (c.need/len(scratch) + 1) * len(scratch)
		case r.flaw == flawCapsNeed && c.need > len(scratch):
			return true, nil
		}
		if next.Op == models.Close && (r.flaw != flawAnswersAfterClose || len(c.in) == 0) {
			return true, nil
		}
		if len(c.out) >= r.config.MaxPending && r.flaw != flawFlushesPerRead {
			if err := c.flush(); err != nil {
				return false, err
			}
		}
		if consumed == 0 || r.flaw == flawStepsOnce {
			break
		}
		if r.flaw == flawReadsAhead && len(c.in) > 0 {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if n, err := c.Read(scratch); err == nil {
				r.stats.bytesIn.Add(uint64(n))
				c.in = append(c.in, scratch[:n]...)
			}
		}
	}
	if r.flaw == flawDropsParts && len(c.in) < c.need {
		c.in, c.need = c.in[:0], 1
	}
	c.out, c.late = append(c.out, c.late...), nil
	return false, nil
}

// take accepts what a step made of the output.
func (c *connection) take(reply []byte) {
	if n := len(reply); c.r.flaw == flawKeepsOwnOutput && n <= cap(c.out) {
		c.out = c.out[:n]
		return
	}
	c.out = reply
}

func (c *connection) work(b models.Blocker, out []byte) (int, []byte, models.Next) {
	c.working.Store(true)
	defer c.working.Store(false)
	switch c.r.flaw {
	case flawWorkBlocksAll:
		c.r.oneWork.Lock()
		defer c.r.oneWork.Unlock()
	case flawWorkSeesOther:
		c.in[len(c.in)-1] ^= 1
	case flawOvertakes:
		consumed, late, next := b.Work(c.in, nil)
		c.late = append(c.late, late...)
		return consumed, out, next
	}
	return b.Work(c.in, out)
}

var errDrained = errors.New("drained")

// read reads once. It gives up when the connection is idle for too long, or
// when the server drains and there is no part of a request.
func (c *connection) read(buf []byte) (int, error) {
	if c.r.flaw == flawWorkBlocksAll { // a loop that is stuck reads nothing
		c.r.oneWork.Lock()
		defer c.r.oneWork.Unlock()
		if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			return 0, err
		}
		n, err := c.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
		return n, err
	}
	for found := drainTries; ; {
		if err := c.arm(); err != nil {
			return 0, err
		}
		n, err := c.Read(buf)
		if n > 0 {
			c.r.stats.bytesIn.Add(uint64(n))
			if c.r.flaw == flawCrossTalk {
				c.crossTalk(buf[:n])
			}
			if c.r.flaw != flawRenewsPerRequest || len(c.in) == 0 {
				c.last = time.Now()
			}
			return n, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		idle := c.r.config.IdleTimeout
		if c.drains() {
			if found--; found < 0 {
				return 0, errDrained
			}
			continue
		}
		if c.r.flaw == flawDeadlineOnce || idle != models.NoLimit && time.Since(c.last) >= idle {
			return 0, errIdle
		}
	}
}

// drains reports whether the next read is the last.
func (c *connection) drains() bool {
	return isClosed(c.r.draining) && (len(c.in) == 0 || c.r.flaw == flawCutsPartial) && c.r.flaw != flawKeepsIdle
}

// arm sets the deadline of the next read.
func (c *connection) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch idle := c.r.config.IdleTimeout; {
	case c.drains():
		return c.SetReadDeadline(time.Now().Add(drainGrace))
	case idle == models.NoLimit || c.r.flaw == flawNeverIdle:
		return c.SetReadDeadline(time.Time{})
	case c.r.flaw == flawDeadlineOnce && c.armed:
		return nil
	default:
		c.armed = true
		return c.SetReadDeadline(c.last.Add(idle))
	}
}

// interrupt ends a read that waits, so that it takes notice of the drain.
func (c *connection) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lingering {
		_ = c.SetReadDeadline(time.Now().Add(drainGrace))
	}
}

// flush writes what is pending. While it waits nothing is read, which bounds
// the output.
func (c *connection) flush() error {
	pending := c.out
	c.out = c.out[:0]
	switch c.r.flaw {
	case flawTruncates:
		pending = pending[:min(len(pending), c.r.config.MaxPending)]
	case flawUnbounded:
		c.unbounded.put(pending)
		return nil
	case flawHeadOfLine:
		c.r.onePending.Lock()
		defer c.r.onePending.Unlock()
	case flawGrows:
		if len(pending) > 0 {
			stop := c.grow()
			defer stop()
		}
	}
	return c.write(pending)
}

func (c *connection) write(pending []byte) error {
	idle := c.r.config.IdleTimeout
	if idle == models.NoLimit || c.r.flaw == flawWaitsForWriter || c.r.flaw == flawNeverIdle {
		idle = 24 * time.Hour
	}
	for len(pending) > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(idle)); err != nil {
			return err
		}
		n, err := c.Write(pending)
		pending = pending[n:]
		c.r.stats.bytesOut.Add(uint64(n))
		if c.r.flaw == flawCountsTwice {
			c.r.stats.bytesOut.Add(uint64(n))
		}
		if n > 0 && c.r.flaw != flawDeadlineOnce {
			c.last = time.Now()
		}
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n == 0 || c.r.flaw == flawDeadlinePerWrite:
			return errIdle
		default:
			c.r.stats.paused.Add(1)
		}
	}
	return nil
}

var errIdle = errors.New("idle for too long")

// linger ends a stream so that the peer can read all of it: a socket that is
// closed with unread input makes its kernel send a reset.
func (c *connection) linger() error {
	if c.r.flaw == flawClosesAbruptly {
		return nil
	}
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	limit := time.Second
	if idle := c.r.config.IdleTimeout; idle != models.NoLimit {
		limit = min(limit, idle)
	}
	c.mu.Lock()
	c.lingering = true
	deadline := time.Now().Add(limit)
	if c.r.flaw == flawLingersForever {
		deadline = time.Time{}
	}
	err := c.SetReadDeadline(deadline)
	c.mu.Unlock()
	if err == nil {
		_, err = io.Copy(io.Discard, c.Conn)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}
