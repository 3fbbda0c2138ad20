package zerocopy

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/testenv"
)

func TestMain(m *testing.M) {
	testenv.Main(Models())
	// The runtime's poller opens its descriptors with the first socket.
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = l.Close()
	}
	goleak.VerifyTestMain(m)
}

// pollEvery is the pause between two looks of a test that waits.
const pollEvery = 2 * time.Millisecond

// patience bounds all waiting in tests.
const patience = 30 * time.Second

// descriptors is how many this process has open; 0 where that cannot be told.
func descriptors(t testing.TB) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	names, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(names)
}

// closesAll makes a test fail that leaves a descriptor open. Call it first.
func closesAll(t testing.TB) {
	t.Helper()
	before := descriptors(t)
	t.Cleanup(func() {
		assert.Eventually(t, func() bool { return descriptors(t) <= before }, patience, 5*time.Millisecond, "a descriptor is left open")
	})
}

// pair is a connection over loopback, both ends of which are closed with the test.
func pair(t testing.TB) (sender, receiver *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return join(t, l, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) })
}

// join accepts what dial dials, and gives the accepted end first.
func join(t testing.TB, l net.Listener, dial func() (net.Conn, error)) (sender, receiver *net.TCPConn) {
	t.Helper()
	far, err := dial()
	require.NoError(t, err)
	t.Cleanup(func() { _ = far.Close() })
	near, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = near.Close() })
	for _, c := range []net.Conn{near, far} {
		require.NoError(t, c.SetDeadline(time.Now().Add(2*patience)))
	}
	return near.(*net.TCPConn), far.(*net.TCPConn)
}

// narrow lets few bytes be on their way between the ends: a sender is soon stopped by
// a receiver that does not read.
func narrow(t testing.TB, sender, receiver *net.TCPConn) {
	t.Helper()
	require.NoError(t, sender.SetWriteBuffer(64<<10))
	require.NoError(t, receiver.SetReadBuffer(64<<10))
}

// fileSize is the size of the file of tests: no multiple of a page or a buffer.
const fileSize = 8<<20 + 4321

// file makes a file of material.
func file(t testing.TB, n int64) (f *os.File, content []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "material")
	require.NoError(t, WriteMaterial(path, 1, n))
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	content, err = io.ReadAll(io.LimitReader(Material(1), n))
	require.NoError(t, err)
	return f, content
}

// sender makes a sender of a way, which is closed with the test.
func sender(t testing.TB, conn *net.TCPConn, way Way) Sender {
	t.Helper()
	s, err := NewSender(conn, way)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// eachWay runs a test for each way that this system has.
func eachWay(t *testing.T, f func(t *testing.T, way Way)) {
	for _, way := range Ways() {
		if runtime.GOOS != "linux" && way.Kind != KindBuffer && way.Kind != KindCopy && way.Kind != KindCopyHidden {
			continue
		}
		t.Run(way.String(), func(t *testing.T) {
			closesAll(t)
			f(t, way)
		})
	}
}

// sending is a Send that goes on.
type sending struct {
	sent int64
	err  error
}

// start begins to send in a goroutine, which ends the stream after an error.
func start(s Sender, conn *net.TCPConn, f *os.File, offset, n int64) <-chan sending {
	done := make(chan sending, 1)
	go func() {
		sent, err := s.Send(f, offset, n)
		if err != nil {
			_ = conn.CloseWrite()
		}
		done <- sending{sent, err}
	}()
	return done
}

// result waits for the end of a Send.
func result(t testing.TB, done <-chan sending) sending {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(patience):
		require.FailNow(t, "Send goes on and on")
		return sending{}
	}
}

// same says where two byte strings differ, without printing them.
func same(t testing.TB, want, got []byte) {
	t.Helper()
	require.Len(t, got, len(want))
	if !bytes.Equal(want, got) {
		i := 0
		for want[i] == got[i] {
			i++
		}
		require.Failf(t, "other bytes arrived", "the first of %d at %d", len(want), i)
	}
}
