package zerocopy

import (
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// scripted is a connection whose socket becomes writable whenever it is waited for,
// but only so many times.
type scripted struct{ writable int }

func (s *scripted) Control(f func(uintptr)) error   { f(7); return nil }
func (s *scripted) Read(f func(uintptr) bool) error { return nil }

func (s *scripted) Write(f func(uintptr) bool) error {
	for !f(7) {
		if s.writable--; s.writable < 0 {
			return os.ErrDeadlineExceeded
		}
	}
	return nil
}

func TestAPumpGoesOnUntilAllIsTaken(t *testing.T) {
	type answer struct {
		took int
		err  error
	}
	for _, c := range []struct {
		name           string
		answers        []answer
		writable       int
		sent           int64
		err            error
		partial, waits uint64
	}{
		{"at once", []answer{{100, nil}}, 0, 100, nil, 0, 0},
		{"in parts", []answer{{1, nil}, {98, nil}, {1, nil}}, 0, 100, nil, 2, 0},
		{"a full queue", []answer{{-1, unix.EAGAIN}, {60, nil}, {-1, unix.EAGAIN}, {-1, unix.EAGAIN}, {40, nil}}, 3, 100, nil, 1, 3},
		{"a signal", []answer{{-1, unix.EINTR}, {100, nil}}, 0, 100, nil, 0, 0},
		{"the deadline", []answer{{60, nil}, {-1, unix.EAGAIN}, {-1, unix.EAGAIN}}, 1, 60, os.ErrDeadlineExceeded, 1, 2},
		{"a broken pipe", []answer{{60, nil}, {-1, unix.EPIPE}}, 0, 60, unix.EPIPE, 1, 0},
		{"the end of the file", []answer{{60, nil}, {0, nil}}, 0, 60, errNothing, 1, 0},
		{"a broken pipe after a wait", []answer{{-1, unix.EAGAIN}, {-1, unix.EPIPE}}, 1, 0, unix.EPIPE, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pump{raw: &scripted{c.writable}}
			asked := 0
			var before int64
			sent, err := p.push(100, func(fd int, done int64, most int) (int, error) {
				require.Less(t, asked, len(c.answers), "it goes on after the end")
				require.Equal(t, 7, fd)
				require.Equal(t, before, done)
				require.Equal(t, int(100-done), most, "it never asks for more than is left")
				a := c.answers[asked]
				asked++
				before += int64(max(a.took, 0))
				return a.took, a.err
			})
			assert.Equal(t, c.sent, sent)
			assert.ErrorIs(t, err, c.err)
			assert.Equal(t, len(c.answers), asked)
			assert.Equal(t, uint64(len(c.answers)), p.calls)
			assert.Equal(t, c.partial, p.partial)
			assert.Equal(t, c.waits, p.waits.Load())
		})
	}
}

func TestAPumpAsksForNoMoreThanOneCallCanGive(t *testing.T) {
	p := pump{raw: &scripted{}}
	var asked []int
	const n = 5 << 30
	sent, err := p.push(n, func(_ int, _ int64, most int) (int, error) {
		asked = append(asked, most)
		return most, nil
	})
	require.NoError(t, err)
	assert.Equal(t, int64(n), sent)
	assert.Equal(t, []int{maxCall, maxCall, n - 2*maxCall}, asked)
	assert.Zero(t, p.partial)
}

// waiting tells how often a sender has found the queue full, while it sends.
func waiting(s Sender) uint64 {
	switch s := s.(type) {
	case *sendfileSender:
		return s.pump.waits.Load()
	case *mmapSender:
		return s.pump.waits.Load()
	case *zeroCopySender:
		return s.conn.waits.Load()
	}
	return 0
}

// The send queue is as small as the kernel lets it be, and the receiver begins to read
// when the sender is stopped, and reads little at a time.
func TestShortSendsAreContinued(t *testing.T) {
	const n = 1<<20 + 77
	f, content := file(t, n)
	eachWay(t, func(t *testing.T, way Way) {
		near, far := pair(t)
		require.NoError(t, near.SetWriteBuffer(4096))
		require.NoError(t, far.SetReadBuffer(32<<10))
		s := sender(t, near, way)
		done := start(s, near, f, 0, n)
		own := way.Kind == KindSendfile || way.Kind == KindMmap || way.Kind == KindZeroCopy
		if own { // the others' calls are those of the standard library
			require.Eventually(t, func() bool { return waiting(s) > 0 }, patience, pollEvery, "the sender is never stopped")
		}
		got := make([]byte, n)
		for at := 0; at < n; {
			k, err := far.Read(got[at:min(at+5000, n)])
			require.NoError(t, err)
			at += k
		}
		same(t, content, got)
		end := result(t, done)
		require.NoError(t, end.err)
		require.Equal(t, int64(n), end.sent)
		require.NoError(t, s.Settle())
		if own {
			r := s.Report()
			assert.Positive(t, r.Partial, "no send was short")
			assert.Positive(t, r.Waits)
			assert.Greater(t, r.Calls, r.Waits)
		}
	})
}

// A file that the kernel cannot send by sendfile: io.Copy falls back and its sender
// tells; sendfile itself is an error.
func TestAFallbackIsTold(t *testing.T) {
	closesAll(t)
	f, err := os.Open("/proc/self/auxv")
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	want := make([]byte, 64)
	_, err = f.ReadAt(want, 0)
	require.NoError(t, err)

	near, far := pair(t)
	direct := sender(t, near, Way{Kind: KindSendfile})
	sent, err := direct.Send(f, 0, 64)
	if err == nil {
		t.Skip("this kernel sends /proc/self/auxv by sendfile, so nothing falls back")
	}
	require.ErrorIs(t, err, unix.EINVAL)
	require.Zero(t, sent, "nothing is sent in another way")

	copying := sender(t, near, Way{Kind: KindCopy})
	sent, err = copying.Send(f, 0, 64)
	require.NoError(t, err)
	require.Equal(t, int64(64), sent)
	got := make([]byte, 64)
	_, err = io.ReadFull(far, got)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.Equal(t, PathSendfile, copying.Report().Path)
	assert.Equal(t, uint64(1), copying.Report().FellBack)
}
