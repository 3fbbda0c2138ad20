package httppool

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	nethttp "net/http"
	"net/url"
	"time"
)

var zeroDialer net.Dialer

// A Client is a transport, an http.Client with a time-out for whole requests, and
// their counts. Any number of goroutines may use it at once.
type Client struct {
	transport *nethttp.Transport
	http      nethttp.Client
	timeout   time.Duration // of a whole request; 0 for none
	counts    counts

	// Made once, as each request needs them.
	putIdle        func(error)
	handshakeStart func()
	handshakeDone  func(tls.ConnectionState, error)

	life context.Context // ends by Close
	end  context.CancelFunc
}

// New makes a client of settings. The error is a [*SettingError].
func New(s Settings) (*Client, error) {
	t, err := s.Transport()
	if err != nil {
		return nil, err
	}
	return around(t, s.Timeout), nil
}

// Around makes a client of a clone of any transport, such as
// http.DefaultTransport, so that it is counted alike. timeout bounds a whole
// request; 0 for none. A transport that dials by other means than DialContext
// cannot be counted, which is an error.
func Around(t *nethttp.Transport, timeout time.Duration) (*Client, error) {
	//lint:ignore SA1019 these are asked for to refuse them
	if t.Dial != nil || t.DialTLS != nil || t.DialTLSContext != nil {
		return nil, errors.New("http pool: the transport has a Dial, DialTLS or DialTLSContext, whose connections cannot be counted (use DialContext and TLSClientConfig)")
	}
	if timeout < 0 {
		return nil, &SettingError{"Timeout", timeout, "a time above 0, or 0 for none"}
	}
	return around(t.Clone(), timeout), nil
}

// around takes the transport over.
func around(t *nethttp.Transport, timeout time.Duration) *Client {
	c := &Client{transport: t, timeout: timeout}
	c.life, c.end = context.WithCancel(context.Background())
	c.putIdle, c.handshakeStart, c.handshakeDone = c.onPutIdle, c.onHandshakeStart, c.onHandshakeDone
	c.counts.hosts, c.counts.conns = map[string]*host{}, map[*tracked]struct{}{}
	c.counts.sum.MaxPerHost = t.MaxConnsPerHost
	c.counts.sum.MaxIdlePerHost = t.MaxIdleConnsPerHost
	if t.MaxIdleConnsPerHost == 0 {
		c.counts.sum.MaxIdlePerHost = nethttp.DefaultMaxIdleConnsPerHost
	}
	c.counts.sum.KeepAlives = !t.DisableKeepAlives
	dial := t.DialContext
	if dial == nil {
		dial = zeroDialer.DialContext // as the transport would
	}
	t.DialContext = c.counting(dial)
	c.http = nethttp.Client{Transport: counter{c}}
	return c
}

// HTTP is the client to be used where one of net/http is wanted. The time-out is in
// its Transport, so its own is 0. Its errors are those of net/http, in which a URL's
// user name and query are readable.
func (c *Client) HTTP() *nethttp.Client { return &c.http }

// Do is http.Client.Do, with errors that are one line and hold no credentials of
// the URL: an [*Error].
func (c *Client) Do(req *nethttp.Request) (*nethttp.Response, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return nil, failure(req.Method, req.URL, err)
	}
	return res, nil
}

// Get requests a URL and reads the reply to its end, which it throws away. bytes
// is the length of the body. A reply other than 2xx is an error that wraps a
// [*StatusError]; its body was read all the same.
func (c *Client) Get(ctx context.Context, rawURL string) (bytes int64, err error) {
	req, err := newRequest(rawURL)
	if err != nil {
		return 0, err
	}
	return c.get(ctx, req)
}

// newRequest is a request to be used with a context each time.
func newRequest(rawURL string) (*nethttp.Request, error) {
	u, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	return &nethttp.Request{
		Method: nethttp.MethodGet, URL: u, Host: u.Host, Header: nethttp.Header{},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

func (c *Client) get(ctx context.Context, req *nethttp.Request) (int64, error) {
	res, err := c.Do(req.WithContext(ctx))
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, res.Body)
	if e := res.Body.Close(); err == nil {
		err = e
	}
	if err == nil && (res.StatusCode < 200 || res.StatusCode > 299) {
		err = &StatusError{Status: res.StatusCode}
	}
	if err != nil {
		return n, failure(req.Method, req.URL, err)
	}
	return n, nil
}

// Stats is a snapshot of the counts. It waits for nothing.
func (c *Client) Stats() Stats { return c.counts.snapshot() }

// Close ends all connections, also those in use, whose requests fail, and those
// being dialled. Requests after it fail. A second Close does nothing.
func (c *Client) Close() error {
	c.end()
	c.transport.CloseIdleConnections()
	c.counts.mu.Lock()
	c.counts.closed = true
	var left []*tracked
	for t := range c.counts.conns {
		left = append(left, t)
	}
	c.counts.mu.Unlock()
	for _, t := range left {
		t.end()
		_ = t.Close() // the peer may have done it already
	}
	return nil
}

// show is a URL without what may be secret: user, query and fragment.
func show(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
