package main

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"netbench/internal/listen"
	"netbench/models"
	"netbench/models/peers/engines/adapter"
)

// server is a models.Server that leaves draining to fasthttp.
type server struct {
	*adapter.Server
	e *engine
}

// engine runs fasthttp.
type engine struct {
	s     *adapter.Server
	held  *listen.Held
	gates []*adapter.Gate
	fh    *fasthttp.Server
	ran   atomic.Bool

	mu    sync.Mutex
	conns map[*conn]struct{}
}

func newServer(recommended bool) models.Factory {
	return func(cfg models.Config) (models.Server, error) {
		cfg, err := cfg.Validate()
		if err != nil {
			return nil, err
		}
		http, around, err := split(cfg.Service)
		if err != nil {
			return nil, err
		}
		variant := ""
		if recommended {
			variant = "recommended"
		}
		e := &engine{s: adapter.New(cfg, "fasthttp", variant), conns: map[*conn]struct{}{}}
		e.s.Sessionless = true
		e.fh = settings(cfg, http, recommended)
		e.fh.Handler = cost(around, handle)
		if err := e.listen(cfg, recommended); err != nil {
			e.release()
			return nil, err
		}
		return &server{e.s.Attach(e), e}, nil
	}
}

// settings are those of the race, and fasthttp's defaults. Idle connections are
// closed by the adapter, which costs no deadline per request.
func settings(cfg models.Config, http models.HTTP, recommended bool) *fasthttp.Server {
	fh := &fasthttp.Server{
		Name:               "netbench",
		ReadBufferSize:     cfg.ReadBuffer,
		MaxRequestBodySize: models.DefaultHTTPBody,
		Concurrency:        fasthttp.DefaultConcurrency,
		CloseOnShutdown:    true,
		// Whatever kind of body is sent to /echo, it is sent back.
		DisablePreParseMultipartForm: true,
		Logger:                       silent{},
	}
	if http.MaxBody > 0 {
		fh.MaxRequestBodySize = http.MaxBody
	}
	if recommended {
		// Doc of Server.ReadBufferSize: the default, 4 KiB, serves unless heads
		// are larger.
		fh.ReadBufferSize = 0
	}
	return fh
}

// listen opens one listener, or as many as there are loops to be: README,
// "Performance optimization tips for multi-core systems", begins with "Use
// reuseport listener". What follows there, a process per core, is another model.
func (e *engine) listen(cfg models.Config, recommended bool) error {
	options := listen.Options{Model: "fasthttp"}
	n := 1
	if recommended && cfg.Network != "unix" {
		held, err := listen.Hold(cfg, "fasthttp")
		if err != nil {
			return err
		}
		e.held = held
		e.s.Config = held.Config(cfg)
		options.Share = true
		if n = cfg.Loops; n == 0 {
			n = runtime.GOMAXPROCS(0)
		}
	}
	for range n {
		g, err := adapter.NewGate(e.s, options)
		if err != nil {
			return err
		}
		e.gates = append(e.gates, g)
	}
	return nil
}

// release closes what listens.
func (e *engine) release() {
	for _, g := range e.gates {
		_ = g.Close()
	}
	if e.held != nil {
		_ = e.held.Close()
	}
}

func (e *engine) Addr() net.Addr { return e.gates[0].Addr() }
func (e *engine) Listener() int  { return e.gates[0].Descriptor() }

// Run serves until all listeners are closed and all connections too.
func (e *engine) Run() error {
	if e.ran.Swap(true) {
		return nil
	}
	var all sync.WaitGroup
	errs := make([]error, len(e.gates))
	for i, g := range e.gates {
		g.Open()
		all.Go(func() { errs[i] = e.fh.Serve(&counting{g, e}) })
	}
	all.Wait()
	for e.left() > 0 {
		time.Sleep(time.Millisecond) // handlers whose connections are closed are about to end
	}
	return errors.Join(errs...)
}

func (e *engine) left() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.conns)
}

// Stop closes all.
func (e *engine) Stop() {
	e.ran.Store(true)
	e.release()
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		_ = c.Conn.Close()
	}
}

// Shutdown is fasthttp's: it stops accepting, closes idle connections, and lets
// requests that it has read end.
func (s *server) Shutdown(ctx context.Context) error {
	s.Drain()
	// Its own error may be about a listener that was closed already.
	_ = s.e.fh.ShutdownWithContext(ctx)
	err := ctx.Err()
	if s.Stats().Active == 0 {
		err = nil
	}
	return errors.Join(err, s.Server.Close())
}

// counting counts connections and bytes.
type counting struct {
	*adapter.Gate
	e *engine
}

func (l *counting) Accept() (net.Conn, error) {
	for {
		nc, err := l.Gate.Accept()
		if err != nil {
			// Fasthttp ends without an error if it finds this one.
			return nil, io.EOF
		}
		c := &conn{Conn: nc, e: l.e}
		if c.c = l.e.s.Opened(wire{c}); c.c == nil {
			_ = nc.Close()
			l.GiveBack()
			continue
		}
		l.e.mu.Lock()
		l.e.conns[c] = struct{}{}
		l.e.mu.Unlock()
		return c, nil
	}
}

// conn is a connection that fasthttp reads and writes.
type conn struct {
	net.Conn
	e    *engine
	c    *adapter.Conn
	once sync.Once
	err  error
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.c.CountIn(n)
	}
	if err != nil && err != io.EOF && !errors.Is(err, net.ErrClosed) {
		c.err = err
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.c.CountOut(n)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.err = err
	}
	return n, err
}

// Close is called by fasthttp when it is done with the connection, and for idle
// ones.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.c.Closed(c.err)
		c.e.mu.Lock()
		delete(c.e.conns, c)
		c.e.mu.Unlock()
	})
	return err
}

// wire lets the adapter close what is idle; the rest is fasthttp's.
type wire struct{ *conn }

func (w wire) Write([]byte) error { return errors.ErrUnsupported }
func (w wire) Pending() int       { return 0 }
func (w wire) Drained() bool      { return true }
func (w wire) Unread() int        { return 0 }
func (w wire) CloseWrite() bool   { return false }
func (w wire) Wake()              {}
func (w wire) Close()             { _ = w.Conn.Close() }

// silent keeps fasthttp from writing to standard error what it does not serve.
type silent struct{}

func (silent) Printf(string, ...any) {}
