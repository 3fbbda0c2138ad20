// Package tcpserver is what servers that are no models of concurrency have in common:
// they accept TCP connections up to a limit, close those on which nothing moves,
// and can drain. What is done with a connection is a [Session].
//
// It exists because these servers are no models of concurrency: a proxy has two
// sockets for each connection, and a server that chooses how to write its replies
// cannot leave the writing to a model. They are told the same by [models.Config],
// started in the same way and counted in the same way as models are.
package tcpserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"netbench/internal/listen"
	"netbench/models"
)

// Session is what becomes of one connection.
type Session interface {
	// Serve serves the connection and returns when all that the session holds is
	// closed: nil if it ended in order, else why not.
	Serve() error

	// Drain asks the session to answer what has arrived and to end then. It does
	// not wait. It is called once at most, from another goroutine, also before
	// Serve.
	Drain()

	// Cut closes everything at once, so that Serve returns. It may be called
	// repeatedly, from other goroutines, and also in place of Serve.
	Cut()

	// Progress is a number that changes whenever bytes have moved. It is called by
	// one goroutine.
	Progress() uint64

	// AddTo adds the bytes that the session has moved to the statistics.
	AddTo(*models.Stats)
}

// Server accepts connections and gives each a session in a goroutine of its own. It
// is a [models.Server].
type Server struct {
	cfg      models.Config
	listener *net.TCPListener
	open     func(*net.TCPConn) Session
	slots    chan struct{} // holds a token for each connection; nil without MaxConns

	drain    chan struct{}  // closed when Shutdown or Close begins
	quit     chan struct{}  // closed when nothing is left that could idle
	running  sync.WaitGroup // Serve and the sessions
	sweeping sync.WaitGroup // the goroutine that looks for idle connections
	end      sync.Once

	mu               sync.Mutex
	served, draining bool
	closed           bool
	sessions         map[*entry]struct{}
	totals           models.Stats // of sessions that have ended, and of accepting
}

var _ models.Server = (*Server)(nil)

// entry is a session that is running. Its fields belong to the server's lock.
type entry struct {
	session    Session
	cut, idled bool
	seen       uint64    // its progress when it last changed
	since      time.Time // when that was noticed
}

// New listens as cfg says. open makes the session of a connection whose options are
// set; it must not block. names are the Model and the Variant of Stats.
//
// Only TCP, one listener and the host's backlog are supported; anything else is an
// error that wraps [models.ErrUnsupported]. Config.Service and Config.Loops are not
// looked at. Buffer sizes are set on each connection, after the window's scale has
// been agreed on.
func New(cfg models.Config, names models.Stats, open func(*net.TCPConn) Session) (*Server, error) {
	cfg, err := cfg.Validate()
	if err != nil {
		return nil, err
	}
	if err := supported(cfg); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", names.Model, models.ErrUnsupported, err)
	}
	// As models do: without probes, and without Multipath TCP.
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), cfg.Network, cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", names.Model, err)
	}
	s := &Server{
		cfg: cfg, listener: l.(*net.TCPListener), open: open,
		drain: make(chan struct{}), quit: make(chan struct{}),
		sessions: make(map[*entry]struct{}), totals: names,
	}
	if cfg.MaxConns != models.NoLimit {
		s.slots = make(chan struct{}, cfg.MaxConns)
	}
	return s, nil
}

// supported tells what of a valid configuration these servers lack.
func supported(cfg models.Config) error {
	switch {
	case cfg.Network == "unix":
		return &models.ConfigError{Field: "Network", Value: `"unix"`, Want: "tcp, tcp4 or tcp6"}
	case cfg.Listeners > 1:
		return &models.ConfigError{Field: "Listeners", Value: cfg.Listeners, Want: "1"}
	case cfg.Backlog != 0:
		return &models.ConfigError{Field: "Backlog", Value: cfg.Backlog, Want: "0, the host's maximum"}
	}
	return nil
}

// Addr is [models.Server]'s.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Configure sets the options of a connection that cfg asks for.
func Configure(c *net.TCPConn, cfg models.Config) error {
	if cfg.NoDelay == models.Off {
		if err := c.SetNoDelay(false); err != nil {
			return err
		}
	}
	if cfg.RecvBuffer > 0 {
		if err := c.SetReadBuffer(cfg.RecvBuffer); err != nil {
			return err
		}
	}
	if cfg.SendBuffer > 0 {
		return c.SetWriteBuffer(cfg.SendBuffer)
	}
	return nil
}

// Serve is [models.Server]'s. An accept that fails for want of descriptors or
// memory, or because the peer has gone already, is retried after 5 ms, then after
// twice as long each time up to 1 s.
func (s *Server) Serve() error {
	s.mu.Lock()
	switch {
	case s.draining:
		s.mu.Unlock()
		return models.ErrServerClosed
	case s.served:
		s.mu.Unlock()
		return errors.New(s.totals.Model + ": Serve was called twice (make another server)")
	}
	s.served = true
	s.running.Add(1)
	if s.cfg.IdleTimeout != models.NoLimit {
		s.sweeping.Go(s.sweep)
	}
	s.mu.Unlock()
	defer s.running.Done()
	return s.accept()
}

