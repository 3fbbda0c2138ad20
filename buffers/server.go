package buffers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"netbench/models"
)

// design is one of this package's servers. They are all the same but for what is
// between a connection's two ends: a goroutine for each connection, on one listener.
type design struct {
	name    string // in Models
	service string // the service that it speaks, by its name without options

	// open returns what serves a connection until its end. It is called once
	// for each server.
	open func(cfg models.Config) (func(*conn) error, error)
}

// factory makes servers of a design. Beside [models.Config.Validate]'s, its errors
// are about what these servers leave to others: socket buffers (a [Stream] has
// them), several listeners, the backlog's length and Unix sockets.
func (d design) factory(cfg models.Config) (models.Server, error) {
	asked := cfg
	cfg, err := cfg.Validate()
	if err != nil {
		return nil, err
	}
	name, option, _ := strings.Cut(cfg.Service.Name(), "+")
	if name != d.service || option != "" && (!strings.HasPrefix(option, "max=") || strings.Contains(option, "+")) {
		return nil, fmt.Errorf("%s: Config.Service is %q (want %q, without work of its own)", d.name, cfg.Service.Name(), d.service)
	}
	for field, is := range map[string]bool{
		"Network unix": cfg.Network == "unix", "Listeners": asked.Listeners > 1, "Backlog": cfg.Backlog > 0,
		"RecvBuffer": cfg.RecvBuffer > 0, "SendBuffer": cfg.SendBuffer > 0,
	} {
		if is {
			return nil, fmt.Errorf("%s: Config.%s is asked for: %w (leave it at its default)", d.name, field, models.ErrUnsupported)
		}
	}
	serve, err := d.open(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	// Keep-alive probes and Multipath TCP are off, as in package models.
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), cfg.Network, cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	s := &server{
		cfg: cfg, listener: l.(*net.TCPListener), serveConn: serve,
		end: make(chan struct{}), conns: map[*conn]struct{}{},
	}
	s.totals.Model = d.name
	if cfg.MaxConns != models.NoLimit {
		s.slots = make(chan struct{}, cfg.MaxConns)
	}
	if cfg.IdleTimeout != models.NoLimit {
		s.renewEvery = min(cfg.IdleTimeout/32, maxRenewal)
	}
	return s, nil
}

// maxRenewal bounds how rarely a deadline is moved: moving it costs more than
// reading the clock.
const maxRenewal = 500 * time.Millisecond

type server struct {
	cfg        models.Config
	listener   *net.TCPListener
	serveConn  func(*conn) error
	slots      chan struct{} // holds a token for each connection; nil without MaxConns
	renewEvery time.Duration

	draining atomic.Bool
	end      chan struct{} // closed when Shutdown or Close begins

	running sync.WaitGroup // Serve and the connections' goroutines

	mu     sync.Mutex
	served bool
	closed bool
	conns  map[*conn]struct{}
	totals models.Stats // of connections that have ended, and of accepting
}

func (s *server) Addr() net.Addr { return s.listener.Addr() }

func (s *server) Stats() models.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := s.totals
	total.Active = int64(len(s.conns))
	for c := range s.conns {
		total.BytesIn += c.in.Load()
		total.BytesOut += c.out.Load()
	}
	return total
}

// Waits between accepts that fail: the first, and the longest.
const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
)

// Serve accepts until Shutdown or Close. An accept that fails for want of something
// is retried after 5 ms, then after twice as long each time up to a second.
func (s *server) Serve() error {
	s.mu.Lock()
	if s.served || s.closed || s.draining.Load() {
		again := s.served
		s.mu.Unlock()
		if again {
			return errors.New("buffers: Serve was called twice (make another server)")
		}
		return models.ErrServerClosed
	}
	s.served = true
	s.running.Add(1)
	s.mu.Unlock()
	defer s.running.Done()
	var backoff time.Duration
	for s.reserve() {
		nc, err := s.listener.AcceptTCP()
		if err == nil {
			backoff = 0
			s.take(nc)
			continue
		}
		s.unreserve()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		s.mu.Lock()
		s.totals.AcceptErrors++
		s.mu.Unlock()
		backoff = min(max(2*backoff, firstBackoff), lastBackoff)
		timer := time.NewTimer(backoff)
		select {
		case <-timer.C:
		case <-s.end:
			timer.Stop()
		}
	}
	return models.ErrServerClosed
}

// reserve takes a slot before a connection is accepted, if there is a limit and
// connections beyond it wait. It returns false when the server ends.
func (s *server) reserve() bool {
	if s.slots == nil || s.cfg.OnLimit == models.Reject {
		select {
		case <-s.end:
			return false
		default:
			return true
		}
	}
	select {
	case s.slots <- struct{}{}:
		return true
	case <-s.end:
		return false
	}
}

func (s *server) unreserve() {
	if s.slots != nil && s.cfg.OnLimit == models.Wait {
		<-s.slots
	}
}

// take gives a connection its goroutine, or closes it if it is beyond MaxConns.
func (s *server) take(nc *net.TCPConn) {
	if s.slots != nil && s.cfg.OnLimit == models.Reject {
		select {
		case s.slots <- struct{}{}:
		default:
			s.mu.Lock()
			s.totals.Rejected++
			s.mu.Unlock()
			_ = nc.CloseWrite()
			_ = nc.Close()
			return
		}
	}
	raw, err := nc.SyscallConn()
	c := &conn{s: s, tcp: nc, raw: raw}
	ready := err == nil && (s.cfg.NoDelay != models.Off || nc.SetNoDelay(false) == nil)
	s.mu.Lock()
	if s.closed || !ready {
		s.mu.Unlock()
		_ = nc.Close()
		s.release()
		return
	}
	s.conns[c] = struct{}{}
	s.totals.Accepted++
	s.running.Add(1)
	if s.draining.Load() { // since the connection was accepted
		_ = nc.SetReadDeadline(past)
	}
	s.mu.Unlock()
	go func() {
		defer s.running.Done()
		how := c.close(s.serveConn(c))
		s.forget(c, how)
	}()
}

// release gives a slot back.
func (s *server) release() {
	if s.slots != nil {
		<-s.slots
	}
}

func (s *server) forget(c *conn, how ending) {
	s.mu.Lock()
	delete(s.conns, c)
	s.totals.BytesIn += c.in.Load()
	s.totals.BytesOut += c.out.Load()
	switch how {
	case idled:
		s.totals.IdleClosed++
	case failed:
		s.totals.ConnErrors++
	}
	s.mu.Unlock()
	s.release()
}

// Shutdown refuses new connections, lets each that is open answer what arrives
// within [drainTime], and closes it. Connections that nobody has accepted yet are
// reset.
func (s *server) Shutdown(ctx context.Context) error {
	s.stop(func(c *conn) { _ = c.tcp.SetReadDeadline(past) })
	gone := make(chan struct{})
	go func() {
		s.running.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-gone:
		return nil
	default:
	}
	err := s.Close()
	<-gone
	return errors.Join(ctx.Err(), err)
}

// Close closes everything.
func (s *server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop(func(c *conn) { _ = c.tcp.Close() })
	s.running.Wait()
	return nil
}

// stop begins to end the server, if it has not begun, and does this to every
// connection.
func (s *server) stop(each func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining.Swap(true) {
		close(s.end)
		_ = s.listener.Close()
	}
	for c := range s.conns {
		each(c)
	}
}
