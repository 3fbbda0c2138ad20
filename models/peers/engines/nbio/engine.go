package main

import (
	"net"
	"runtime"
	"sync/atomic"

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"
	"golang.org/x/sys/unix"

	"netbench/internal/listen"
	"netbench/models"
	"netbench/models/peers/engines/adapter"
)

// engine runs nbio. Its pollers run from the start, and its listener lets nobody
// in before Run.
type engine struct {
	s    *adapter.Server
	gate *adapter.Gate
	nb   *nbio.Engine
	done chan struct{}
	ran  atomic.Bool

	starting atomic.Bool   // await is in progress
	reached  chan struct{} // gets a word when a poller has read what await sent
}

func newServer(recommended bool) models.Factory {
	return func(cfg models.Config) (models.Server, error) {
		cfg, err := cfg.Validate()
		if err != nil {
			return nil, err
		}
		variant := ""
		if recommended {
			variant = "recommended"
		}
		e := &engine{s: adapter.New(cfg, "nbio", variant), done: make(chan struct{}), reached: make(chan struct{}, 1)}
		e.s.Shared = true
		e.s.Direct = recommended && cfg.Service == models.Service(models.Echo{})
		if e.gate, err = adapter.NewGate(e.s, listen.Options{Model: "nbio"}); err != nil {
			return nil, err
		}
		e.nb = nbio.NewEngine(e.config(cfg, recommended))
		e.nb.OnOpen(e.opened)
		e.nb.OnData(func(c *nbio.Conn, data []byte) {
			switch w := c.Session().(type) {
			case *wire:
				w.c.Received(data)
			case chan struct{}:
				w <- struct{}{}
			}
		})
		e.nb.OnWrittenSize(func(c *nbio.Conn, _ []byte, n int) {
			if w, ok := c.Session().(*wire); ok && n > 0 {
				w.written.Add(uint64(n))
			}
		})
		e.nb.OnClose(func(c *nbio.Conn, err error) {
			if w, ok := c.Session().(*wire); ok {
				w.c.Closed(err)
			}
		})
		if err := e.nb.Start(); err != nil {
			_ = e.gate.Close()
			return nil, adapter.ListenError("nbio", cfg, err)
		}
		if err := e.await(); err != nil {
			_ = e.gate.Close()
			e.nb.Stop()
			return nil, adapter.ListenError("nbio", cfg, err)
		}
		return e.s.Attach(e), nil
	}
}

func init() {
	logging.SetLevel(logging.LevelNone)
	// nbio has an array of all descriptors that there may be: by default 2
	// million, 16 MiB.
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && limit.Max < uint64(nbio.MaxOpenFiles) {
		nbio.MaxOpenFiles = int(limit.Max)
	}
}

func (e *engine) config(cfg models.Config, recommended bool) nbio.Config {
	loops := cfg.Loops
	if loops == 0 {
		loops = runtime.GOMAXPROCS(0)
	}
	c := nbio.Config{
		Network:        cfg.Network,
		Addrs:          []string{cfg.Address},
		NPoller:        loops,
		ReadBufferSize: cfg.ReadBuffer,
		EpollMod:       nbio.EPOLLLT, // the default
		Listen:         func(string, string) (net.Listener, error) { return e.gate, nil },
	}
	if recommended {
		// The doc of Engine.SetLTSyncRead: as many pollers as processors that
		// read by themselves, level-triggered; and of Config: read buffers of
		// 64 KiB, threads locked or not as wished, not by default.
		c.ReadBufferSize = nbio.DefaultReadBufferSize
	}
	return c
}

func (e *engine) opened(nc *nbio.Conn) {
	if e.starting.Load() {
		nc.SetSession(e.reached)
		return
	}
	w := &wire{Conn: nc}
	nc.SetSession(w)
	if w.c = e.s.Opened(w); w.c == nil {
		// It came when the server had been stopped, which closes it.
		nc.SetSession(nil)
		e.gate.GiveBack()
	}
}

func (e *engine) Addr() net.Addr { return e.gate.Addr() }
func (e *engine) Listener() int  { return e.gate.Descriptor() }

// Run lets connections in until the engine is stopped.
func (e *engine) Run() error {
	if !e.ran.Swap(true) {
		e.gate.Open()
	}
	<-e.done
	return nil
}

// Stop closes all.
func (e *engine) Stop() {
	e.ran.Store(true)
	_ = e.gate.Close()
	e.nb.Stop()
	close(e.done)
}

// wire is a connection of nbio.
type wire struct {
	*nbio.Conn
	c       *adapter.Conn
	handed  uint64
	written atomic.Uint64
}

func (w *wire) Write(b []byte) error {
	w.handed += uint64(len(b))
	_, err := w.Conn.Write(b)
	return err
}

func (w *wire) Pending() int     { return int(w.handed - w.written.Load()) }
func (w *wire) Drained() bool    { return w.Pending() == 0 }
func (w *wire) Unread() int      { return adapter.Unread(w.Hash()) }
func (w *wire) CloseWrite() bool { return unix.Shutdown(w.Hash(), unix.SHUT_WR) == nil }
func (w *wire) Wake()            { w.c.Poke() }
func (w *wire) Close()           { _ = w.Conn.Close() }
