//go:build linux

package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/models"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv("NETBENCH_TEST_FOREIGN"); addr != "" {
		serveForeign(addr)
	}
	Main(map[string]models.Factory{
		"echo":   newEcho,
		"deaf":   func(models.Config) (models.Server, error) { return nil, errors.New("no listener to be had") },
		"panic":  with(func(e *echo) { e.serve = func() error { panic("serving is not for me") } }),
		"broken": with(func(e *echo) { e.serve = func() error { return errors.New("the listener broke") } }),
		"stuck": with(func(e *echo) {
			e.shutdown = func(ctx context.Context) error {
				<-ctx.Done()
				return fmt.Errorf("one connection would not end: %w", ctx.Err())
			}
		}),
		"spinning": with(func(e *echo) {
			go func() {
				for e.turns.Add(1) > 0 {
				}
			}()
		}),
		"parent": func(c models.Config) (models.Server, error) {
			s, err := newEcho(c)
			if err != nil {
				return nil, err
			}
			return &parent{echo: s.(*echo)}, nil
		},
		"hoarding": with(func(e *echo) { e.hoard = make([]byte, 64<<20) }),
	}, commander)
	goleak.VerifyTestMain(m)
}

// echo is the least that can be measured: a goroutine per connection that
// returns what it reads.
type echo struct {
	config   models.Config
	listener net.Listener
	serve    func() error
	shutdown func(context.Context) error
	turns    atomic.Int64
	hoard    []byte

	accepted atomic.Uint64
	conns    sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool
}

func newEcho(c models.Config) (models.Server, error) {
	c, err := c.Validate()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen(c.Network, c.Address)
	if err != nil {
		return nil, err
	}
	e := &echo{config: c, listener: l, open: map[net.Conn]bool{}}
	e.serve = e.accept
	e.shutdown = func(context.Context) error { return e.Close() }
	return e, nil
}

func with(change func(*echo)) models.Factory {
	return func(c models.Config) (models.Server, error) {
		s, err := newEcho(c)
		if err == nil {
			change(s.(*echo))
		}
		return s, err
	}
}

func (e *echo) Addr() net.Addr                     { return e.listener.Addr() }
func (e *echo) Serve() error                       { return e.serve() }
func (e *echo) Shutdown(ctx context.Context) error { return e.shutdown(ctx) }

func (e *echo) Stats() models.Stats {
	return models.Stats{
		Model:    "echo",
		Variant:  fmt.Sprintf("%s buffer=%d max=%d hoard=%d", e.config.Service.Name(), e.config.ReadBuffer, e.config.MaxConns, len(e.hoard)),
		Accepted: e.accepted.Load(),
	}
}

func (e *echo) accept() error {
	for {
		c, err := e.listener.Accept()
		if err != nil {
			return models.ErrServerClosed
		}
		e.accepted.Add(1)
		e.mu.Lock()
		e.open[c] = true
		e.mu.Unlock()
		e.conns.Go(func() {
			buffer := make([]byte, e.config.ReadBuffer)
			for {
				n, err := c.Read(buffer)
				if err != nil {
					break
				}
				if _, err := c.Write(buffer[:n]); err != nil {
					break
				}
			}
			c.Close()
		})
	}
}

func (e *echo) Close() error {
	e.listener.Close()
	e.mu.Lock()
	for c := range e.open {
		c.Close()
	}
	e.mu.Unlock()
	e.conns.Wait()
	return nil
}

// leaveNothing fails the test if, when everything else of it is over, it has
// left a goroutine or a descriptor behind.
func leaveNothing(t *testing.T) {
	t.Helper()
	// The runtime's poller has descriptors of its own from the first pipe on.
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, errors.Join(r.Close(), w.Close()))
	before, err := countDescriptors()
	require.NoError(t, err)
	t.Cleanup(func() {
		goleak.VerifyNone(t)
		after, err := countDescriptors()
		require.NoError(t, err)
		require.Equal(t, before, after, "descriptors were left open")
	})
}

// startServer starts a server that is gone when the test ends.
func startServer(t *testing.T, spec ServerSpec) *Server {
	t.Helper()
	if spec.Service == "" {
		spec.Service = "echo"
	}
	spec.StartTimeout = time.Minute // the machine may be busy
	s, err := StartServer(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Kill()) })
	return s
}

// dial connects to a server.
func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial(s.Network(), s.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return c
}

// exchange sends a message n times and reads it back.
func exchange(t *testing.T, c net.Conn, n int) {
	t.Helper()
	message, reply := []byte("hello, server"), make([]byte, 13)
	for range n {
		_, err := c.Write(message)
		require.NoError(t, err)
		for got := 0; got < len(message); {
			k, err := c.Read(reply[got:])
			require.NoError(t, err)
			got += k
		}
		require.Equal(t, message, reply)
	}
}

// serveForeign is a server that knows nothing of netbench. It never returns.
func serveForeign(addr string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			_, _ = io.Copy(c, c)
			c.Close()
		}()
	}
}
