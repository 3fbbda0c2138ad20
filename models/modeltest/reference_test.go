package modeltest

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"netbench/models"
)

// drainGrace is how long a connection that is being drained may take to hand
// out what the kernel already has of it.
const drainGrace = 10 * time.Millisecond

// drainTries is how often in a row nothing has to be found within drainGrace
// before there is nothing: on a host that stands still, the deadline of a read
// or accept may be over before it is tried.
const drainTries = 2

// drainBacklog is how many connections are taken from the backlog after
// Shutdown has begun. Without a bound, peers that keep coming would be served
// for ever.
const drainBacklog = 128

// reference is a small correct server, a goroutine per connection, that can be
// made wrong in one way at a time.
type reference struct {
	*breakage
	config   models.Config
	listener net.Listener
	address  net.Addr

	slots    chan struct{} // holds a token for each connection served; nil without a limit
	draining chan struct{} // closed when Shutdown or Close begins
	closing  chan struct{} // closed when Close begins
	accepted chan struct{} // closed when Serve accepts no more
	drain    func()
	kill     func()

	sessions  sync.WaitGroup
	shutdowns atomic.Int64
	closes    atomic.Int64

	mu     sync.Mutex
	served bool // Serve was called in time
	conns  map[*connection]struct{}

	onePending sync.Mutex // for flaws
	oneWork    sync.Mutex
	shared     []byte

	stats counters
}

type counters struct {
	accepted, rejected, acceptErrors, idleClosed atomic.Uint64
	connErrors, paused, bytesIn, bytesOut        atomic.Uint64
	active                                       atomic.Int64
}

// factory makes reference servers that have b's flaw.
func (b *breakage) factory(c models.Config) (models.Server, error) {
	c, err := b.validate(c)
	if err != nil {
		return nil, err
	}
	r := &reference{
		breakage: b, config: c, conns: map[*connection]struct{}{},
		draining: make(chan struct{}), closing: make(chan struct{}), accepted: make(chan struct{}),
		shared: make([]byte, c.ReadBuffer),
	}
	r.drain = sync.OnceFunc(func() { close(r.draining) })
	r.kill = sync.OnceFunc(func() { r.drain(); close(r.closing) })
	if c.MaxConns != models.NoLimit && b.flaw != flawNoLimit {
		r.slots = make(chan struct{}, c.MaxConns)
	}
	r.listener, err = net.Listen(c.Network, c.Address)
	if err != nil && b.flaw == flawFallsBack {
		r.listener, err = net.Listen("tcp4", "127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	r.address = r.listener.Addr()
	if b.flaw == flawListensLate {
		return r, r.listener.Close()
	}
	return r, nil
}

func (r *reference) Addr() net.Addr { return r.address }

func (r *reference) Stats() models.Stats {
	c := &r.stats
	if r.flaw == flawForgetsStats && r.closes.Load() > 0 {
		c = new(counters)
	}
	return models.Stats{
		Model: "reference", Accepted: c.accepted.Load(), Active: c.active.Load(),
		Rejected: c.rejected.Load(), AcceptErrors: c.acceptErrors.Load(), IdleClosed: c.idleClosed.Load(),
		ConnErrors: c.connErrors.Load(), Paused: c.paused.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
	}
}

func (r *reference) Serve() error {
	r.mu.Lock()
	if isClosed(r.draining) {
		r.mu.Unlock()
		return r.serveError()
	}
	r.served = true
	if r.flaw == flawListensLate {
		l, err := net.Listen(r.address.Network(), r.address.String())
		if err != nil {
			r.mu.Unlock()
			close(r.accepted)
			return err
		}
		r.listener = l
	}
	r.mu.Unlock()
	defer close(r.accepted)
	defer func() { _ = r.listener.Close() }()

	const longest = 100 * time.Millisecond
	found, late := drainTries, 0
	for delay := time.Millisecond; ; {
		if !r.takeSlot() {
			return r.serveError()
		}
		if r.flaw == flawDropsBacklog {
			time.Sleep(2 * time.Millisecond)
		}
		conn, err := r.listener.Accept()
		if err == nil {
			delay, found = time.Millisecond, drainTries
			r.admit(conn)
			if isClosed(r.stopAccepting()) {
				if late++; late == drainBacklog {
					return r.serveError()
				}
			}
			continue
		}
		r.giveSlot()
		if isClosed(r.draining) {
			if found--; found < 0 || r.interruptAccept() != nil {
				return r.serveError()
			}
			continue
		}
		r.stats.acceptErrors.Add(1)
		switch r.flaw {
		case flawSpins:
			continue
		case flawDies:
			return err
		}
		select {
		case <-time.After(delay):
			delay = min(2*delay, longest)
		case <-r.draining:
		}
	}
}

// interruptAccept limits the time in which the backlog is emptied.
func (r *reference) interruptAccept() error {
	return r.listener.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(drainGrace))
}

// takeSlot waits for room under MaxConns where that is the policy.
func (r *reference) takeSlot() bool {
	if r.slots == nil || r.config.OnLimit == models.Reject || r.flaw == flawLateSemaphore {
		return true
	}
	select {
	case r.slots <- struct{}{}: // first, as what is in the backlog is served also while the server drains
		return true
	default:
	}
	select {
	case r.slots <- struct{}{}:
		return true
	case <-r.stopAccepting():
		return false
	}
}

func (r *reference) stopAccepting() <-chan struct{} {
	if r.flaw == flawKeepsListening {
		return r.closing
	}
	return r.draining
}

func (r *reference) giveSlot() {
	if r.slots != nil && r.config.OnLimit == models.Wait && r.flaw != flawLateSemaphore {
		<-r.slots
	}
}

// admit gives a new connection a goroutine, or closes it.
func (r *reference) admit(conn net.Conn) {
	if r.slots != nil && r.config.OnLimit == models.Reject {
		select {
		case r.slots <- struct{}{}:
		default:
			if r.flaw != flawRejectsUncounted {
				r.stats.rejected.Add(1)
			}
			if r.flaw == flawHoldsRejected {
				r.keep(conn)
				return
			}
			_ = conn.Close()
			return
		}
	}
	if t, ok := conn.(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	}); ok && r.config.SendBuffer > 0 {
		_, _ = t.SetReadBuffer(r.config.RecvBuffer), t.SetWriteBuffer(r.config.SendBuffer)
	}
	c := &connection{r: r, Conn: conn, last: time.Now(), need: 1}
	r.mu.Lock()
	if isClosed(r.closing) {
		r.mu.Unlock()
		_ = conn.Close()
		r.leave()
		return
	}
	r.conns[c] = struct{}{}
	r.mu.Unlock()
	r.sessions.Add(1)
	if r.flaw == flawOneByOne {
		r.attend(c)
		return
	}
	go r.attend(c)
}

