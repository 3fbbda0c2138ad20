package tcpserver_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/tcpserver"
	"netbench/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every exchange of a test.
const patience = 20 * time.Second

// echoing is a session that returns what it gets. When it is drained it ends, unless it
// is stubborn.
type echoing struct {
	c             *net.TCPConn
	stubborn      bool
	moved         atomic.Uint64
	drained, cuts atomic.Int64
}

var errBroken = errors.New("broken")

func (e *echoing) Serve() error {
	defer e.c.Close()
	buf := make([]byte, 1024)
	for {
		n, err := e.c.Read(buf)
		e.moved.Add(uint64(n))
		if _, werr := e.c.Write(buf[:n]); werr != nil {
			return werr
		}
		switch {
		case n > 0 && buf[0] == '!':
			return errBroken
		case err == io.EOF, errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		}
	}
}

func (e *echoing) Drain() {
	e.drained.Add(1)
	if !e.stubborn {
		_ = e.c.SetReadDeadline(time.Unix(1, 0))
	}
}

func (e *echoing) Cut()                   { e.cuts.Add(1); _ = e.c.Close() }
func (e *echoing) Progress() uint64       { return e.moved.Load() + tcpserver.Transferred(e.c) }
func (e *echoing) AddTo(s *models.Stats)  { s.BytesIn += e.moved.Load() }
func (e *echoing) counts() (d, cut int64) { return e.drained.Load(), e.cuts.Load() }

// serving is a server with the sessions that it has made.
type serving struct {
	*tcpserver.Server
	mu       sync.Mutex
	sessions []*echoing
	ended    chan error // of Serve
}

// listen makes a server that is closed when the test ends.
func listen(t *testing.T, cfg models.Config, stubborn bool) *serving {
	t.Helper()
	s := &serving{ended: make(chan error, 1)}
	cfg.Service = models.Echo{}
	var err error
	s.Server, err = tcpserver.New(cfg, models.Stats{Model: "echoing", Variant: "test"}, func(c *net.TCPConn) tcpserver.Session {
		e := &echoing{c: c, stubborn: stubborn}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sessions = append(s.sessions, e)
		return e
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// serve runs it.
func (s *serving) serve(t *testing.T) {
	go func() { s.ended <- s.Serve() }()
	t.Cleanup(func() {
		assert.NoError(t, s.Close())
		assert.ErrorIs(t, <-s.ended, models.ErrServerClosed)
	})
}

// all returns the sessions that were made so far.
func (s *serving) all() []*echoing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sessions)
}

func (s *serving) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.Addr().String(), patience)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

func exchange(t *testing.T, c net.Conn, message string) {
	t.Helper()
	_, err := c.Write([]byte(message))
	require.NoError(t, err)
	got := make([]byte, len(message))
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, message, string(got))
}

func TestStatisticsCountSessionsThatRunAndThoseThatHaveEnded(t *testing.T) {
	s := listen(t, models.Config{}, false)
	s.serve(t)
	stays, goes, breaks := s.dial(t), s.dial(t), s.dial(t)
	exchange(t, stays, "abc")
	exchange(t, goes, "de")
	exchange(t, breaks, "!")
	require.NoError(t, goes.Close())
	require.Eventually(t, func() bool { return s.Stats().Active == 1 }, patience, time.Millisecond)
	assert.Equal(t, models.Stats{
		Model: "echoing", Variant: "test", Accepted: 3, Active: 1, BytesIn: 6, ConnErrors: 1,
	}, s.Stats())
}

func TestShutdownDrainsEachSessionOnceAndWaitsForAll(t *testing.T) {
	s := listen(t, models.Config{}, false)
	s.serve(t)
	for range 5 {
		exchange(t, s.dial(t), "x")
	}
	require.NoError(t, s.Shutdown(t.Context()))
	require.NoError(t, s.Shutdown(t.Context()), "a second one does nothing")
	for _, e := range s.all() {
		drained, cut := e.counts()
		assert.EqualValues(t, 1, drained)
		assert.Zero(t, cut, "it ended by itself")
	}
	stats := s.Stats()
	assert.Zero(t, stats.Active)
	assert.Zero(t, stats.ConnErrors)
	_, err := net.DialTimeout("tcp", s.Addr().String(), time.Second)
	assert.Error(t, err, "it still listens")
}

func TestShutdownCutsSessionsThatDoNotEndInTime(t *testing.T) {
	s := listen(t, models.Config{}, true)
	s.serve(t)
	c := s.dial(t)
	exchange(t, c, "x")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, s.Shutdown(ctx), context.DeadlineExceeded)
	drained, cut := s.all()[0].counts()
	assert.EqualValues(t, 1, drained)
	assert.EqualValues(t, 1, cut)
	stats := s.Stats()
	assert.Zero(t, stats.Active)
	assert.Zero(t, stats.ConnErrors, "that we cut it is no error of the connection")
	_, err := c.Read(make([]byte, 1))
	assert.Error(t, err)
}

func TestServeAfterShutdownAndServeTwiceAreErrors(t *testing.T) {
	s := listen(t, models.Config{}, false)
	s.serve(t)
	exchange(t, s.dial(t), "x")
	assert.ErrorContains(t, s.Serve(), "twice")

	never := listen(t, models.Config{}, false)
	require.NoError(t, never.Shutdown(t.Context()))
	assert.ErrorIs(t, never.Serve(), models.ErrServerClosed)
}
