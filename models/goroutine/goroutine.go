// Package goroutine is the model that Go was made for: a goroutine for each
// connection, which reads, answers and writes in turn and blocks where it has
// to. The scheduler and the runtime's network poller, which is epoll, kqueue or
// IOCP underneath, make it an event-driven server without a line of code that
// says so. It is what the other models have to beat.
//
// What a connection costs is its goroutine with a stack, one read buffer that is
// reused for every read, and a session. A buffer for replies is borrowed from a
// pool while there is something to send, and so is a larger read buffer while a
// message is on its way that does not fit; an idle connection holds neither.
// All replies to one read leave in one write, unless they exceed MaxPending. An
// exchange allocates nothing, takes no lock and writes to no memory that another
// connection uses.
//
// Blocking is back-pressure: while a peer does not take its replies, nobody reads
// its requests. Work that blocks runs in the connection's own goroutine.
//
// # Deadlines
//
// Moving a deadline costs more than reading the clock, so the idle deadline is
// moved by an exchange only if it was last moved a while ago, 1/32 of the
// time-out but at most half a second, and is set later by as much. An idle
// connection is closed after IdleTimeout at the earliest and 1.04 times
// IdleTimeout at the latest, give or take the timer. A write that makes no
// progress is looked at twice in that while and given up after IdleTimeout at
// the earliest and 1.1 times IdleTimeout at the latest.
//
// # Sockets
//
// Buffer sizes are set on the listener, so that TCP knows the window's scale
// when the connection is made. Keep-alive probes and Multipath TCP, which
// package net would switch on, are off, because the other models do not have
// them. No two connections are ever coupled by io.Copy, which on Linux would
// splice them through a pipe: a connection is one descriptor.
package goroutine

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"netbench/internal/listen"
	"netbench/models"
)

// Options are variants of the model, for comparisons.
type Options struct {
	// NaiveBuffers allocates a read buffer of Config.ReadBuffer bytes for every
	// read instead of one for the connection, as much published code does. A
	// read that goes on with a message uses the buffer where the message began.
	// All else is the same. Stats.Variant is then "naive".
	NaiveBuffers bool

	// Lean lets a connection hold a read buffer only while there is something
	// in it: it waits until it can read, then borrows one. That costs an
	// exchange some nanoseconds and no system call. Needs Unix. Stats.Variant is
	// then "lean".
	Lean bool

	// Share opens Config.Listeners sockets that share the address, GOMAXPROCS
	// of them if that is 0, each with an accept loop of its own; the kernel
	// spreads connections over them by a hash of both addresses. MaxConns
	// counts the connections of all. Other servers of the same user that share
	// the address are joined, not an error. Needs TCP, and Linux or FreeBSD 12.
	Share bool

	// Steer, with Share, makes the kernel prefer the i-th listener for
	// connections whose packets are handled by the i-th CPU of the process's
	// set (SO_INCOMING_CPU). Needs Linux; kernels before 6.1 or so keep the
	// option and spread by the hash all the same.
	Steer bool
}

// New makes a server that gives each connection a goroutine. It is a
// [models.Factory].
func New(cfg models.Config) (models.Server, error) { return Factory(Options{})(cfg) }

