package main

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudwego/netpoll"
	"golang.org/x/sys/unix"

	"netbench/internal/listen"
	"netbench/models"
	"netbench/models/peers/engines/adapter"
)

// engine runs an event loop of netpoll. The pollers are those of the process.
type engine struct {
	s      *adapter.Server
	loop   netpoll.EventLoop
	ln     netpoll.Listener
	done   chan struct{}
	ran    atomic.Bool
	closed atomic.Bool

	mu    sync.Mutex
	wires map[*wire]struct{}
}

func newServer(recommended bool) models.Factory {
	return func(cfg models.Config) (models.Server, error) {
		cfg, err := cfg.Validate()
		if err != nil {
			return nil, err
		}
		if cfg.Listeners > 1 {
			return nil, adapter.OneListener(cfg)
		}
		variant := ""
		if recommended {
			variant = "recommended"
		}
		e := &engine{s: adapter.New(cfg, "netpoll", variant), done: make(chan struct{}), wires: map[*wire]struct{}{}}
		e.s.Shared, e.s.Inline = true, true
		e.s.Direct = recommended && cfg.Service == models.Service(models.Echo{})
		if err := configure(cfg, recommended); err != nil {
			return nil, err
		}
		l, err := listen.Open(cfg, listen.Options{Model: "netpoll"})
		if err != nil {
			return nil, err
		}
		inner, err := netpoll.ConvertListener(l)
		if err != nil {
			_ = l.Close()
			return nil, adapter.ListenError("netpoll", cfg, err)
		}
		e.ln = &counting{inner, e.s}
		if e.loop, err = netpoll.NewEventLoop(e.request, netpoll.WithOnPrepare(e.opened)); err != nil {
			_ = e.ln.Close()
			return nil, adapter.ListenError("netpoll", cfg, err)
		}
		return e.s.Attach(e), nil
	}
}

// configure sets what netpoll has once in a process.
func configure(cfg models.Config, recommended bool) error {
	loops := cfg.Loops
	if loops == 0 {
		loops = runtime.GOMAXPROCS(0)
	}
	config := netpoll.Config{
		PollerNum: loops, BufferSize: cfg.ReadBuffer,
		LoadBalance: netpoll.RoundRobin, LoggerOutput: io.Discard,
	}
	if recommended {
		// docs/guide/guide_en.md, "How To": as many pollers as GOMAXPROCS for
		// heavy I/O; and "if your project does not have a stack growth problem,
		// it is best to close gopool".
		config.BufferSize = 0
		config.Runner = func(_ context.Context, handler func()) { go handler() }
	}
	err := netpoll.Configure(config)
	netpoll.Initialize()
	return err
}

func (e *engine) Addr() net.Addr { return e.ln.Addr() }

func (e *engine) Listener() int {
	if e.closed.Load() {
		return -1
	}
	return e.ln.Fd()
}

func (e *engine) Run() error {
	if e.ran.Swap(true) {
		<-e.done
		return nil
	}
	err := e.loop.Serve(e.ln)
	close(e.done)
	return err
}

// Stop closes all connections, then lets netpoll wait for their handlers, which
// may be called too early for its Serve, and so again.
func (e *engine) Stop() {
	e.closed.Store(true)
	if !e.ran.Swap(true) {
		_ = e.ln.Close()
		close(e.done)
		return
	}
	for {
		e.mu.Lock()
		var all []*wire
		for w := range e.wires {
			all = append(all, w)
		}
		e.mu.Unlock()
		for _, w := range all {
			w.Close()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		_ = e.loop.Shutdown(ctx)
		cancel()
		e.mu.Lock()
		left := len(e.wires)
		e.mu.Unlock()
		if left > 0 {
			continue
		}
		select {
		case <-e.done:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// wire is a connection of netpoll, and the context of its handlers.
type wire struct {
	context.Context
	netpoll.Connection
	c  *adapter.Conn
	fd int
}

// opened is called in the poller that has accepted.
func (e *engine) opened(nc netpoll.Connection) context.Context {
	w := &wire{Context: context.Background(), Connection: nc, fd: nc.(netpoll.Conn).Fd()}
	if w.c = e.s.Opened(w); w.c == nil {
		_ = nc.Close()
		return w
	}
	if e.s.Config.NoDelay == models.Off {
		_ = unix.SetsockoptInt(w.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 0)
	}
	e.mu.Lock()
	e.wires[w] = struct{}{}
	e.mu.Unlock()
	_ = nc.AddCloseCallback(func(netpoll.Connection) error {
		e.mu.Lock()
		delete(e.wires, w)
		e.mu.Unlock()
		w.c.Closed(nil)
		return nil
	})
	return w
}

// request is called in a goroutine while there is input.
func (e *engine) request(ctx context.Context, nc netpoll.Connection) error {
	w := ctx.(*wire)
	r := nc.Reader()
	in, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	w.c.Received(in)
	return r.Release()
}

// chunk is how much of a long reply is written at once, so that progress is
// noticed.
const chunk = 64 << 10

func (w *wire) Write(b []byte) error {
	out := w.Writer()
	for len(b) > 0 {
		n := min(len(b), chunk)
		if _, err := out.WriteBinary(b[:n]); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if b = b[n:]; len(b) > 0 {
			w.c.Touch()
		}
	}
	return nil
}

func (w *wire) Pending() int     { return 0 }
func (w *wire) Drained() bool    { return true }
func (w *wire) Unread() int      { return w.Reader().Len() + adapter.Unread(w.fd) }
func (w *wire) CloseWrite() bool { return unix.Shutdown(w.fd, unix.SHUT_WR) == nil }
func (w *wire) Wake()            { w.c.TryPoke() }
func (w *wire) Close()           { _ = w.Connection.Close() }

// counting counts the accepts that fail, which netpoll tries again itself.
type counting struct {
	netpoll.Listener
	s *adapter.Server
}

func (l *counting) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		l.s.AcceptFailed()
	}
	return nc, err
}
