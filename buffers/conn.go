package buffers

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

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

// ending is how a connection ends.
type ending uint8

const (
	finished ending = iota // the peer ended its stream, or the server did
	idled                  // for want of traffic
	failed                 // by an error
)

// conn is a connection as the goroutine that serves it sees it.
type conn struct {
	s   *server
	tcp *net.TCPConn
	raw syscall.RawConn // the same, for options

	renewed time.Time // when the deadline was last moved
	last    bool      // the server drains: what has arrived is read, and no more

	in, out atomic.Uint64 // bytes
}

// Read reads once. When the server drains, it reads what has arrived, and then its
// error wraps [os.ErrDeadlineExceeded].
func (c *conn) Read(p []byte) (int, error) {
	c.renew()
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

// renew moves the deadline of reading and writing, if it is not new.
func (c *conn) renew() {
	if c.s.renewEvery == 0 || c.last {
		return
	}
	now := time.Now()
	if now.Sub(c.renewed) < c.s.renewEvery {
		return
	}
	c.renewed = now
	_ = c.tcp.SetDeadline(now.Add(c.s.cfg.IdleTimeout + c.s.renewEvery))
	if c.s.draining.Load() { // whose deadline may be the one that was moved
		_ = c.tcp.SetReadDeadline(past)
	}
}

// drains tells, of a read that failed, whether it did because the server drains; it
// is to be tried once more then, for what has arrived.
func (c *conn) drains(err error) bool {
	if c.last || !errors.Is(err, os.ErrDeadlineExceeded) || !c.s.draining.Load() {
		return false
	}
	c.last = true
	_ = c.tcp.SetDeadline(time.Now().Add(drainTime))
	return true
}

// close ends a connection in such a way that its peer reads all that was written,
// and tells how it ended: by an error of serving it, or nil.
func (c *conn) close(err error) ending {
	how := failed
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, errParting), errors.Is(err, net.ErrClosed):
		how = finished
	case errors.Is(err, os.ErrDeadlineExceeded):
		how = idled
		if c.last {
			how = finished
		}
	}
	switch {
	case c.last:
		c.linger(drainTime)
	case errors.Is(err, errParting):
		c.linger(partTime)
	}
	_ = c.tcp.Close()
	return how
}

// linger ends the stream to the peer and discards what still comes, until that ends
// too: closing a socket that has unread input would reset the connection, and the
// peer might lose what it has not read.
func (c *conn) linger(limit time.Duration) {
	_ = c.tcp.CloseWrite()
	_ = c.tcp.SetReadDeadline(time.Now().Add(limit))
	var discard [512]byte
	for {
		if _, err := c.tcp.Read(discard[:]); err != nil {
			return
		}
	}
}

// Models returns the servers of this package by name, those that this platform has.
func Models() map[string]models.Factory {
	all := map[string]models.Factory{}
	for _, designs := range [][]design{readers(), liners(), smalls()} {
		for _, d := range designs {
			all[d.name] = d.factory
		}
	}
	return all
}
