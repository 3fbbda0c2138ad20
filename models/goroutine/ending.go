package goroutine

import (
	"net"
	"time"

	"netbench/internal/listen"
	"netbench/models"
)

const (
	// lingerTime bounds how long a connection that the session closes is kept
	// for its peer to read the last reply. Closing a socket that has unread
	// input, or gets some, resets the connection, and on many systems a reset
	// destroys what the peer has not read yet.
	lingerTime = 2 * time.Second

	// drainLinger is the same in a shutdown, which should not take long.
	drainLinger = 250 * time.Millisecond
)

// drain answers what had arrived when the shutdown was noticed, waits for the
// rest of a request that had arrived in part, and leaves it at that.
func (c *conn) drain() ending {
	<-c.s.swept // from here on nobody else sets the read deadline
	if unread, known := listen.Unread(c.nc); known {
		c.mark = c.received() + int64(unread)
	} else {
		_ = c.nc.SetReadDeadline(time.Now().Add(shortWait))
		if how := c.turn(); how != ongoing && how != timedOut {
			return how
		}
		c.mark = c.received()
	}
	for c.consumed < c.mark {
		// The deadline may be the one that woke this connection.
		if c.s.cfg.IdleTimeout == models.NoLimit {
			_ = c.nc.SetReadDeadline(time.Time{})
		}
		c.setDeadlines()
		switch how := c.turn(); how {
		case ongoing:
		case timedOut:
			return idled
		default:
			return how
		}
	}
	return drained
}

// received is how many bytes of the stream were read.
func (c *conn) received() int64 { return c.consumed + int64(c.end-c.start) }

// linger ends the stream to the peer and discards what still comes from it,
// until it ends too or the time is up. A shutdown makes the time shorter.
func (c *conn) linger(limit time.Duration) {
	closeWrite(c.nc)
	end := time.Now().Add(limit)
	_ = c.nc.SetReadDeadline(end)
	hurried := false
	c.start, c.end, c.need = 0, 0, 1
	discard := c.room()
	for {
		if c.s.draining.Load() && !hurried {
			<-c.s.swept
			hurried = true
			if soon := time.Now().Add(drainLinger); soon.Before(end) {
				end = soon
			}
			_ = c.nc.SetReadDeadline(end)
		}
		_, err := c.nc.Read(discard)
		if err != nil && (hurried || endedBy(err) != timedOut || !c.s.draining.Load()) {
			return
		}
	}
}

// closeWrite ends the stream to the peer. Where that fails, there is no peer.
func closeWrite(nc net.Conn) {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// abandon sees to it that closing a connection on which a write is stuck frees
// what the kernel has not sent, instead of leaving it to go on trying.
func (c *conn) abandon() {
	if tcp, ok := c.nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}
