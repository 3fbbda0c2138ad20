//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"netbench/internal/listen"
	"netbench/models"
	"netbench/models/internal/buffers"
)

// New makes a reactor with the default options. It is a [models.Factory].
func New(cfg models.Config) (models.Server, error) { return Factory(Options{})(cfg) }

// Factory makes reactors with options.
//
// Config.Loops is the number of loops, GOMAXPROCS if 0. All loops accept from
// one listener; with Options.Share each has its own, and Config.Listeners, if it
// is above 1, has to be the number of loops.
func Factory(o Options) models.Factory {
	return func(cfg models.Config) (models.Server, error) {
		cfg, err := cfg.Validate()
		if err != nil {
			return nil, err
		}
		if o, err = o.check(); err != nil {
			return nil, err
		}
		if cfg.Loops == 0 {
			cfg.Loops = runtime.GOMAXPROCS(0)
			if o.Share && cfg.Listeners > 1 {
				cfg.Loops = cfg.Listeners
			}
		}
		if cfg.Listeners > 1 && (!o.Share || cfg.Listeners != cfg.Loops) {
			return nil, listen.Unsupported(&models.ConfigError{
				Field: "Listeners", Value: cfg.Listeners,
				Want: "1: all loops accept from one listener; the reuseport model gives each its own",
			})
		}
		return newServer(cfg, o)
	}
}

type server struct {
	cfg      models.Config
	opts     Options
	inLimit  int // largest request that has to be held, in bytes
	maxConns int64
	loops    []*loop
	addr     net.Addr
	pool     buffers.Pool
	workers  workers
	started  time.Time

	// active counts the connections that have a slot. Loops that wait for one
	// are counted in short.
	_      [64]byte
	active atomic.Int64
	short  atomic.Int32
	_      [64]byte

	accepting sync.WaitGroup // loops that still accept
	running   sync.WaitGroup // loops

	mu      sync.Mutex
	state   state
	drained chan struct{} // closed when every loop has ended
}

// state is how far the life of a server has come.
type state uint8

const (
	fresh    state = iota // Serve was not called
	serving               // the loops run
	draining              // Shutdown was called
	closed                // Close was called
)

func newServer(cfg models.Config, o Options) (_ *server, err error) {
	s := &server{
		cfg: cfg, opts: o,
		inLimit: max(cfg.ReadBuffer, cfg.Service.Limits().Request),
		started: time.Now(),
		drained: make(chan struct{}),
	}
	s.workers.limit = o.Workers
	if cfg.MaxConns != models.NoLimit {
		s.maxConns = int64(cfg.MaxConns)
	}
	defer func() {
		if err != nil {
			s.dispose()
		}
	}()
	for i := range cfg.Loops {
		l, err := newLoop(s, i)
		if err != nil {
			return nil, fmt.Errorf("reactor: loop %d: %w", i, err)
		}
		s.loops = append(s.loops, l)
	}
	return s, s.listen()
}

// Addr is the address listened on.
func (s *server) Addr() net.Addr { return s.addr }

// Serve runs the loops until Shutdown or Close. An accept that fails because the
// process or the host lacks descriptors or memory is retried after 5 ms, then
// after twice as long each time up to 1 s, until one succeeds.
func (s *server) Serve() error {
	s.mu.Lock()
	switch s.state {
	case draining, closed:
		s.mu.Unlock()
		return models.ErrServerClosed
	case serving:
		s.mu.Unlock()
		return errors.New("reactor: Serve was called twice (make another server)")
	}
	s.state = serving
	s.accepting.Add(len(s.loops))
	s.running.Add(len(s.loops))
	for _, l := range s.loops {
		go l.run()
	}
	s.mu.Unlock()
	s.accepting.Wait()
	for _, l := range s.loops {
		if l.broken != nil {
			return fmt.Errorf("reactor: accept on %v: %w", s.addr, l.broken)
		}
	}
	return models.ErrServerClosed
}

// Shutdown drains. What it adds to the contract: connections in the backlog are
// accepted and drained as well, until there are none for a moment; then the
// listener is closed. A connection is drained up to where its stream ended when
// its loop noticed the shutdown, so a peer that goes on sending cannot hold it
// up. Then the stream is ended, and what the peer still sends is discarded until
// it ends too, for a quarter of a second at most.
func (s *server) Shutdown(ctx context.Context) error {
	s.end(draining, (*loop).beginDrain)
	select {
	case <-s.drained:
		s.finish()
		return nil
	default:
	}
	select {
	case <-s.drained:
		s.finish()
		return nil
	case <-ctx.Done():
		_ = s.Close()
		return ctx.Err()
	}
}

// Close closes everything. It waits for work in progress that blocks, as nothing
// can interrupt it.
func (s *server) Close() error {
	s.end(closed, (*loop).kill)
	<-s.drained
	s.finish()
	return nil
}

// end moves the server on to a later state and tells every loop by the function
// that it is to run.
func (s *server) end(to state, tell func(*loop)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state >= to {
		return
	}
	before := s.state
	s.state = to
	if before == fresh {
		s.dispose()
		close(s.drained)
		return
	}
	if before == serving {
		go func() {
			s.running.Wait()
			s.workers.stop()
			close(s.drained)
		}()
	}
	for _, l := range s.loops {
		l.post(command{do: tell})
	}
}

// finish waits until whoever has ended the server has done so completely.
func (s *server) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dispose()
}

// dispose releases what the loops have not released themselves.
func (s *server) dispose() {
	for _, l := range s.loops {
		l.dispose()
	}
}

// Stats adds up what the loops have counted. A loop publishes its counts each
// time it has dealt with a batch of events.
func (s *server) Stats() models.Stats {
	total := models.Stats{Model: Name, Variant: s.opts.variant()}
	for _, l := range s.loops {
		l.shared.addTo(&total)
	}
	return total
}

// reserve takes a slot for a connection; it returns false if there is none.
func (s *server) reserve() bool {
	for {
		n := s.active.Load()
		if s.maxConns != 0 && n >= s.maxConns {
			return false
		}
		if s.active.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release gives a slot back, and tells the loops that wait for one.
func (s *server) release() {
	s.active.Add(-1)
	if s.short.Load() > 0 {
		for _, l := range s.loops {
			if l.starved.Load() {
				l.post(command{do: (*loop).resumeAccept})
			}
		}
	}
}
