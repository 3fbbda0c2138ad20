// Package adapter is what the adapters of other people's engines share: it puts
// the contract of package models on top of callbacks.
//
// An engine brings connections, the bytes that it has read from each, and a way
// to write; it calls [Server.Opened], [Conn.Received] and [Conn.Closed] from the
// goroutine that it reads a connection in, as its users' handlers are called.
// What the contract asks beyond that is done here, out of the way of the bytes:
// sessions and their input that is not whole, work that blocks, counters, idle
// connections, draining.
//
// An exchange that arrives whole costs one borrowed buffer, three atomic stores
// and no allocation beside what the engine itself does. Time is not read in an
// exchange: one goroutine per server counts a 32nd of IdleTimeout, and looks more
// often at a connection only while something is unfinished there.
package adapter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"netbench/models"
	"netbench/models/internal/buffers"
)

// Engine is somebody else's server, set up and listening, but not serving yet.
type Engine interface {
	// Addr is the address listened on.
	Addr() net.Addr

	// Run serves and returns when the engine has stopped, with all its
	// connections closed. It is called once, unless Stop was called before.
	Run() error

	// Stop makes Run return, or, where that was not called, frees what was set
	// up. It is called once.
	Stop()

	// Listener is a descriptor of the socket listened on, -1 if unknown.
	Listener() int
}

// Server is a [models.Server] over an engine.
type Server struct {
	// Config is the configuration with its defaults.
	Config models.Config

	// Direct has an echo answered with the engine's own buffer, as in the
	// engines' examples, instead of by the session.
	Direct bool

	// Shared says that Received, Poke and Closed of one connection may be
	// called from several goroutines at once.
	Shared bool

	// Inline says that handlers may block, so work is done in them.
	Inline bool

	// Blind says that [Wire.Pending] does not tell what is pending after a read,
	// so that connections without traffic have to be looked at again.
	Blind bool

	// Sessionless says that the engine parses and answers by itself.
	Sessionless bool

	engine  Engine
	alive   sync.RWMutex // held for writing to stop the engine
	limit   int          // most bytes that a session may ask for
	buffers buffers.Pool
	workers workers

	clock    atomic.Uint32 // ticks
	every    time.Duration // one tick
	draining atomic.Bool
	refusing atomic.Bool
	stopped  atomic.Bool

	mu      sync.Mutex
	conns   map[*Conn]struct{}
	watched map[*Conn]struct{}
	totals  models.Stats
	empty   time.Time // when, since the server drains, nobody was waiting to be accepted
	served  bool
	closed  bool

	slots   chan struct{} // taken by a Gate before a connection is opened
	stir    chan struct{} // wakes the sweeper
	ended   chan struct{} // closed when the engine has stopped
	endOnce sync.Once
	sweeps  sync.WaitGroup
}

// idleTicks is how many ticks an idle time-out has.
const idleTicks = 32

// glance is how often unfinished connections are looked at.
const glance = 2 * time.Millisecond

// New makes a server of a valid configuration. An engine has to be given to
// [Server.Attach] before it is used.
func New(cfg models.Config, model, variant string) *Server {
	s := &Server{
		Config:  cfg,
		limit:   max(cfg.ReadBuffer, cfg.Service.Limits().Request),
		conns:   map[*Conn]struct{}{},
		watched: map[*Conn]struct{}{},
		stir:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
		every:   time.Second,
	}
	if cfg.IdleTimeout != models.NoLimit {
		s.every = max(cfg.IdleTimeout/idleTicks, time.Millisecond)
	}
	s.totals.Model, s.totals.Variant = model, variant
	return s
}

// Attach gives the server its engine.
func (s *Server) Attach(e Engine) *Server {
	s.engine = e
	return s
}

// Note has a fallback reported in the statistics.
func (s *Server) Note(fallback string) { s.totals.Fallback = fallback }

// Addr is the address listened on.
func (s *Server) Addr() net.Addr { return s.engine.Addr() }

