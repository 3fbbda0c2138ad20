//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// patience bounds what should not take long.
const patience = 10 * time.Second

// start runs a reactor for the time of a test.
func start(t *testing.T, cfg models.Config, o Options) *server {
	t.Helper()
	made, err := Factory(o)(cfg)
	require.NoError(t, err)
	s := made.(*server)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-served, models.ErrServerClosed)
	})
	return s
}

func dial(t *testing.T, s *server) net.Conn {
	t.Helper()
	c, err := net.Dial(s.Addr().Network(), s.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

// exchange sends a request and demands its reply.
func exchange(t *testing.T, c net.Conn, request, reply []byte) {
	t.Helper()
	_, err := c.Write(request)
	require.NoError(t, err)
	got := make([]byte, len(reply))
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.True(t, bytes.Equal(reply, got), "the reply is exact")
}

func TestExchangeAllocatesNothing(t *testing.T) {
	hello := []byte("hello, world")
	open := make(chan struct{})
	close(open)
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	frame := append([]byte{0, 0, 0x20, 0}, make([]byte, 0x2000)...) // longer than a read
	for name, c := range map[string]struct {
		service        models.Service
		request, reply []byte
	}{
		"echo":  {models.Echo{}, hello, hello},
		"frame": {models.Frame{}, frame, frame},
		"line":  {models.Line{}, []byte("ping\n"), []byte("pong\n")},
		"work":  {slow{open, new(atomic.Int64), new(atomic.Int64)}, []byte("x"), []byte("x")},
		"http":  {models.HTTP{Now: func() time.Time { return noon }}, []byte("GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, start(t, models.Config{Service: c.service, Loops: 1}, Options{}))
			if c.reply == nil { // it is the same each time, and comes at once
				_, err := conn.Write(c.request)
				require.NoError(t, err)
				c.reply = make([]byte, 1000)
				n, err := conn.Read(c.reply)
				require.NoError(t, err)
				c.reply = c.reply[:n]
			}
			got := make([]byte, len(c.reply))
			once := func() {
				if _, err := conn.Write(c.request); err != nil {
					t.Error(err)
				}
				if _, err := io.ReadFull(conn, got); err != nil {
					t.Error(err)
				}
			}
			for range 20 {
				once()
			}
			allowed := 0.5
			if raceDetector { // pools forget on purpose then
				allowed = 10
			}
			assert.InDelta(t, 0, testing.AllocsPerRun(50, once), allowed)
			assert.Equal(t, c.reply, got)
		})
	}
}

// gated is an echo that counts its steps and waits at a gate in the first of
// them, so that a test can let input pile up.
type gated struct {
	models.Service
	gate  chan struct{}
	steps *atomic.Int64
	other *atomic.Int64 // the number of the step that saw an x
}

func (g gated) Open() models.Session { return &gatedSession{g.Service.Open(), g} }

type gatedSession struct {
	models.Session
	g gated
}

func (s *gatedSession) Step(in, out []byte) (int, []byte, models.Next) {
	n := s.g.steps.Add(1)
	if n == 1 {
		<-s.g.gate
	}
	if in[0] == 'x' {
		s.g.other.Store(n)
	}
	return s.Session.Step(in, out)
}

// TestABusyConnectionLetsOthersHaveTheirTurn lets a connection send far more than
// its share while the loop is held up, and another one a little behind it: the
// other's answer comes before all of the first's input was dealt with.
func TestABusyConnectionLetsOthersHaveTheirTurn(t *testing.T) {
	g := gated{models.Echo{}, make(chan struct{}), new(atomic.Int64), new(atomic.Int64)}
	s := start(t, models.Config{Service: g, Loops: 1, ReadBuffer: 16, MaxPending: 1 << 20}, Options{ReadBudget: 4})
	busy, other := dial(t, s), dial(t, s)
	require.Eventually(t, func() bool { return s.Stats().Active == 2 }, patience, time.Millisecond)
	const flood = 64 << 10
	sent := make(chan error, 1)
	go func() {
		_, err := busy.Write(make([]byte, flood))
		sent <- err
	}()
	require.Eventually(t, func() bool { return g.steps.Load() == 1 }, patience, time.Millisecond)
	require.NoError(t, <-sent) // it is in the kernel's buffers
	_, err := other.Write([]byte("x"))
	require.NoError(t, err)
	close(g.gate)
	_, err = io.ReadFull(other, make([]byte, 1))
	require.NoError(t, err)
	_, err = io.ReadFull(busy, make([]byte, flood))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.Stats().BytesIn == flood+1 }, patience, time.Millisecond)
	assert.Greater(t, g.steps.Load(), int64(flood/16/2), "reads were small, so there were many turns")
	assert.Less(t, g.other.Load(), int64(flood/16/4), "the other had its turn early")
}

