package calibrate

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func noServer(context.Context, string) (Server, error) { return nil, errors.New("no server today") }

// testServer serves in this process. Tests of behaviour need no process of its
// own; figures do.
type testServer struct {
	l        net.Listener
	received atomic.Int64 // bytes
	accepted atomic.Int64
	started  time.Time
	done     sync.WaitGroup
	broken   atomic.Int64 // from so many bytes on, a byte of what is echoed is wrong
	stop     func(context.Context) error
}

func (s *testServer) Addr() string                   { return s.l.Addr().String() }
func (s *testServer) CPU() (time.Duration, error)    { return time.Since(s.started), nil }
func (s *testServer) Quiesce(context.Context) error  { return nil }
func (s *testServer) Stop(ctx context.Context) error { return s.stop(ctx) }

// startServer starts a server of either service.
func startServer(t *testing.T, service string) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &testServer{l: l, started: time.Now()}
	if service == "http" {
		h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "Hello, World!")
		})}
		s.done.Go(func() { _ = h.Serve(l) })
		s.stop = func(context.Context) error { err := h.Close(); s.done.Wait(); return err }
	} else {
		s.done.Go(s.echo)
		s.stop = func(context.Context) error { err := l.Close(); s.done.Wait(); return err }
	}
	var once sync.Once
	stop := s.stop
	s.stop = func(ctx context.Context) (err error) { once.Do(func() { err = stop(ctx) }); return err }
	t.Cleanup(func() { _ = s.stop(context.Background()) })
	return s
}

func (s *testServer) echo() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.accepted.Add(1)
		s.done.Go(func() {
			defer c.Close()
			b := make([]byte, 4<<10)
			for {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				all, broken := s.received.Add(int64(n)), s.broken.Load()
				if broken > 0 && all >= broken {
					b[n-1] ^= 1
				}
				if _, err := c.Write(b[:n]); err != nil {
					return
				}
			}
		})
	}
}
