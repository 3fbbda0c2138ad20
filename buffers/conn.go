package buffers

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"netbench/internal/tcpserver"
	"netbench/models"
)

// drainTime is what a connection has to answer what had arrived when its server
// was shut down, and its peer to read it and to end the stream.
const drainTime = 100 * time.Millisecond

// partTime is how long a connection that the server ends is kept for its peer to read the
// last reply and to end the stream.
const partTime = 2 * time.Second

// past is a deadline that wakes whoever is blocked.
var past = time.Unix(1, 0)

// errParting ends a connection whose peer has been told that it is over.
var errParting = errors.New("the server closes the connection")

// conn is a connection as the goroutine that serves it sees it. It is a
// [tcpserver.Session]. Between its ends nothing is done for a read or a write but to
// count bytes, so that what designs are compared by is theirs.
type conn struct {
	tcp   *net.TCPConn
	serve func(*conn) error
	raw   syscall.RawConn // of tcp, for options

	draining atomic.Bool
	last     bool // it drains: what has arrived is read, and no more

	in, out atomic.Uint64 // bytes
}

// Serve serves the connection until its end.
func (c *conn) Serve() (err error) {
	defer c.Cut()
	if c.raw, err = c.tcp.SyscallConn(); err != nil {
		return err
	}
	err = c.serve(c)
	switch {
	case c.last:
		c.linger(drainTime)
	case errors.Is(err, errParting):
		c.linger(partTime)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, errParting) || c.last && errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// Drain wakes the connection if it waits for input.
func (c *conn) Drain() {
	c.draining.Store(true)
	_ = c.tcp.SetReadDeadline(past)
}

// Cut closes the connection.
func (c *conn) Cut() { _ = c.tcp.Close() }

// Progress counts bytes both ways, on Linux also within a long write; elsewhere a
// reply that takes longer than the idle time-out is cut.
func (c *conn) Progress() uint64 {
	return c.in.Load() + c.out.Load() + tcpserver.Transferred(c.tcp)
}

// AddTo adds what has been read and written.
func (c *conn) AddTo(s *models.Stats) {
	s.BytesIn += c.in.Load()
	s.BytesOut += c.out.Load()
}

// Read reads once. When the server drains, it reads what has arrived, and then its
// error wraps [os.ErrDeadlineExceeded].
func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.tcp.Read(p)
		c.in.Add(uint64(n))
		if n > 0 || !c.drains(err) {
			return n, err
		}
	}
}

// Write writes all of p.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.tcp.Write(p)
	c.out.Add(uint64(n))
	return n, err
}

// drains tells, of a read that failed, whether it did because the server drains; it
// is to be tried once more then, for what has arrived.
func (c *conn) drains(err error) bool {
	if c.last || !errors.Is(err, os.ErrDeadlineExceeded) || !c.draining.Load() {
		return false
	}
	c.last = true
	_ = c.tcp.SetDeadline(time.Now().Add(drainTime))
	return true
}

// linger ends the stream to the peer and discards what still comes, until that ends
// too: closing a socket that has unread input would reset the connection, and the
// peer might lose what it has not read.
func (c *conn) linger(limit time.Duration) {
	_ = c.tcp.CloseWrite()
	_ = c.tcp.SetReadDeadline(time.Now().Add(limit))
	if c.draining.Load() { // whose deadline may be the one that was replaced
		_ = c.tcp.SetReadDeadline(time.Now().Add(min(limit, drainTime)))
	}
	var discard [512]byte
	for {
		if _, err := c.tcp.Read(discard[:]); err != nil && !c.drains(err) {
			return
		}
	}
}
