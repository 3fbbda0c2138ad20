package httppool

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

const (
	// DrainLimit is how many bytes are read from a body that is closed before its
	// end, to keep its connection. It is what servers of net/http read of a request.
	DrainLimit = 256 << 10

	// DrainTime bounds that reading: an event stream has no end.
	DrainTime = 100 * time.Millisecond
)

// counter is the RoundTripper of a Client.
type counter struct{ c *Client }

// exchange is one round trip. It is the trace of its request and the body of its
// reply as well, so that it takes one allocation.
type exchange struct {
	c     *Client
	trace httptrace.ClientTrace

	cancel context.CancelFunc // ends the time-out; nil without one

	asked time.Time // for a connection
	got   bool
	h2    bool
	conn  *tracked // nil as long as none was given, or one that is none of ours

	// As a body.
	reading sync.Mutex
	body    io.ReadCloser
	left    int64 // by Content-Length; below 0 if that is not known
	failed  bool  // the reply is one of 500 or above
	over    bool  // nothing is left to be read
	ended   sync.Once
}

// RoundTrip counts, and makes the reply's body one that is drained.
func (r counter) RoundTrip(req *nethttp.Request) (*nethttp.Response, error) {
	if r.c.life.Err() != nil {
		if req.Body != nil {
			_ = req.Body.Close() // as a RoundTripper has to
		}
		return nil, errClosed
	}
	x := &exchange{c: r.c, asked: time.Now()}
	x.trace = httptrace.ClientTrace{
		GetConn: x.getConn, GotConn: x.gotConn,
		PutIdleConn: r.c.putIdle, TLSHandshakeStart: r.c.handshakeStart, TLSHandshakeDone: r.c.handshakeDone,
	}
	ctx := req.Context()
	if r.c.timeout > 0 {
		ctx, x.cancel = context.WithDeadline(ctx, r.c.deadline(req, x.asked))
	}
	res, err := r.c.transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, &x.trace)))
	if err != nil {
		x.noReply(err)
		return nil, err
	}
	x.failed = res.StatusCode >= 500
	if res.Body == nethttp.NoBody || res.StatusCode == nethttp.StatusSwitchingProtocols {
		x.end(x.failed) // the latter's connection is the caller's from now on
		return res, nil
	}
	x.body, x.left = res.Body, res.ContentLength
	res.Body = x
	return res, nil
}

// deadline is when a request that begins now has to be over: with its redirects,
// so that one that follows a redirect inherits its end. That is found in the request
// of the reply that it follows.
//
// Timeout of http.Client would do the same. But before a RoundTripper that is no
// transport of net/http it starts a goroutine for each request, which was measured
// to cost a quarter of the whole request.
func (c *Client) deadline(req *nethttp.Request, now time.Time) time.Time {
	end := now.Add(c.timeout)
	if req.Response == nil || req.Response.Request == nil {
		return end
	}
	if first, ok := req.Response.Request.Context().Deadline(); ok && first.Before(end) {
		return first
	}
	return end
}

// CloseIdleConnections is called by that of http.Client.
func (r counter) CloseIdleConnections() { r.c.transport.CloseIdleConnections() }

// getConn comes right after RoundTrip has begun, and is called again when the transport
// tries another connection, as the one it had was closed by the server in that moment.
func (x *exchange) getConn(string) {
	if x.got {
		x.release()
		x.asked, x.got = time.Now(), false
	}
}

