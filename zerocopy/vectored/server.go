package vectored

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"netbench/internal/tcpserver"
	"netbench/models"
)

const (
	// restTime is how long a shutdown answers requests that have been sent already.
	restTime = 100 * time.Millisecond

	// lingerTime is how long what a client still sends is discarded when its
	// connection ends: closing with unread bytes would reset it, and a reset destroys
	// what the client has not read yet.
	lingerTime = 250 * time.Millisecond
)

// past is a deadline that wakes whoever is blocked.
var past = time.Unix(1, 0)

// New makes a server, which listens when New returns. It is a [models.Server] whose
// Config.Service has to be set as for any, but is not looked at, and whose
// Config.ReadBuffer does not matter, as requests are short. Paused is not counted;
// connections in the backlog are reset by Shutdown.
func New(cfg models.Config, o Options) (models.Server, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	content() // not in the first reply
	s, err := tcpserver.New(cfg, models.Stats{Model: "vectored", Variant: o.variant()}, func(c *net.TCPConn) tcpserver.Session {
		return &conn{opts: o, nc: c}
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// conn is a connection. It is a [tcpserver.Session].
type conn struct {
	opts Options
	nc   *net.TCPConn

	in    []byte // of the size of the longest head
	held  int    // bytes of it
	reply reply
	out   sender

	received, sent atomic.Uint64
	draining       atomic.Bool
	closing        sync.Once
}

// errLast ends a connection in order.
var errLast = errors.New("vectored: the last reply was sent")

// Serve answers requests until the client ends its stream or is refused.
func (c *conn) Serve() error {
	defer c.Cut()
	c.in = make([]byte, maxHead)
	c.out = sender{way: c.opts.Way, to: c.nc}
	if c.opts.Cork {
		var err error
		if c.out.cork, err = newCork(c.nc); err != nil {
			return err
		}
	}
	rest := false
	for {
		n, err := c.nc.Read(c.in[c.held:])
		c.received.Add(uint64(n))
		c.held += n
		if failed := c.answer(); failed == errLast {
			c.linger()
			return nil
		} else if failed != nil {
			return failed
		}
		switch {
		case err == nil:
		case err == io.EOF:
			return nil
		case !c.draining.Load() || !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case !rest: // woken by Drain
			rest = true
			_ = c.nc.SetReadDeadline(time.Now().Add(restTime))
		default:
			c.linger()
			return nil
		}
	}
}

// answer replies to all requests that are whole.
func (c *conn) answer() error {
	from := 0
	defer func() { c.held = copy(c.in, c.in[from:c.held]) }()
	for from < c.held {
		r, n, err := parse(c.in[from:c.held])
		if err == errPartial {
			return nil
		}
		if err != nil {
			return c.refuse(err)
		}
		from += n
		c.reply.fill(r)
		sent, err := c.out.send(c.reply.parts)
		c.sent.Add(uint64(sent))
		if err != nil {
			return err
		}
		if r.last {
			return errLast
		}
	}
	return nil
}

// refuse replies to a request that is not understood, after which nothing can be.
func (c *conn) refuse(err error) error {
	var r refusal
	if !errors.As(err, &r) {
		return err
	}
	text := r.Error() + "\n"
	n, err := fmt.Fprintf(c.nc, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
		r.status, http.StatusText(r.status), len(text), text)
	c.sent.Add(uint64(n))
	if err != nil {
		return err
	}
	return errLast
}

// linger ends the stream and discards what still comes, until the client ends its
// stream too or the time is up.
func (c *conn) linger() {
	_ = c.nc.CloseWrite()
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	for {
		if _, err := c.nc.Read(c.in); err != nil {
			return
		}
	}
}

// Drain wakes the connection if it waits for a request.
func (c *conn) Drain() {
	c.draining.Store(true)
	_ = c.nc.SetReadDeadline(past)
}

// Cut closes the connection.
func (c *conn) Cut() { c.closing.Do(func() { _ = c.nc.Close() }) }

// Progress counts bytes both ways, on Linux also within a long reply; elsewhere a reply
// that takes longer than the idle time-out is cut.
func (c *conn) Progress() uint64 {
	return c.received.Load() + c.sent.Load() + tcpserver.Transferred(c.nc)
}

// AddTo adds what has been received and sent.
func (c *conn) AddTo(s *models.Stats) {
	s.BytesIn += c.received.Load()
	s.BytesOut += c.sent.Load()
}
