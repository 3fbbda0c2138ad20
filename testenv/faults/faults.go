package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/rs/zerolog"
)

// dialTimeout bounds the attempt to reach the server for a client that came.
const dialTimeout = 10 * time.Second

// Stream is a proxy before one server. Its methods may be called from several
// goroutines. Faults add up until Heal. They do not hold back what a connection has
// on its way already, at most one buffer.
type Stream struct {
	listener net.Listener
	server   *toxiproxy.ApiServer
	proxy    *toxiproxy.Proxy // for its chain only; it never listens
	stop     context.CancelFunc
	stopped  chan struct{} // accepting has ended
	onEnd    func() bool

	up, down *valve

	mu        sync.Mutex
	upstream  string
	pairs     map[*pair]bool
	accepted  int
	resetting bool
	closed    bool

	links sync.WaitGroup // two for each pair
}

// New listens on a port of 127.0.0.1 and connects every client to upstream,
// host:port, without faults at first. When ctx ends, it stops and resets what is
// open, but only Close makes sure that nothing is left. A client whose server cannot
// be reached is reset.
func New(ctx context.Context, upstream string) (*Stream, error) {
	if err := check(upstream); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("faults before %s: %w", upstream, err)
	}
	register()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	dialling, stop := context.WithCancel(ctx)
	s := &Stream{
		upstream: upstream, listener: listener, server: server,
		proxy: toxiproxy.NewProxy(server, "faults", listener.Addr().String(), upstream),
		stop:  stop, stopped: make(chan struct{}), pairs: map[*pair]bool{},
	}
	s.up, err = s.valve(stream.Upstream)
	if err == nil {
		s.down, err = s.valve(stream.Downstream)
	}
	if err != nil {
		stop()
		return nil, errors.Join(err, listener.Close())
	}
	go s.accept(dialling)
	s.onEnd = context.AfterFunc(ctx, func() { s.close() })
	return s, nil
}

// valve puts one into the chain of a direction, which has nothing else.
func (s *Stream) valve(way stream.Direction) (*valve, error) {
	added, err := s.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name": %q, "type": %q, "stream": %q}`, way, valveType, way)))
	if err != nil {
		return nil, fmt.Errorf("faults before %s: %w", s.upstream, err)
	}
	return added.Toxic.(*valve), nil // as registered
}

// Addr is where clients connect, host:port.
func (s *Stream) Addr() string { return s.listener.Addr().String() }

// Accepted is how many clients came so far.
func (s *Stream) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Lead connects clients that come from now on to another server, host:port, as one
// that was started anew may be elsewhere. Connections that are open stay where they
// are.
func (s *Stream) Lead(upstream string) error {
	if err := check(upstream); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upstream = upstream
	return nil
}

func check(upstream string) error {
	if _, port, err := net.SplitHostPort(upstream); err != nil || port == "" {
		return fmt.Errorf("faults before %q: not an address (want host:port)", upstream)
	}
	return nil
}

func (s *Stream) accept(ctx context.Context) {
	defer close(s.stopped)
	dialer := net.Dialer{Timeout: dialTimeout}
	for {
		client, err := s.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			select { // such as no descriptors left
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		s.mu.Lock()
		s.accepted++
		resetting, upstream := s.resetting, s.upstream
		s.mu.Unlock()
		if resetting {
			reset(client)
			continue
		}
		server, err := dialer.DialContext(ctx, "tcp", upstream)
		if err != nil {
			reset(client)
			continue
		}
		s.pass(client, server)
	}
}

// pass starts the two directions of a connection.
func (s *Stream) pass(client, server net.Conn) {
	p := &pair{client: client, server: server, of: s, left: 2}
	s.mu.Lock()
	if s.closed || s.resetting {
		s.mu.Unlock()
		p.reset()
		return
	}
	s.pairs[p] = true
	s.links.Add(2)
	s.mu.Unlock()
	up := &direction{pair: p, from: client, to: server}
	down := &direction{pair: p, from: server, to: client}
	name := strconv.FormatUint(serial.Add(1), 10)
	s.proxy.Toxics.StartLink(s.server, name+" up", up, up, stream.Upstream)
	s.proxy.Toxics.StartLink(s.server, name+" down", down, down, stream.Downstream)
}

// all are the connections that are open now.
func (s *Stream) all() []*pair {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pairs []*pair
	for p := range s.pairs {
		pairs = append(pairs, p)
	}
	return pairs
}

// Reset resets all connections, on both sides, and from now on each new one as
// soon as it is accepted.
func (s *Stream) Reset() {
	s.mu.Lock()
	s.resetting = true
	s.mu.Unlock()
	for _, p := range s.all() {
		p.reset()
	}
}

// Stall lets nothing pass in either direction: no byte and no end of a stream. What
// is sent meanwhile waits, and passes after Heal. A peer's reset does pass.
func (s *Stream) Stall() {
	s.fault(func(f *settings) { f.stalled = true }, s.up, s.down)
}

// SlowClose passes the end of a stream, in either direction, this much later, above
// 0; bytes pass at once.
func (s *Stream) SlowClose(delay time.Duration) error {
	if delay <= 0 {
		return fmt.Errorf("faults: close %v late (want more than 0)", delay)
	}
	s.fault(func(f *settings) { f.delay = delay }, s.up, s.down)
	return nil
}

// CutAfter closes a connection, on both sides, when it has passed so many bytes
// from the server to the client, at least 1: those of an open connection count from
// now. What comes after them is lost, and so may be what the client was sending.
func (s *Stream) CutAfter(bytes int64) error {
	if bytes < 1 {
		return fmt.Errorf("faults: cut after %d bytes (want 1 or more)", bytes)
	}
	s.fault(func(f *settings) { f.limit, f.limited = bytes, f.limited+1 }, s.down)
	return nil
}

// fault changes directions, unless the end has begun: nothing may hold it up.
func (s *Stream) fault(change func(*settings), ways ...*valve) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, v := range ways {
		v.set(change)
	}
}

// Heal takes all faults away. What waited passes now; connections that were reset
// or cut remain so.
func (s *Stream) Heal() {
	s.mu.Lock()
	s.resetting = false
	s.mu.Unlock()
	s.open()
}

// open takes the faults away that hold something up.
func (s *Stream) open() {
	for _, v := range []*valve{s.up, s.down} {
		v.set(func(f *settings) { *f = settings{limited: f.limited} })
	}
}

// Close stops listening, resets what is open and returns when nothing of it is
// left. A second Close waits likewise.
func (s *Stream) Close() {
	s.onEnd()
	s.close()
	<-s.stopped
	s.links.Wait()
}

// close begins the end.
func (s *Stream) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.listener.Close()
	for _, p := range s.all() {
		p.reset()
	}
	s.open() // lets what is stalled end
}