// leave frees the slot of a connection.
func (r *reference) leave() {
	if r.slots != nil {
		<-r.slots
	}
}

// attend serves one connection from beginning to end.
func (r *reference) attend(c *connection) {
	defer r.sessions.Done()
	if r.slots != nil && r.flaw == flawLateSemaphore {
		select {
		case r.slots <- struct{}{}:
		case <-r.closing:
			_ = c.Close()
			return
		}
	}
	r.stats.accepted.Add(1)
	r.stats.active.Add(1)
	switch r.flaw {
	case flawLeaksGoroutine:
		go func() { <-r.release }()
	case flawLeaksDescriptor:
		if f, err := os.Open(os.DevNull); err == nil {
			r.keep(f)
		}
	}

	err := c.converse()
	_ = c.Close()
	r.mu.Lock()
	delete(r.conns, c)
	r.mu.Unlock()
	broken := false
	switch {
	case err == nil, isClosed(r.closing):
	case errors.Is(err, errIdle) && r.flaw == flawIdleIsError:
		r.stats.connErrors.Add(1)
	case errors.Is(err, errIdle):
		r.stats.idleClosed.Add(1)
	default:
		broken = true
		r.stats.connErrors.Add(1)
	}
	if !broken || r.flaw != flawActiveStuck {
		r.stats.active.Add(-1)
	}
	if !broken || r.flaw != flawSlotLost {
		r.leave()
	}
	if broken && r.flaw == flawDiesOfReset {
		r.kill()
		_ = r.listener.Close()
	}
}

// Shutdown has the accept loop empty the backlog, and interrupts readers.
func (r *reference) Shutdown(ctx context.Context) error {
	if r.shutdowns.Add(1) > 1 && r.flaw == flawShutsDownOnce {
		return errors.New("already shutting down")
	}
	if r.flaw == flawShutdownCloses {
		return r.Close()
	}
	r.mu.Lock()
	r.drain()
	served := r.served
	switch {
	case !served || r.flaw == flawDropsBacklog:
		_ = r.listener.Close()
	case r.flaw != flawKeepsListening:
		_ = r.interruptAccept()
	}
	for c := range r.conns {
		if r.flaw == flawCutsWork && c.working.Load() {
			_ = c.Close()
		}
		if r.flaw != flawKeepsIdle {
			c.interrupt()
		}
	}
	r.mu.Unlock()

	empty := make(chan struct{})
	go func() {
		defer close(empty)
		if served && r.flaw != flawKeepsListening {
			<-r.accepted
		}
		r.sessions.Wait()
	}()
	if r.flaw == flawIgnoresContext {
		<-empty
	}
	select {
	case <-empty:
		return r.Close()
	default:
	}
	select {
	case <-empty:
		return r.Close()
	case <-ctx.Done():
		err := r.Close()
		<-empty
		if r.flaw == flawHidesContext {
			return err
		}
		return ctx.Err()
	}
}

func (r *reference) Close() error {
	if r.closes.Add(1) > 1 && r.flaw == flawClosesOnce {
		return net.ErrClosed
	}
	r.mu.Lock()
	served := r.served
	if r.flaw == flawCloseDrains {
		r.drain()
		for c := range r.conns {
			c.interrupt()
		}
		r.mu.Unlock()
		r.sessions.Wait()
		r.mu.Lock()
	}
	r.kill()
	if !served && r.flaw == flawNeedsServe {
		r.keep(r.listener)
	} else {
		_ = r.listener.Close()
	}
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	if served {
		<-r.accepted
	}
	if r.flaw != flawCloseHurries {
		r.sessions.Wait()
	}
	return nil
}

func (r *reference) serveError() error {
	switch r.flaw {
	case flawServeNil:
		return nil
	case flawServeRaw:
		return net.ErrClosed
	}
	return models.ErrServerClosed
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
