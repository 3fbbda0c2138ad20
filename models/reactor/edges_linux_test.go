package reactor

import (
	"io"
	"math"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/models"
)

// Whatever a loop is told about its listener in the batch in which it gives it up,
// nobody is harmed.
func TestConnectionsMayArriveWhileTheServerEnds(t *testing.T) {
	for name, end := range map[string]func(*server){
		"close":    func(s *server) { _ = s.Close() },
		"shutdown": func(s *server) { _ = s.Shutdown(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 150 {
				made, err := New(models.Config{Service: models.Echo{}, Loops: 2})
				require.NoError(t, err)
				s := made.(*server)
				served := make(chan error, 1)
				go func() { served <- s.Serve() }()
				var dialling sync.WaitGroup
				dialling.Go(func() {
					for {
						c, err := net.Dial("tcp", s.Addr().String())
						if err != nil {
							return
						}
						_ = c.Close()
					}
				})
				// The loops have to wait for events, or they would see the end first.
				<-time.After(time.Millisecond)
				end(s)
				require.ErrorIs(t, <-served, models.ErrServerClosed)
				dialling.Wait()
			}
		})
	}
}

// An event that was told about a connection which has been closed since must not
// reach another one, though the kernel may reuse the number of its descriptor as
// soon as that is closed.
func TestAnEventDoesNotReachTheSuccessorOfItsConnection(t *testing.T) {
	s := &server{cfg: models.Config{Service: models.Echo{}, ReadBuffer: 64, MaxPending: 64, IdleTimeout: models.NoLimit}, started: time.Now()}
	l, err := newLoop(s, 0)
	require.NoError(t, err)
	s.loops = []*loop{l}
	t.Cleanup(l.poller.close)
	pair := func() (ours, theirs int) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		return fds[0], fds[1]
	}
	first, peerOfFirst := pair()
	second, peerOfSecond := pair()
	s.active.Store(2)
	l.assign(first)
	old := l.table[len(l.table)-1]
	require.EqualValues(t, first, old.fd)
	stale := event{key: old.place, in: true, end: true}

	l.close(old) // in a batch in which another connection comes
	l.assign(second)
	assert.NotEqual(t, old.place, find(t, l, second).place)
	_, err = unix.FcntlInt(uintptr(first), unix.F_GETFD, 0)
	require.NoError(t, err, "the number is not free before the batch is over")
	_, err = unix.Write(peerOfSecond, []byte("x"))
	require.NoError(t, err)
	l.dispatch(stale)
	assert.False(t, find(t, l, second).ended)
	assert.Zero(t, l.counts.BytesIn)

	l.endBatch()
	_, err = unix.FcntlInt(uintptr(first), unix.F_GETFD, 0)
	assert.ErrorIs(t, err, unix.EBADF)
	l.close(find(t, l, second))
	l.endBatch()
	assert.Zero(t, s.active.Load())
	for _, fd := range []int{peerOfFirst, peerOfSecond} {
		require.NoError(t, unix.Close(fd))
	}
}

func find(t *testing.T, l *loop, fd int) *conn {
	t.Helper()
	for _, c := range l.table {
		if c.phase != dead && int(c.fd) == fd {
			return c
		}
	}
	require.Fail(t, "no connection has the descriptor")
	return nil
}

// A read ends before the mark of urgent data, so that less than was asked for does
// not mean that there is no more.
func TestInputBehindUrgentDataIsAnswered(t *testing.T) {
	made, err := New(models.Config{Service: models.Echo{}})
	require.NoError(t, err)
	s := made.(*server)
	c := dial(t, s)
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	_, err = c.Write([]byte("abc"))
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil) }))
	require.NoError(t, err)
	_, err = c.Write([]byte("def"))
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }() // all of it is there when it is looked at first
	got := make([]byte, 6)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	assert.Equal(t, "abcdef", string(got))
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-served, models.ErrServerClosed)
}