// slow is a service whose work waits for a gate and counts how many wait.
type slow struct {
	gate    chan struct{}
	running *atomic.Int64
	most    *atomic.Int64
}

func (slow) Name() string           { return "slow" }
func (slow) Limits() models.Limits  { return models.Limits{Request: 1} }
func (w slow) Open() models.Session { return slowSession{w} }

type slowSession struct{ w slow }

func (s slowSession) Step(_, out []byte) (int, []byte, models.Next) {
	return 0, out, models.Next{Op: models.Block}
}

func (s slowSession) Work(in, out []byte) (int, []byte, models.Next) {
	n := s.w.running.Add(1)
	for most := s.w.most.Load(); n > most && !s.w.most.CompareAndSwap(most, n); most = s.w.most.Load() {
	}
	<-s.w.gate
	s.w.running.Add(-1)
	return len(in), append(out, in...), models.Next{}
}

func TestWorkersAreBoundedAndAllWorkIsDone(t *testing.T) {
	const workers, conns = 3, 20
	w := slow{make(chan struct{}), new(atomic.Int64), new(atomic.Int64)}
	s := start(t, models.Config{Service: w}, Options{Workers: workers})
	var all sync.WaitGroup
	for i := range conns {
		c := dial(t, s)
		all.Go(func() {
			b := []byte{byte(i)}
			if _, err := c.Write(b); err != nil {
				t.Error(err)
			}
			got := []byte{0}
			if _, err := io.ReadFull(c, got); err != nil || got[0] != byte(i) {
				t.Errorf("connection %d got %v, %v", i, got, err)
			}
		})
	}
	require.Eventually(t, func() bool { return w.running.Load() == workers }, patience, time.Millisecond)
	close(w.gate)
	all.Wait()
	assert.LessOrEqual(t, w.most.Load(), int64(workers))
}

func TestWhileWorkBlocksTheLoopServesOthers(t *testing.T) {
	w := slow{make(chan struct{}), new(atomic.Int64), new(atomic.Int64)}
	s := start(t, models.Config{Service: either{w}, Loops: 1}, Options{})
	blocked, other := dial(t, s), dial(t, s)
	_, err := blocked.Write([]byte("b"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.running.Load() == 1 }, patience, time.Millisecond)
	for range 100 {
		exchange(t, other, []byte("e"), []byte("e"))
	}
	close(w.gate)
	_, err = io.ReadFull(blocked, make([]byte, 1))
	require.NoError(t, err)
}

// either blocks for input that begins with b and echoes everything else.
type either struct{ slow }

func (e either) Open() models.Session { return eitherSession{slowSession{e.slow}} }

type eitherSession struct{ slowSession }

func (s eitherSession) Step(in, out []byte) (int, []byte, models.Next) {
	if in[0] == 'b' {
		return s.slowSession.Step(in, out)
	}
	return len(in), append(out, in...), models.Next{}
}

func TestBadOptionsAreRefused(t *testing.T) {
	cfg := models.Config{Service: models.Echo{}}
	for want, o := range map[string]Options{
		"Options.Steer needs":      {Steer: true},
		"Options.Workers is -1":    {Workers: -1},
		"Options.ReadBudget is -1": {ReadBudget: -1},
		"Options.Wait is 2":        {Wait: Park + 1},
	} {
		_, err := Factory(o)(cfg)
		require.ErrorContains(t, err, want)
	}
	cfg.Listeners = 2
	_, err := New(cfg)
	require.ErrorIs(t, err, models.ErrUnsupported)
	var named *models.ConfigError
	require.True(t, errors.As(err, &named))
	assert.Equal(t, "Listeners", named.Field)
}

func TestVariantsAreNamedInStats(t *testing.T) {
	assert.Empty(t, Options{}.variant())
	assert.Equal(t, "level,hand-off,park", Options{LevelTriggered: true, HandOff: true, Wait: Park}.variant())
}
