package httppool

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
)

// tracked is what is known of a connection. counts.mu guards what changes.
type tracked struct {
	net.Conn // to close it

	host  *host
	used  bool // a request was given it
	h2    bool
	users int // requests that have it now: one at most, but for HTTP/2 and in passing

	once   sync.Once
	counts *counts
}

// end notes that the connection is no more.
func (t *tracked) end() {
	t.once.Do(func() {
		t.counts.mu.Lock()
		defer t.counts.mu.Unlock()
		t.host.open--
		if !t.used {
			t.counts.sum.Unused++
		}
		delete(t.counts.conns, t)
	})
}

// tcpConn is a TCP connection that is counted. It embeds the type and not the
// interface, to keep ReadFrom, by which files are sent without copying them.
type tcpConn struct {
	*net.TCPConn
	t *tracked
}

func (c *tcpConn) Close() error {
	c.t.end()
	return c.TCPConn.Close()
}

// otherConn is a connection of any other type that is counted.
type otherConn struct {
	net.Conn
	t *tracked
}

func (c *otherConn) Close() error {
	c.t.end()
	return c.Conn.Close()
}

// trackedOf finds the connection below TLS; nil if it is none of ours.
func trackedOf(c net.Conn) *tracked {
	for {
		switch inner := c.(type) {
		case *tcpConn:
			return inner.t
		case *otherConn:
			return inner.t
		case *tls.Conn:
			c = inner.NetConn()
		default:
			return nil
		}
	}
}

// isHTTP2 tells whether the two ends agreed on HTTP/2.
func isHTTP2(c net.Conn) bool {
	t, ok := c.(*tls.Conn)
	return ok && t.ConnectionState().NegotiatedProtocol == "h2"
}

// errClosed is what comes of a request after Close.
var errClosed = errors.New("the client was closed")

// counting dials by dial, and counts.
func (c *Client) counting(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		// The transport dials on when the request has gone that wanted the
		// connection, so Close has to end it.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(c.life, cancel)()
		raw, err := dial(ctx, network, addr)

		n := &c.counts
		n.mu.Lock()
		defer n.mu.Unlock()
		switch {
		case err != nil:
			n.sum.DialsFailed++
			return nil, err
		case n.closed:
			return nil, errors.Join(errClosed, raw.Close())
		}
		n.sum.Dials++
		t := &tracked{Conn: raw, host: n.host(addr), counts: n}
		t.host.open++
		n.conns[t] = struct{}{}
		if tcp, ok := raw.(*net.TCPConn); ok {
			return &tcpConn{tcp, t}, nil
		}
		return &otherConn{raw, t}, nil
	}
}
