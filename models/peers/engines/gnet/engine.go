package main

import (
	"context"

	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"netbench/models"
	"netbench/models/peers/engines/adapter"
)

// engine runs gnet. It listens when it is made; its loops start with Run.
type engine struct {
	gnet.BuiltinEventEngine

	s      *adapter.Server
	fd     int // of the listener, our own copy
	addr   net.Addr
	ready  chan error    // what became of listening
	ticked sync.Once     // all loops run
	begin  chan struct{} // closed when connections are served, or nothing is
	booted gnet.Engine   // valid once ready
	done   chan struct{} // closed when gnet has returned
	err    error         // of gnet
	ran    atomic.Bool   // Run or Stop has decided whether to serve
}

// newServer makes a server that runs gnet, by its documentation's advice or by
// the race's conditions.
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
		e := &engine{
			s: adapter.New(cfg, "gnet", variant), fd: -1,
			ready: make(chan error, 1), begin: make(chan struct{}),
			done: make(chan struct{}),
		}
		if err := e.listen(cfg, recommended); err != nil {
			return nil, err
		}
		return e.s.Attach(e), nil
	}
}

// options are those of the race; advised are added to them.
func options(cfg models.Config, recommended bool) gnet.Options {
	loops := cfg.Loops
	if loops == 0 {
		loops = runtime.GOMAXPROCS(0)
	}
	o := gnet.Options{
		NumEventLoop:     loops,
		ReadBufferCap:    cfg.ReadBuffer,
		SocketRecvBuffer: cfg.RecvBuffer,
		SocketSendBuffer: cfg.SendBuffer,
		ReuseAddr:        true, // as every listener of package net
		Logger:           silent{},
		Ticker:           true,
	}
	if cfg.NoDelay == models.Off {
		o.TCPNoDelay = gnet.TCPDelay
	}
	if recommended {
		// The doc of gnet.Options: LockOSThread is for those who "want all I/O
		// event-loops to actually run in parallel for a potential higher
		// performance", Multicore for more than one loop, and ReadBufferCap is
		// 64 KiB by default, to be increased "to read more data from a socket".
		// EdgeTriggeredIO stays off, as it says.
		o.Multicore, o.LockOSThread = true, true
		o.ReadBufferCap = 0
	}
	return o
}

func (e *engine) listen(cfg models.Config, recommended bool) error {
	o := options(cfg, recommended)
	e.s.Direct = recommended && cfg.Service == models.Service(models.Echo{})
	go func() {
		e.err = gnet.Run(e, cfg.Network+"://"+cfg.Address, gnet.WithOptions(o))
		select {
		case e.ready <- e.err:
		default:
		}
		close(e.done)
	}()
	err := <-e.ready
	if err == nil {
		err = adapter.Backlog(e.fd, cfg.Backlog)
		if err == nil {
			e.addr, err = adapter.AddrOf(e.fd)
		}
		if err != nil {
			e.Stop()
		}
	}
	if err != nil {
		e.free()
		return adapter.ListenError("gnet", cfg, err)
	}
	return nil
}

// OnBoot is called when gnet listens and its loops do not run yet.
func (e *engine) OnBoot(eng gnet.Engine) gnet.Action {
	fd, err := eng.Dup()
	if err != nil {
		e.ready <- err
		return gnet.Shutdown
	}
	e.fd, e.booted = fd, eng
	return gnet.None
}

// OnTick is called first when all loops run, which nothing else tells. From then
// on nothing is left to be made when Serve is called.
func (e *engine) OnTick() (time.Duration, gnet.Action) {
	e.ticked.Do(func() { e.ready <- nil })
	return time.Hour, gnet.None
}

func (e *engine) Addr() net.Addr { return e.addr }
func (e *engine) Listener() int  { return e.fd }

// Run lets the loops serve until they have stopped.
func (e *engine) Run() error {
	if !e.ran.Swap(true) {
		close(e.begin)
	}
	<-e.done
	e.free()
	return e.err
}

// Stop has gnet stop. Its own Stop looks twice a second whether that has
// happened, so nobody waits for it.
func (e *engine) Stop() {
	// gnet forgets the descriptors of connections that are on their way from the
	// loop that accepts to another when it stops.
	adapter.LetIn(e.fd)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = e.booted.Stop(ctx)
	if !e.ran.Swap(true) {
		close(e.begin)
		<-e.done
		e.free()
	}
}

func (e *engine) free() {
	if e.fd >= 0 {
		_ = unix.Close(e.fd)
		e.fd = -1
	}
}

// wire is a connection of gnet.
type wire struct {
	gnet.Conn
	c *adapter.Conn
}

// OnOpen is called in the loop that a connection was given to. Before Serve the
// loop waits here.
func (e *engine) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	<-e.begin
	w := &wire{Conn: gc}
	if w.c = e.s.Opened(w); w.c == nil {
		return nil, gnet.Close
	}
	gc.SetContext(w)
	return nil, gnet.None
}

// OnTraffic is called when gnet has read, and after Wake, with nothing then.
func (e *engine) OnTraffic(gc gnet.Conn) gnet.Action {
	w, ok := gc.Context().(*wire)
	if !ok {
		return gnet.Close
	}
	if data, _ := gc.Next(-1); len(data) > 0 {
		w.c.Received(data)
	} else {
		w.c.Poke()
	}
	return gnet.None
}

// OnClose is called in the loop, before what is pending is tried once more.
func (e *engine) OnClose(gc gnet.Conn, err error) gnet.Action {
	if w, ok := gc.Context().(*wire); ok {
		w.c.Closed(err)
	}
	return gnet.None
}

func (w *wire) Write(b []byte) error {
	_, err := w.Conn.Write(b)
	return err
}

func (w *wire) Pending() int     { return w.OutboundBuffered() }
func (w *wire) Drained() bool    { return w.OutboundBuffered() == 0 }
func (w *wire) Unread() int      { return adapter.Unread(w.Fd()) }
func (w *wire) CloseWrite() bool { return unix.Shutdown(w.Fd(), unix.SHUT_WR) == nil }
func (w *wire) Wake()            { _ = w.Conn.Wake(nil) }
func (w *wire) Close()           { _ = w.Conn.Close() }

// silent keeps gnet from writing to standard error what the statistics or an
// error say already.
type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) { os.Exit(1) }