// The kernel tells one and the same loop of nearly all connections if the server is
// quiet.
func TestLoopsThatShareAListenerShareItsConnections(t *testing.T) {
	const loops, conns = 4, 200
	s := start(t, models.Config{Service: models.Echo{}, Loops: loops}, Options{})
	for range conns {
		exchange(t, dial(t, s), []byte("x"), []byte("x"))
		<-time.After(200 * time.Microsecond) // all loops wait again
	}
	for _, n := range s.PerListener() {
		assert.InDelta(t, conns/loops, n, 6, "%v", s.PerListener())
	}
}

func TestASuccessorKeepsTheFileOfItsUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	open := func() (*server, error) {
		made, err := New(models.Config{Network: "unix", Address: path, Service: models.Echo{}})
		if err != nil {
			return nil, err
		}
		return made.(*server), nil
	}
	s, err := open()
	require.NoError(t, err)
	for range 300 {
		served, closed, old := make(chan error, 1), make(chan error, 1), s
		go func() { served <- old.Serve() }()
		go func() { closed <- old.Close() }()
		deadline := time.Now().Add(patience)
		for s, err = open(); err != nil; s, err = open() {
			require.True(t, time.Now().Before(deadline), "%v", err)
		}
		require.NoError(t, <-closed)
		<-served
		c, err := net.Dial("unix", path)
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	require.NoError(t, s.Close())
}

func TestTheQueueOfWorkIsAsLongAsWhatWaits(t *testing.T) {
	w := workers{limit: 1, started: 1} // whose only worker is this test
	for range 100 {
		w.do(work{})
	}
	for range 10_000 {
		w.next++ // one is taken, one comes
		w.do(work{})
	}
	assert.LessOrEqual(t, cap(w.queue), 1000)
	assert.Equal(t, 100, len(w.queue)-w.next)
}

// While a worker has the session, what is owed meanwhile must not keep the loop busy.
func TestALoopRestsWhileAWorkerHasAConnectionThatOwes(t *testing.T) {
	for name, o := range map[string]Options{"edge": {}, "level": {LevelTriggered: true}} {
		t.Run(name, func(t *testing.T) {
			gate := make(chan struct{})
			s := start(t, models.Config{Service: owing{gate}, Loops: 1, SendBuffer: 16 << 10, MaxPending: 64 << 20}, o)
			c := dial(t, s)
			require.NoError(t, c.(*net.TCPConn).SetReadBuffer(16<<10))
			_, err := c.Write([]byte("ww"))
			require.NoError(t, err)
			const span = 300 * time.Millisecond
			<-time.After(span / 3) // the service's time, in which the reply stops being taken
			before := used(t)
			<-time.After(span)
			assert.Less(t, used(t)-before, span/3)
			// All is taken, so that the socket has room for good.
			_, err = io.ReadFull(c, make([]byte, owedByOwing))
			require.NoError(t, err)
			before = used(t)
			<-time.After(span)
			assert.Less(t, used(t)-before, span/3)
			close(gate)
		})
	}
}

const owedByOwing = 8 << 20

// owing answers with more than a socket takes, and then blocks at a gate.
type owing struct{ gate chan struct{} }

func (owing) Name() string           { return "owing" }
func (owing) Limits() models.Limits  { return models.Limits{Request: 1} }
func (o owing) Open() models.Session { return &owingSession{o, false} }

type owingSession struct {
	o       owing
	replied bool
}

func (s *owingSession) Step(in, out []byte) (int, []byte, models.Next) {
	if s.replied {
		return 0, out, models.Next{Op: models.Block}
	}
	s.replied = true
	return 1, append(out, make([]byte, owedByOwing)...), models.Next{}
}

func (s *owingSession) Work(in, out []byte) (int, []byte, models.Next) {
	<-s.o.gate
	return len(in), out, models.Next{}
}

func TestATimeOutMayBeAsLongAsATimeCanBe(t *testing.T) {
	c := dial(t, start(t, models.Config{Service: models.Echo{}, IdleTimeout: math.MaxInt64 - 1}, Options{}))
	for range 3 {
		exchange(t, c, []byte("x"), []byte("x"))
	}
}