// Factory makes servers of a variant.
//
// Config.Loops is ignored. More than one listener without Options.Share is an
// error, which wraps [models.ErrUnsupported]. So is
// a Backlog on platforms that do not let it be changed after package net has
// set it. A socket file at a Unix address is replaced if nobody listens on it
// any more, and is an error otherwise.
func Factory(o Options) models.Factory {
	return func(cfg models.Config) (models.Server, error) {
		asked := cfg.Listeners
		cfg, err := cfg.Validate()
		if err == nil {
			err = o.check()
		}
		if err != nil {
			return nil, err
		}
		opened, err := open(cfg, asked, o)
		if err != nil {
			return nil, err
		}
		s := newServer(cfg, o, opened...)
		if err := s.watchBacklogs(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		return s, nil
	}
}

type server struct {
	cfg       models.Config
	opts      Options
	service   models.Service
	limit     int // largest read buffer in bytes
	listeners []*listener
	slots     chan struct{} // holds a token for each connection; nil without MaxConns
	memory    memory

	started    time.Time
	renewEvery time.Duration // how old a deadline may be before it is moved

	// draining is read by every connection before every read and written once,
	// so it shares its cache line with nothing that changes.
	_        [64]byte
	draining atomic.Bool
	_        [63]byte

	drain   chan struct{} // closed when Shutdown or Close begins
	swept   chan struct{} // closed when Shutdown has woken all that were blocked
	killed  chan struct{} // closed when Close begins
	broken  chan struct{} // closed when a listener is beyond use
	drained chan struct{} // closed when, after either, nothing is left

	running sync.WaitGroup // Serve and the connections' goroutines

	mu        sync.Mutex
	served    bool  // Serve was called
	accepting bool  // Serve is running
	failure   error // of the listener that is beyond use
	closed    bool  // Close was called
	conns     map[*conn]struct{}
	totals    models.Stats // of connections that have ended, and of accepting
}

func newServer(cfg models.Config, o Options, opened ...listen.Listener) *server {
	s := &server{
		cfg: cfg, opts: o, service: cfg.Service,
		limit:      max(cfg.ReadBuffer, cfg.Service.Limits().Request),
		started:    time.Now(),
		renewEvery: maxRenewal,
		drain:      make(chan struct{}),
		swept:      make(chan struct{}),
		killed:     make(chan struct{}),
		broken:     make(chan struct{}),
		drained:    make(chan struct{}),
		conns:      make(map[*conn]struct{}),
	}
	for _, l := range opened {
		s.listeners = append(s.listeners, &listener{Listener: l})
	}
	s.memory.base = cfg.ReadBuffer
	if cfg.MaxConns != models.NoLimit {
		s.slots = make(chan struct{}, cfg.MaxConns)
	}
	if cfg.IdleTimeout != models.NoLimit {
		s.renewEvery = min(cfg.IdleTimeout/32, maxRenewal)
	}
	s.totals.Model = "goroutine"
	switch {
	case o.NaiveBuffers:
		s.totals.Variant = "naive"
	case o.Lean:
		s.totals.Variant = "lean"
	}
	return s
}

// maxRenewal bounds how rarely deadlines are moved. A write that is stuck is
// noticed, and counted as a pause, after twice this time.
const maxRenewal = 500 * time.Millisecond

// now is the time since the server was made. It is the cheapest clock there is,
// as it needs no time of day.
func (s *server) now() time.Duration { return time.Since(s.started) }

func (s *server) Addr() net.Addr { return s.listeners[0].Addr() }

// Stats adds up what the connections that are open have counted. Paused counts
// writes that were stuck for a second or so, or 1/16 of IdleTimeout if that is
// less: the goroutine does not read meanwhile.
func (s *server) Stats() models.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := s.totals
	total.Active = int64(len(s.conns))
	for c := range s.conns {
		c.addTo(&total)
	}
	return total
}

// PerListener is [models.Spread]'s.
func (s *server) PerListener() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make([]uint64, len(s.listeners))
	for i, l := range s.listeners {
		counts[i] = l.accepted
	}
	return counts
}

// admit gives a connection that has a slot its goroutine.
func (s *server) admit(l *listener, nc net.Conn) {
	if !s.configure(nc) {
		_ = nc.Close()
		s.release()
		return
	}
	c := newConn(s, nc)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = nc.Close()
		s.release()
		return
	}
	s.conns[c] = struct{}{}
	s.totals.Accepted++
	l.accepted++
	s.running.Add(1)
	s.mu.Unlock()
	go c.serve()
}

// configure sets what a connection does not inherit from its listener: its delay,
// which package net sets, and on Unix sockets and some platforms the buffers. It
// tells whether the connection is as it was asked for.
func (s *server) configure(nc net.Conn) bool {
	tcp, isTCP := nc.(*net.TCPConn)
	if isTCP && s.cfg.NoDelay == models.Off && tcp.SetNoDelay(false) != nil {
		return false
	}
	sized, ok := nc.(interface {
		SetReadBuffer(bytes int) error
		SetWriteBuffer(bytes int) error
	})
	if !ok || isTCP && listen.InheritsBuffers {
		return true
	}
	return (s.cfg.RecvBuffer == 0 || sized.SetReadBuffer(s.cfg.RecvBuffer) == nil) &&
		(s.cfg.SendBuffer == 0 || sized.SetWriteBuffer(s.cfg.SendBuffer) == nil)
}

// forget folds a connection that has been closed into the totals and passes its
// slot on.
func (s *server) forget(c *conn, how ending) {
	s.mu.Lock()
	c.addTo(&s.totals)
	switch how {
	case idled, stuck:
		s.totals.IdleClosed++
	case failed:
		s.totals.ConnErrors++
	}
	delete(s.conns, c)
	s.checkDrained()
	s.mu.Unlock()
	s.release()
	s.running.Done()
}

// release gives a slot back.
func (s *server) release() {
	if s.slots != nil {
		<-s.slots
	}
}
