package goroutine

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/models"
)

// pipeListener is a listener without a network, for tests in which time is
// simulated. Its connections are pipes, which have no buffer: a write lasts
// until it is read.
type pipeListener struct {
	arrivals chan arrival
	closing  chan struct{}
	close    func()

	mu       sync.Mutex
	deadline time.Time
	moved    chan struct{} // closed when the deadline is moved
	accepts  []time.Time   // when Accept was called
}

// arrival is what one Accept returns.
type arrival struct {
	nc  net.Conn
	err error
}

func newPipeListener() *pipeListener {
	l := &pipeListener{
		arrivals: make(chan arrival, 100),
		closing:  make(chan struct{}),
		moved:    make(chan struct{}),
	}
	l.close = sync.OnceFunc(func() { close(l.closing) })
	return l
}

func (l *pipeListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.accepts = append(l.accepts, time.Now())
	l.mu.Unlock()
	for {
		l.mu.Lock()
		deadline, moved := l.deadline, l.moved
		l.mu.Unlock()
		var expired <-chan time.Time
		if !deadline.IsZero() {
			wait := time.Until(deadline)
			if wait <= 0 {
				return nil, os.ErrDeadlineExceeded
			}
			expired = time.After(wait)
		}
		select {
		case <-l.closing:
			return nil, net.ErrClosed
		case a := <-l.arrivals:
			return a.nc, a.err
		case <-expired:
		case <-moved:
		}
	}
}

func (l *pipeListener) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = t
	close(l.moved)
	l.moved = make(chan struct{})
	return nil
}

func (l *pipeListener) Close() error   { l.close(); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// accepted is when Accept was called, each time.
func (l *pipeListener) accepted() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.accepts)
}

// connect makes a connection to whoever accepts.
func (l *pipeListener) connect() net.Conn {
	client, server := net.Pipe()
	l.arrivals <- arrival{nc: server}
	return client
}

func (l *pipeListener) fail(err error) {
	l.arrivals <- arrival{err: &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}}
}

var errNoDescriptors error = syscall.EMFILE

// pipeServer serves on pipes. The channel carries what Serve returns.
func pipeServer(t *testing.T, cfg models.Config) (*server, *pipeListener, <-chan error) {
	t.Helper()
	cfg, err := cfg.Validate()
	require.NoError(t, err)
	l := newPipeListener()
	s := newServer(cfg, Options{}, l)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	return s, l, served
}

// exchange sends a request and reads a reply of the same length.
func exchange(t *testing.T, nc net.Conn, request string) string {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(nc, request)
		sent <- err
	}()
	reply := make([]byte, len(request))
	_, err := io.ReadFull(nc, reply)
	require.NoError(t, err)
	require.NoError(t, <-sent)
	return string(reply)
}

// untilClosed reads until the connection ends and returns how long it took.
func untilClosed(t *testing.T, nc net.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	n, err := nc.Read(make([]byte, 1))
	require.Zero(t, n)
	require.ErrorIs(t, err, io.EOF)
	return time.Since(start)
}
