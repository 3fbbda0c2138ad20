//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import "syscall"

// scratch is the capacity that the loop's own output buffer is kept at. One that
// a large reply has made larger goes back to the pool.
const scratch = 64 << 10

// flush sends the output of the steps that were made for c, behind what is owed
// already. What the socket does not take is owed.
func (l *loop) flush(c *conn) {
	if len(l.out.B) == 0 {
		return
	}
	if c.phase == dead {
		l.out.B = l.out.B[:0]
		return
	}
	if c.out != nil {
		l.owe(c)
		return
	}
	n, ok := l.write(c, l.out.B)
	switch {
	case !ok:
		l.out.B = l.out.B[:0]
		l.fail(c)
	case n < len(l.out.B):
		c.out, c.sent = l.out, n
		l.out = l.s.pool.Get(l.s.cfg.ReadBuffer)
		l.tell(c)
	case cap(l.out.B) > scratch:
		l.s.pool.Put(l.out)
		l.out = l.s.pool.Get(l.s.cfg.ReadBuffer)
	default:
		l.out.B = l.out.B[:0]
	}
}

// owe adds the output to what c owes already.
func (l *loop) owe(c *conn) {
	if c.sent > 0 && cap(c.out.B)-len(c.out.B) < len(l.out.B) {
		n := copy(c.out.B, c.out.B[c.sent:])
		c.out.B, c.sent = c.out.B[:n], 0
	}
	if need := len(c.out.B) + len(l.out.B); need > cap(c.out.B) {
		larger := l.s.pool.Get(need)
		larger.B = append(larger.B, c.out.B...)
		l.s.pool.Put(c.out)
		c.out = larger
	}
	c.out.B = append(c.out.B, l.out.B...)
	l.out.B = l.out.B[:0]
}

// write writes until everything is written or the socket takes no more. ok is
// false if the connection has failed.
func (l *loop) write(c *conn, b []byte) (n int, ok bool) {
	for n < len(b) {
		m, errno := l.sys.write(int(c.fd), b[n:])
		switch errno {
		case 0:
			n += m
			l.counts.BytesOut += uint64(m)
			c.last = l.now
		case syscall.EINTR:
		case syscall.EAGAIN:
			return n, true
		default:
			return n, false
		}
	}
	return n, true
}

// writable writes what is owed, and goes on with a connection that waited for
// that.
func (l *loop) writable(c *conn) {
	n, ok := l.write(c, c.out.B[c.sent:])
	if !ok {
		l.fail(c)
		return
	}
	if c.sent += n; c.sent == len(c.out.B) {
		l.s.pool.Put(c.out)
		c.out, c.sent = nil, 0
	}
	switch {
	case c.phase == parting, c.phase == finishing:
		l.settle(c)
	case c.phase != open:
		l.tell(c)
	case c.paused && c.owed() < l.s.cfg.MaxPending:
		c.paused = false
		l.proceed(c)
	default:
		l.tell(c)
		l.checkDrained(c)
	}
}