func (s *Server) accept() error {
	var backoff time.Duration
	for {
		if !s.reserve() {
			return models.ErrServerClosed
		}
		c, err := s.listener.AcceptTCP()
		if err == nil {
			backoff = 0
			s.take(c)
			continue
		}
		s.unreserve()
		select {
		case <-s.drain:
			return models.ErrServerClosed
		default:
		}
		if !listen.Temporary(err) {
			return fmt.Errorf("%s: accept on %v: %w", s.totals.Model, s.Addr(), err)
		}
		s.mu.Lock()
		s.totals.AcceptErrors++
		s.mu.Unlock()
		backoff = listen.Backoff(backoff)
		timer := time.NewTimer(backoff)
		select {
		case <-timer.C:
		case <-s.drain:
			timer.Stop()
			return models.ErrServerClosed
		}
	}
}

// reserve takes a slot before a connection is accepted, unless connections beyond
// the limit are rejected. It returns false when the server drains.
func (s *Server) reserve() bool {
	if s.slots == nil || s.cfg.OnLimit == models.Reject {
		select {
		case <-s.drain:
			return false
		default:
			return true
		}
	}
	select {
	case s.slots <- struct{}{}:
		return true
	case <-s.drain:
		return false
	}
}

// unreserve undoes reserve when no connection came.
func (s *Server) unreserve() {
	if s.cfg.OnLimit == models.Wait {
		s.release()
	}
}

// release gives a slot back.
func (s *Server) release() {
	if s.slots != nil {
		<-s.slots
	}
}

// take gives a connection its session, or closes it if it is beyond MaxConns.
func (s *Server) take(c *net.TCPConn) {
	if s.slots != nil && s.cfg.OnLimit == models.Reject {
		select {
		case s.slots <- struct{}{}:
		default:
			s.mu.Lock()
			s.totals.Rejected++
			s.mu.Unlock()
			_ = c.CloseWrite() // an end rather than a reset, even if something came already
			_ = c.Close()
			return
		}
	}
	if Configure(c, s.cfg) != nil { // it is dead already
		_ = c.Close()
		s.release()
		return
	}
	e := &entry{session: s.open(c), since: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		e.session.Cut()
		s.release()
		return
	}
	s.sessions[e] = struct{}{}
	s.totals.Accepted++
	s.running.Add(1) // Serve still counts, so nobody has stopped waiting
	if s.draining {
		e.session.Drain()
	}
	go s.run(e)
}

// run serves one connection and folds it into the totals.
func (s *Server) run(e *entry) {
	defer s.running.Done()
	err := e.session.Serve()
	s.mu.Lock()
	e.session.AddTo(&s.totals)
	switch {
	case e.idled:
		s.totals.IdleClosed++
	case err != nil && !e.cut:
		s.totals.ConnErrors++
	}
	delete(s.sessions, e)
	s.mu.Unlock()
	s.release()
}

// sweep closes connections on which nothing moves. It looks eight times in
// IdleTimeout, so that they are closed after 1 to 1.25 times that.
func (s *Server) sweep() {
	tick := time.NewTicker(max(s.cfg.IdleTimeout/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case now := <-tick.C:
			s.closeIdle(now)
		}
	}
}

func (s *Server) closeIdle(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.sessions {
		if e.cut {
			continue
		}
		if p := e.session.Progress(); p != e.seen {
			e.seen, e.since = p, time.Now() // later than now, if we were kept waiting
		} else if now.Sub(e.since) >= s.cfg.IdleTimeout {
			e.cut, e.idled = true, true
			e.session.Cut()
		}
	}
}

// Stats is [models.Server]'s. Paused is not counted.
func (s *Server) Stats() models.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := s.totals
	total.Active = int64(len(s.sessions))
	for e := range s.sessions {
		e.session.AddTo(&total)
	}
	return total
}

// Shutdown is [models.Server]'s, but for connections in the backlog, which are
// reset.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining {
		s.beginDrain()
		for e := range s.sessions {
			e.session.Drain()
		}
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.finish()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-done:
		return nil
	default:
	}
	_ = s.Close()
	<-done
	return ctx.Err()
}

// beginDrain stops accepting. The caller holds mu.
func (s *Server) beginDrain() {
	s.draining = true
	close(s.drain)
	_ = s.listener.Close()
}

// Close is [models.Server]'s.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.draining {
		s.beginDrain()
	}
	s.closed = true
	for e := range s.sessions {
		if !e.cut {
			e.cut = true
			e.session.Cut()
		}
	}
	s.mu.Unlock()
	s.finish()
	return nil
}

// finish returns when no goroutine of the server is left.
func (s *Server) finish() {
	s.running.Wait()
	s.end.Do(func() { close(s.quit) })
	s.sweeping.Wait()
}
