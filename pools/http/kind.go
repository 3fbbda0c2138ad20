package httppool

import (
	"context"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/http/httptrace"
	"sync"

	"netbench/pools"
)

// Kind is the pool before one URL, whose operation is to GET it.
type Kind struct {
	request  *nethttp.Request
	settings Settings
}

// NewKind makes a Kind of a URL of http or https. The settings are those of its
// pools, but for the numbers of connections that follow from their size.
func NewKind(rawURL string, s Settings) (*Kind, error) {
	req, err := newRequest(rawURL)
	if err != nil {
		return nil, err
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return &Kind{req, s}, nil
}

// Name is "http".
func (k *Kind) Name() string { return "http" }

// Open makes a pool of size connections, all of which may be idle. HTTP does not
// tell how many a server permits, so size is bounded by the ports of an address
// only.
func (k *Kind) Open(_ context.Context, size int) (pools.Pool, error) {
	if size < 1 || size > mostConns {
		return nil, fmt.Errorf("open an http pool of %d connections: 1 to %d are permitted", size, mostConns)
	}
	s := k.settings
	s.MaxConnsPerHost, s.MaxIdleConnsPerHost = size, size
	if s.MaxIdleConns > 0 {
		s.MaxIdleConns = max(s.MaxIdleConns, size)
	}
	c, err := New(s)
	if err != nil {
		return nil, err
	}
	c.http.CheckRedirect = sameHost
	return &Pool{Client: c, request: k.request}, nil
}

// sameHost refuses redirects to other hosts: nobody has said that they may be loaded.
func sameHost(next *nethttp.Request, before []*nethttp.Request) error {
	switch {
	case next.URL.Host != before[0].URL.Host:
		return fmt.Errorf("it redirects to another host, %s", next.URL.Host)
	case len(before) >= 10:
		return errors.New("it redirects ten times")
	}
	return nil
}

// Pool is a client that requests one URL. Redirects lead to the same host only.
type Pool struct {
	Client  *Client
	request *nethttp.Request
}

// Do gets the URL and reads the reply to its end. A reply other than 2xx is an
// error.
func (p *Pool) Do(ctx context.Context) error {
	_, err := p.Client.get(ctx, p.request)
	return err
}

// Stats is what the client has for this URL's host.
func (p *Pool) Stats() pools.Stats { return p.Client.Stats().Pool() }

// Close ends all connections.
func (p *Pool) Close() error { return p.Client.Close() }

// Pool is what pools of all kinds have. Requests are its operations.
func (s Stats) Pool() pools.Stats {
	return pools.Stats{
		Max: s.MaxPerHost, Open: s.Open, InUse: s.InUse, Idle: s.Idle,
		Dials: s.Dials, Waits: s.Waits, Waited: s.Waited, Timeouts: s.Timeouts,
	}
}

// Warm makes n requests at once, of which none is sent before all have a
// connection: there is no other way to make the transport dial and keep what it
// dialled. Over HTTP/2 one connection serves them all.
func (p *Pool) Warm(ctx context.Context, n int) error {
	if most := p.Client.transport.MaxIdleConnsPerHost; n < 0 || n > most {
		return fmt.Errorf("warm an http pool to %d connections: 0 to %d are permitted, its size", n, most)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var waiting, done sync.WaitGroup
	var failed sync.Once
	var failure error // the first, which knows more than a deadline
	waiting.Add(n)
	all := make(chan struct{})
	done.Go(func() {
		waiting.Wait()
		close(all)
	})
	for range n {
		done.Go(func() {
			var once sync.Once
			arrive := func() { once.Do(waiting.Done) }
			defer arrive() // also if there will be no connection
			traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
				GotConn: func(httptrace.GotConnInfo) {
					arrive()
					select {
					case <-all:
					case <-ctx.Done():
					}
				},
			})
			if err := p.Do(traced); err != nil {
				failed.Do(func() { failure = err })
				cancel(err)
			}
		})
	}
	done.Wait()
	var told *Error
	switch err := context.Cause(ctx); {
	case errors.As(failure, &told):
		return failure
	case err != nil:
		return fmt.Errorf("warm an http pool to %d connections: %w", n, err)
	}
	return nil
}