func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	x.release() // HTTP/2 may try another without asking
	now := time.Now()
	t := trackedOf(info.Conn)
	n := &x.c.counts
	n.mu.Lock()
	used := info.Reused
	if t != nil {
		if used = t.used; !used {
			// Once for each connection; nobody else knows the protocol yet.
			t.used, t.h2 = true, isHTTP2(info.Conn)
		}
		if t.users++; t.users == 1 {
			t.host.change(+1, now)
		}
	}
	wait := now.Sub(x.asked)
	n.sum.Got++
	n.sum.Wait.add(wait)
	if used {
		n.sum.Reused++
	}
	switch {
	case info.WasIdle:
		n.sum.Rest.add(info.IdleTime)
	case used && t != nil && t.h2: // beside other requests on it
	default:
		n.sum.Waits++
		n.sum.Waited += wait
		if used {
			n.sum.Queued++
		}
	}
	n.mu.Unlock()
	x.got, x.conn, x.h2 = true, t, t != nil && t.h2
}

// release gives the connection back as far as the counts go.
func (x *exchange) release() {
	if x.conn == nil {
		return
	}
	now := time.Now()
	x.c.counts.mu.Lock()
	x.releaseLocked(now)
	x.c.counts.mu.Unlock()
}

func (x *exchange) releaseLocked(now time.Time) {
	if t := x.conn; t != nil {
		if t.users--; t.users == 0 {
			t.host.change(-1, now)
		}
		x.conn = nil
	}
}

// noReply is the end of a round trip that has no reply.
func (x *exchange) noReply(err error) {
	if !x.got {
		waited := time.Since(x.asked)
		n := &x.c.counts
		n.mu.Lock()
		n.sum.Waits++
		n.sum.Waited += waited
		if timedOut(err) {
			n.sum.Timeouts++
		}
		n.mu.Unlock()
	}
	x.end(true)
}

// end is the end of any round trip.
func (x *exchange) end(failed bool) {
	x.ended.Do(func() {
		now := time.Now()
		n := &x.c.counts
		n.mu.Lock()
		x.releaseLocked(now)
		n.sum.Requests++
		if failed {
			n.sum.Failed++
		}
		if x.failed {
			n.sum.ServerErrors++
		}
		n.mu.Unlock()
		if x.cancel != nil {
			x.cancel()
		}
	})
}

// Read reads the body.
func (x *exchange) Read(p []byte) (int, error) {
	x.reading.Lock()
	defer x.reading.Unlock()
	n, err := x.body.Read(p)
	if x.left > 0 {
		x.left -= int64(n)
	}
	if err != nil {
		x.over = true
		x.end(x.failed || err != io.EOF)
	}
	return n, err
}

// Close drains the body, unless it is called to interrupt a Read.
func (x *exchange) Close() error {
	if x.reading.TryLock() {
		if !x.over && !x.h2 { // there, only a stream ends
			x.drain()
		}
		x.over = true
		x.reading.Unlock()
	}
	err := x.body.Close()
	x.end(x.failed)
	return err
}

func (x *exchange) drain() {
	whole := false
	if x.left <= DrainLimit {
		stop := time.AfterFunc(DrainTime, func() { _ = x.body.Close() })
		n, err := io.Copy(io.Discard, io.LimitReader(x.body, DrainLimit+1))
		stop.Stop()
		whole = err == nil && n <= DrainLimit
	}
	if !whole {
		x.c.counts.mu.Lock()
		x.c.counts.sum.Undrained++
		x.c.counts.mu.Unlock()
	}
}

// putIdle, handshakeStart and handshakeDone need to know no request: one function
// each serves all. The transport calls them on goroutines of its own.

func (c *Client) onPutIdle(err error) {
	if err == nil {
		return
	}
	c.counts.mu.Lock()
	c.counts.sum.Discarded++
	c.counts.mu.Unlock()
}

func (c *Client) onHandshakeStart() {
	c.counts.mu.Lock()
	c.counts.handshaking++
	c.counts.mu.Unlock()
}

func (c *Client) onHandshakeDone(_ tls.ConnectionState, err error) {
	c.counts.mu.Lock()
	c.counts.handshaking--
	if err != nil {
		c.counts.sum.HandshakesFailed++
	} else {
		c.counts.sum.Handshakes++
	}
	c.counts.mu.Unlock()
}

// timedOut tells whether err says that time ran out.
func timedOut(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
