package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"netbench/internal/tcpserver"
	"netbench/models"
)

const (
	// restTime is how long a shutdown takes what a client has sent already.
	restTime = 100 * time.Millisecond

	// lingerTime is how long, at the end of a drained connection, what the client
	// still sends is discarded: closing with unread bytes would reset it, and a
	// reset destroys what the client has not read yet.
	lingerTime = 250 * time.Millisecond

	// restBuffer is the size of the buffer for both, in bytes.
	restBuffer = 16 << 10
)

// past is a deadline that wakes whoever is blocked.
var past = time.Unix(1, 0)

// direction is one half of a link.
type direction struct {
	src, dst *net.TCPConn
	moved    atomic.Uint64 // bytes that dst has taken
	ended    atomic.Bool   // dst has been told, or is about to be, that no more come
}

// link is a client's connection with the one to the upstream. It is a
// [tcpserver.Session].
type link struct {
	cfg    models.Config
	opts   Options
	engine engine
	client *net.TCPConn

	there, back direction // to the upstream, and to the client

	draining atomic.Bool

	dialing context.Context // ended by cut
	cancel  context.CancelFunc

	mu       sync.Mutex
	upstream *net.TCPConn // nil before there is one
	ended    bool         // both are closed
}

func newLink(cfg models.Config, o Options, e engine, client *net.TCPConn) *link {
	l := &link{cfg: cfg, opts: o, engine: e, client: client}
	l.dialing, l.cancel = context.WithCancel(context.Background())
	return l
}

// Serve connects to the upstream and passes bytes on in both directions until both
// have ended or one has failed.
func (l *link) Serve() error {
	if err := l.connect(); err != nil {
		l.end(reset)
		return err
	}
	var back error
	var other sync.WaitGroup
	other.Go(func() { back = l.carry(&l.back) })
	there := l.carry(&l.there)
	other.Wait()
	if l.draining.Load() {
		l.linger()
	}
	l.end(inOrder)
	return errors.Join(there, back)
}

// connect makes the connection to the upstream.
func (l *link) connect() error {
	d := net.Dialer{Timeout: l.opts.DialTimeout, KeepAlive: -1}
	d.SetMultipathTCP(false)
	nc, err := d.DialContext(l.dialing, "tcp", l.opts.Upstream)
	if err != nil {
		return err
	}
	up := nc.(*net.TCPConn)
	err = tcpserver.Configure(up, l.cfg)
	for _, c := range []*net.TCPConn{l.client, up} {
		if err == nil && l.opts.Congestion != "" {
			err = tcpserver.SetCongestion(c, l.opts.Congestion)
		}
	}
	if err != nil {
		return errors.Join(err, up.Close())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return errors.Join(net.ErrClosed, up.Close())
	}
	l.upstream = up
	l.there.src, l.there.dst = l.client, up
	l.back.src, l.back.dst = up, l.client
	return nil
}

// carry passes on one direction to its end, and then its end. If it fails, so does
// the whole link.
func (l *link) carry(d *direction) error {
	err := l.engine.move(d)
	if d == &l.there && l.draining.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		err = l.takeRest()
	}
	if err != nil {
		l.end(reset)
		return err
	}
	if l.broken(d) {
		l.end(reset)
		return errBroken
	}
	d.ended.Store(true)
	// Where the other side is gone, nobody misses the end; the other direction
	// finds out how it went.
	_ = d.dst.CloseWrite()
	return nil
}

// errBroken ends a direction whose source was reset without its noticing.
var errBroken = errors.New("proxy: the connection was reset")

// broken tells whether the end of the source's stream was in truth a reset. The kernel
// reports a reset to one call only. If that is a write of the other direction, this
// one's next read finds the end of the stream, and passing that on would make an answer
// that was cut off look whole. Such a connection is gone, although nobody here has ended
// it: the other direction says so before it does, so it has to be asked last.
func (l *link) broken(d *direction) bool {
	other := &l.there
	if d == other {
		other = &l.back
	}
	return gone(d.src) && !other.ended.Load()
}

// takeRest passes on what the client has sent before the shutdown woke us, which a
// client that goes on sending cannot prolong.
func (l *link) takeRest() error {
	_ = l.client.SetReadDeadline(time.Now().Add(restTime))
	err := passThrough(&l.there, make([]byte, restBuffer))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// linger discards what the client still sends, until it ends its stream too or the
// time is up.
func (l *link) linger() {
	_ = l.client.SetReadDeadline(time.Now().Add(lingerTime))
	discard := make([]byte, restBuffer)
	for {
		if _, err := l.client.Read(discard); err != nil {
			return
		}
	}
}

// passThrough moves bytes by a buffer.
func passThrough(d *direction, buf []byte) error {
	for {
		n, err := d.src.Read(buf)
		if n > 0 {
			w, werr := d.dst.Write(buf[:n])
			d.moved.Add(uint64(w))
			if werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// How a link ends.
const (
	inOrder = false
	reset   = true
)

// end closes both connections, the first time it is called. With reset, each peer is
// told that its connection has failed, and what it has not been sent is dropped.
func (l *link) end(reset bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	l.cancel()
	for _, c := range []*net.TCPConn{l.client, l.upstream} {
		if c == nil {
			continue
		}
		if reset {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
	}
}

// Drain wakes the direction that reads from the client.
func (l *link) Drain() {
	l.draining.Store(true)
	_ = l.client.SetReadDeadline(past)
}

// Cut closes both connections.
func (l *link) Cut() { l.end(inOrder) }

// Progress counts bytes both ways, on Linux also within one long write or splice;
// elsewhere one that takes longer than the idle time-out is cut.
func (l *link) Progress() uint64 {
	client, upstream := l.connections()
	return l.there.moved.Load() + l.back.moved.Load() + tcpserver.Transferred(client) + tcpserver.Transferred(upstream)
}

// AddTo adds what has been passed on.
func (l *link) AddTo(s *models.Stats) {
	s.BytesIn += l.there.moved.Load()
	s.BytesOut += l.back.moved.Load()
}

// connections returns both connections, of which the second may be nil yet.
func (l *link) connections() (client, upstream *net.TCPConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.client, l.upstream
}