// Serve runs the engine.
func (s *Server) Serve() error {
	s.mu.Lock()
	switch {
	case s.closed || s.draining.Load():
		s.mu.Unlock()
		return models.ErrServerClosed
	case s.served:
		s.mu.Unlock()
		return errors.New(s.totals.Model + ": Serve was called twice (make another server)")
	}
	s.served = true
	s.sweeps.Add(1)
	s.mu.Unlock()
	go s.sweep()
	err := s.engine.Run()
	asked := s.stopped.Swap(true) || s.draining.Load()
	s.forgetAll()
	s.endOnce.Do(func() { close(s.ended) })
	if asked {
		return models.ErrServerClosed
	}
	if err == nil {
		err = errors.New("it does not say why")
	}
	return fmt.Errorf("%s: the engine stopped by itself: %w", s.totals.Model, err)
}

// forgetAll forgets connections whose end the engine did not report.
func (s *Server) forgetAll() {
	s.mu.Lock()
	var rest []*Conn
	for c := range s.conns {
		rest = append(rest, c)
	}
	s.mu.Unlock()
	for _, c := range rest {
		c.Closed(nil)
	}
}

// stop stops the engine, once.
func (s *Server) stop() {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	served := s.served
	s.mu.Unlock()
	s.alive.Lock()
	running := !again && !s.stopped.Swap(true)
	s.alive.Unlock()
	if running {
		s.engine.Stop()
		if !served {
			s.endOnce.Do(func() { close(s.ended) })
		}
	}
	s.nudge()
	<-s.ended
	s.workers.wait()
	s.sweeps.Wait()
}

// Close stops the engine and waits for work in progress.
func (s *Server) Close() error {
	s.draining.Store(true)
	s.stop()
	return nil
}

// Shutdown drains. Connections that wait to be accepted are accepted and drained
// too, until none waits; from then on what still comes is closed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	served := s.served
	s.mu.Unlock()
	s.draining.Store(true)
	if !served {
		s.stop()
		return nil
	}
	s.nudge()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		if s.idle() {
			s.stop()
			return nil
		}
		select {
		case <-ctx.Done():
			if s.idle() {
				s.stop()
				return nil
			}
			s.stop()
			return ctx.Err()
		case <-s.ended:
			s.stop()
			return nil
		case <-tick.C:
		}
	}
}

// settle is how long a connection may take from the queue to its session.
const settle = 20 * time.Millisecond

// idle tells whether a server that drains has nothing left to do. Once the queue
// was seen to be empty, whoever comes is late.
func (s *Server) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty.IsZero() {
		if !queued(s.engine.Listener()) {
			s.empty = time.Now()
		}
		return false
	}
	if time.Since(s.empty) < settle {
		return false
	}
	s.refusing.Store(true)
	return len(s.conns) == 0
}

// Drain notes that the server shuts down, for engines that do that themselves.
func (s *Server) Drain() { s.draining.Store(true) }

// nudge wakes the sweeper.
func (s *Server) nudge() {
	select {
	case s.stir <- struct{}{}:
	default:
	}
}

// Stats adds up what the connections have counted.
func (s *Server) Stats() models.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := s.totals
	total.Active = int64(len(s.conns))
	for c := range s.conns {
		total.BytesIn += c.bytesIn.Load()
		total.BytesOut += c.bytesOut.Load()
	}
	return total
}

// AcceptFailed counts an accept that will be tried again.
func (s *Server) AcceptFailed() {
	s.mu.Lock()
	s.totals.AcceptErrors++
	s.mu.Unlock()
}

// Opened makes a connection, or returns nil for one that has to be closed at
// once, because there are MaxConns of them or the server has shut down.
func (s *Server) Opened(w Wire) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusing.Load() || s.stopped.Load() {
		return nil
	}
	if s.slots == nil && s.Config.MaxConns != models.NoLimit && len(s.conns) >= s.Config.MaxConns {
		s.totals.Rejected++
		return nil
	}
	c := newConn(s, w)
	s.conns[c] = struct{}{}
	s.totals.Accepted++
	if s.draining.Load() {
		s.nudge()
	}
	return c
}
