package adapter

import (
	"net"
	"sync"
	"time"

	"netbench/internal/listen"
	"netbench/models"
)

// Gate is a listener for engines that call Accept of one. It keeps them waiting
// until connections are to be served, keeps to MaxConns, and tries again when an
// accept fails.
type Gate struct {
	net.Listener
	s      *Server
	fd     int
	shared bool // the address
	open   chan struct{}
	opened sync.Once
	closed chan struct{}
	ended  sync.Once
}

// NewGate makes the listener that the server's configuration asks for.
func NewGate(s *Server, o listen.Options) (*Gate, error) {
	if s.Config.Listeners > 1 {
		return nil, OneListener(s.Config)
	}
	l, err := listen.Open(s.Config, o)
	if err != nil {
		return nil, err
	}
	g := &Gate{Listener: l, s: s, fd: -1, shared: o.Share, open: make(chan struct{}), closed: make(chan struct{})}
	_ = listen.Control(l, func(fd uintptr) error { g.fd = int(fd); return nil })
	if s.slots == nil && s.Config.MaxConns != models.NoLimit {
		s.slots = make(chan struct{}, s.Config.MaxConns)
	}
	return g, nil
}

// Open lets connections in.
func (g *Gate) Open() { g.opened.Do(func() { close(g.open) }) }

// Descriptor is that of the socket, -1 when it is closed.
func (g *Gate) Descriptor() int {
	select {
	case <-g.closed:
		return -1
	default:
		return g.fd
	}
}

// Close closes the listener.
func (g *Gate) Close() error {
	var err error
	g.ended.Do(func() {
		close(g.closed)
		err = g.Listener.Close()
	})
	return err
}

// Accept returns a connection for which there is room.
func (g *Gate) Accept() (net.Conn, error) {
	select {
	case <-g.open:
	case <-g.closed:
		return nil, net.ErrClosed
	}
	var backoff time.Duration
	limited := g.s.slots != nil
	// A listener that has a place and nobody to give it to would keep it from
	// another that shares the address, so those take theirs afterwards.
	wait := limited && g.s.Config.OnLimit == models.Wait && !g.shared
	for {
		if wait {
			select {
			case g.s.slots <- struct{}{}:
			case <-g.closed:
				return nil, net.ErrClosed
			}
		}
		nc, err := g.Listener.Accept()
		if err != nil {
			if wait {
				<-g.s.slots
			}
			if !listen.Temporary(err) {
				return nil, err
			}
			g.s.AcceptFailed()
			backoff = listen.Backoff(backoff)
			select {
			case <-g.closed:
				return nil, net.ErrClosed
			case <-time.After(backoff):
			}
			continue
		}
		backoff = 0
		if limited && !wait && !g.place() {
			discard(nc)
			continue
		}
		if g.s.refusing.Load() || g.s.stopped.Load() {
			discard(nc)
			g.GiveBack()
			continue
		}
		if tcp, ok := nc.(*net.TCPConn); ok && g.s.Config.NoDelay == models.Off {
			_ = tcp.SetNoDelay(false)
		}
		return nc, nil
	}
}

// place takes a place for a connection that was accepted, or tells that there is
// none for it.
func (g *Gate) place() bool {
	select {
	case g.s.slots <- struct{}{}:
		return true
	default:
	}
	if g.s.Config.OnLimit == models.Reject {
		g.s.reject()
		return false
	}
	select {
	case g.s.slots <- struct{}{}:
		return true
	case <-g.closed:
		return false
	}
}

// GiveBack gives up the room of a connection that was not opened.
func (g *Gate) GiveBack() {
	if g.s.slots != nil {
		<-g.s.slots
	}
}

// discard closes a connection so that its peer sees an end, not a reset.
func discard(nc net.Conn) {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = nc.Close()
}

func (s *Server) reject() {
	s.mu.Lock()
	s.totals.Rejected++
	s.mu.Unlock()
}
