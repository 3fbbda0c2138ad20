package main

import (
	"net"
	"reflect"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/tidwall/evio"
	"golang.org/x/sys/unix"

	"netbench/models"
	"netbench/models/peers/engines/adapter"
)

// engine runs evio. It listens when it is made; its loops start with Run.
type engine struct {
	s        *adapter.Server
	fd       int
	addr     net.Addr
	ready    chan error
	open     chan struct{} // closed when connections are served, or nothing is
	done     chan struct{}
	err      error
	ran      atomic.Bool
	stopping atomic.Bool
	since    time.Time // when the loops were let go
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
		e := &engine{
			s: adapter.New(cfg, "evio", variant), fd: -1,
			ready: make(chan error, 1), open: make(chan struct{}), done: make(chan struct{}),
		}
		e.s.Blind = true
		e.s.Direct = recommended && cfg.Service == models.Service(models.Echo{})
		if err := e.listen(cfg, recommended); err != nil {
			return nil, err
		}
		return e.s.Attach(e), nil
	}
}

func (e *engine) listen(cfg models.Config, recommended bool) error {
	loops := cfg.Loops
	if loops == 0 {
		loops = runtime.GOMAXPROCS(0)
	}
	balance := evio.Random // the default
	if recommended {
		// README, "Load balancing": the loop with the fewest connections
		// accepts.
		balance = evio.LeastConnections
	}
	before, err := adapter.Polls()
	if err != nil {
		return err
	}
	go func() {
		e.err = evio.Serve(evio.Events{
			NumLoops: loops, LoadBalance: balance,
			Serving: e.serving, Opened: e.opened, Data: e.data, Closed: e.closed,
		}, cfg.Network+"://"+cfg.Address)
		select {
		case e.ready <- e.err:
		default:
		}
		close(e.done)
	}()
	if err := <-e.ready; err != nil {
		return adapter.ListenError("evio", cfg, err)
	}
	fd, err := adapter.OwnListener(e.addr)
	if err == nil {
		e.fd = fd
		err = adapter.Backlog(fd, cfg.Backlog)
	}
	if err == nil {
		err = adapter.Inherit(fd, cfg)
	}
	if err == nil {
		err = adapter.AwaitPolls(before + loops)
	}
	if err != nil {
		e.Stop()
		return adapter.ListenError("evio", cfg, err)
	}
	return nil
}

// serving is called when evio listens and its loops are about to run. They wait in
// opened for Serve.
func (e *engine) serving(s evio.Server) evio.Action {
	e.addr, e.since = s.Addrs[0], time.Now()
	e.ready <- nil
	return evio.None
}

func (e *engine) Addr() net.Addr { return e.addr }
func (e *engine) Listener() int  { return e.fd }

// Run lets the loops run until they have stopped.
func (e *engine) Run() error {
	if !e.ran.Swap(true) {
		close(e.open)
	}
	<-e.done
	return e.err
}

// settle is how long evio gets from its start to where it waits for its end. It
// misses a signal that comes before, and does not look whether there was one.
const settle = 50 * time.Millisecond

// Stop has evio stop. There is no call for that; a handler has to return Shutdown,
// and the one for a new connection always can.
func (e *engine) Stop() {
	if !e.ran.Swap(true) {
		defer close(e.open)
	}
	e.stopping.Store(true)
	time.Sleep(time.Until(e.since.Add(settle)))
	for {
		nc, err := net.DialTimeout(e.addr.Network(), e.addr.String(), time.Second)
		if err == nil {
			_ = nc.Close()
		}
		select {
		case <-e.done:
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (e *engine) opened(ec evio.Conn) ([]byte, evio.Options, evio.Action) {
	options := evio.Options{ReuseInputBuffer: true}
	if e.stopping.Load() {
		return nil, options, evio.Shutdown
	}
	<-e.open
	w := &wire{conn: ec, many: e.s.Config.MaxPending, fd: int(inside(ec, fieldFD).Int())}
	if w.c = e.s.Opened(w); w.c == nil {
		return nil, options, evio.Close
	}
	ec.SetContext(w)
	return nil, options, evio.None
}

// data is called when evio has read, which it does when all output has been
// written, and after Wake, with nothing then.
func (e *engine) data(ec evio.Conn, in []byte) ([]byte, evio.Action) {
	w, ok := ec.Context().(*wire)
	if !ok {
		return nil, evio.Close
	}
	if len(in) > 0 {
		w.reading = true
		w.c.Received(in)
		w.reading = false
	} else {
		w.c.Poke()
	}
	action := evio.None
	if w.closing.Load() {
		action = evio.Close
		if w.owed() > 0 {
			// evio would write it first, however long that takes.
			_ = unix.Shutdown(w.fd, unix.SHUT_RDWR)
		}
	}
	// What is returned after a Wake replaces what has not been written.
	if len(w.out) == 0 || len(in) == 0 && w.owed() > 0 {
		return nil, action
	}
	out := w.out
	w.out = nil
	if cap(out) <= 2*pageSize {
		w.out = out[:0] // evio has its own copy when this is used again
	}
	return out, action
}

// pageSize is up to where evio keeps an output buffer itself.
const pageSize = 4096

func (e *engine) closed(ec evio.Conn, err error) evio.Action {
	if w, ok := ec.Context().(*wire); ok {
		w.c.Closed(err)
	}
	return evio.None
}

// wire is a connection of evio.
type wire struct {
	conn    evio.Conn
	fd      int
	reading bool // Received is in progress
	slow    bool // output was found pending
	many    int  // bytes
	c       *adapter.Conn
	out     []byte
	closing atomic.Bool
}

func (w *wire) Write(b []byte) error {
	w.out = append(w.out, b...)
	return nil
}

// Pending counts what evio is being handed as pending only where it may matter:
// if it is much, or the connection has been slow before. Anything less is taken
// for written, since a look into evio in every exchange would cost too much.
func (w *wire) Pending() int {
	n := len(w.out)
	if !w.reading { // else evio has nothing left
		n += w.owed()
	}
	if n > len(w.out) || n > w.many {
		w.slow = true
	} else if n == 0 {
		w.slow = false
	}
	if !w.slow {
		return 0
	}
	return n
}

func (w *wire) Drained() bool    { return len(w.out) == 0 && w.owed() == 0 }
func (w *wire) Unread() int      { return adapter.Unread(w.fd) }
func (w *wire) CloseWrite() bool { return unix.Shutdown(w.fd, unix.SHUT_WR) == nil }
func (w *wire) Wake()            { w.conn.Wake() }

// Close has the connection closed, and what is pending dropped.
func (w *wire) Close() {
	if !w.closing.Swap(true) {
		w.conn.Wake()
	}
}

// Fields of evio's connection, of version 1.0.8. Without its descriptor neither
// half of a connection could be closed, and without the length of its output
// nobody could tell when all is written; evio has no way to ask.
const (
	fieldFD  = "fd"
	fieldOut = "out"
)

// inside returns what is in a field of evio's connection. It is called where evio
// calls its handlers, and reads only.
func inside(ec evio.Conn, field string) reflect.Value {
	return reflect.ValueOf(ec).Elem().FieldByName(field)
}

func (w *wire) owed() int { return inside(w.conn, fieldOut).Len() }
