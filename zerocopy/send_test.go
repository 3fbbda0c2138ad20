package zerocopy

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryWaySendsExactlyTheRangeAskedFor(t *testing.T) {
	f, content := file(t, fileSize)
	eachWay(t, func(t *testing.T, way Way) {
		near, far := pair(t)
		s := sender(t, near, way)
		assert.Equal(t, way, s.Way())
		var all int64
		ranges := []struct{ offset, n int64 }{
			{0, fileSize}, {0, 0}, {0, 1}, {4096, 65536}, {4097, 100_001}, {fileSize - 10, 10}, {fileSize, 0}, {12345, 3 << 20},
		}
		for _, r := range ranges {
			done := start(s, near, f, r.offset, r.n)
			got := make([]byte, r.n)
			_, err := io.ReadFull(far, got)
			require.NoError(t, err)
			same(t, content[r.offset:r.offset+r.n], got)
			end := result(t, done)
			require.NoError(t, end.err)
			require.Equal(t, r.n, end.sent)
			all += r.n

			// A connection over which something was sent can be read from.
			require.NoError(t, s.Settle())
			_, err = far.Write([]byte{42})
			require.NoError(t, err)
			var one [1]byte
			_, err = io.ReadFull(near, one[:])
			require.NoError(t, err)
			assert.Equal(t, byte(42), one[0])
		}
		report := s.Report()
		assert.Equal(t, way.String(), report.Way)
		assert.NotEmpty(t, report.Path)
		assert.Equal(t, uint64(len(ranges)), report.Sends)
		assert.Equal(t, all, report.Bytes)
		assert.Zero(t, report.FellBack, "the way asked for was not the way taken")
		if z := report.ZeroCopy; z != nil {
			assert.Positive(t, z.Sent)
			assert.Equal(t, z.Sent, z.Completed)
			assert.LessOrEqual(t, z.Notices, z.Sent)
		}
		assert.Equal(t, way.Kind == KindZeroCopy, report.ZeroCopy != nil)
		require.NoError(t, near.CloseWrite())
		rest, err := io.ReadAll(far)
		require.NoError(t, err)
		assert.Empty(t, rest, "more came than was asked for")
	})
}

func TestRangesThatNoFileHasAreRefused(t *testing.T) {
	f, _ := file(t, 10)
	eachWay(t, func(t *testing.T, way Way) {
		near, _ := pair(t)
		s := sender(t, near, way)
		for _, r := range [][2]int64{{-1, 1}, {0, -1}, {1<<63 - 1, 2}} {
			sent, err := s.Send(f, r[0], r[1])
			assert.Zero(t, sent)
			require.Error(t, err)
			assert.NotErrorIs(t, err, ErrShrank)
		}
	})
}

func TestAFileThatIsTooShortIsAnError(t *testing.T) {
	f, content := file(t, 100_000)
	eachWay(t, func(t *testing.T, way Way) {
		for _, r := range []struct{ offset, n int64 }{{0, 100_001}, {90_000, 50_000}, {100_000, 1}, {1 << 40, 1}} {
			near, far := pair(t)
			s := sender(t, near, way)
			done := start(s, near, f, r.offset, r.n)
			got, err := io.ReadAll(far)
			require.NoError(t, err)
			end := result(t, done)
			require.ErrorIs(t, end.err, ErrShrank)
			assert.Contains(t, end.err.Error(), way.String())
			assert.Equal(t, end.sent, int64(len(got)))
			// Of a mapping, the rest of the last page are zeros.
			there := min(int64(len(got)), max(0, 100_000-r.offset))
			same(t, content[min(r.offset, 100_000):][:there], got[:there])
			if way.Kind != KindMmap {
				assert.Equal(t, max(0, 100_000-r.offset), end.sent)
			}
		}
	})
}

// begun is a Send of the whole of a file that is stopped in its first half by a receiver
// that has read one byte.
type begun struct {
	near, far *net.TCPConn
	sender    Sender
	done      <-chan sending
	read      [1]byte
}

func begin(t *testing.T, way Way, f *os.File) *begun {
	t.Helper()
	near, far := pair(t)
	narrow(t, near, far)
	b := &begun{near: near, far: far, sender: sender(t, near, way)}
	b.done = start(b.sender, near, f, 0, fileSize)
	_, err := io.ReadFull(far, b.read[:])
	require.NoError(t, err)
	return b
}

// The file is truncated when the send is stopped in its first half.
func TestAFileThatShrinksUnderASendIsAnError(t *testing.T) {
	const left = fileSize/2 + 100 // not at the end of a page
	eachWay(t, func(t *testing.T, way Way) {
		f, content := file(t, fileSize)
		b := begin(t, way, f)
		require.NoError(t, os.Truncate(f.Name(), left))
		rest, err := io.ReadAll(b.far)
		require.NoError(t, err)
		end := result(t, b.done)
		require.ErrorIs(t, end.err, ErrShrank)
		got := append(b.read[:], rest...)
		assert.Equal(t, end.sent, int64(len(got)), "what was sent is told exactly")
		assert.Less(t, len(got), fileSize)
		there := min(len(got), left)
		same(t, content[:there], got[:there])
	})
}

func TestAPeerThatGoesAwayEndsTheSend(t *testing.T) {
	f, _ := file(t, fileSize)
	eachWay(t, func(t *testing.T, way Way) {
		b := begin(t, way, f)
		require.NoError(t, b.far.SetLinger(0)) // a reset
		require.NoError(t, b.far.Close())
		end := result(t, b.done)
		require.Error(t, end.err)
		assert.NotErrorIs(t, end.err, ErrShrank)
		assert.NotErrorIs(t, end.err, os.ErrDeadlineExceeded)
		assert.Less(t, end.sent, int64(fileSize))
		assert.Equal(t, end.sent, b.sender.Report().Bytes)
	})
}

func TestAPeerThatStallsIsLeftAtTheDeadline(t *testing.T) {
	f, _ := file(t, fileSize)
	eachWay(t, func(t *testing.T, way Way) {
		near, far := pair(t)
		narrow(t, near, far)
		s := sender(t, near, way)
		require.NoError(t, near.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
		end := result(t, start(s, near, f, 0, fileSize))
		require.ErrorIs(t, end.err, os.ErrDeadlineExceeded)
		assert.Less(t, end.sent, int64(fileSize))
	})
}

func TestAConnectionThatIsClosedEndsTheSend(t *testing.T) {
	f, _ := file(t, fileSize)
	eachWay(t, func(t *testing.T, way Way) {
		b := begin(t, way, f)
		require.NoError(t, b.near.Close())
		require.ErrorIs(t, result(t, b.done).err, net.ErrClosed)
		_, err := b.sender.Send(f, 0, 1)
		assert.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestAFileThatIsClosedOrNoneIsAnError(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	require.NoError(t, err)
	defer dir.Close()
	closed, _ := file(t, 10)
	require.NoError(t, closed.Close())
	eachWay(t, func(t *testing.T, way Way) {
		for _, f := range []*os.File{closed, dir} {
			near, _ := pair(t)
			sent, err := sender(t, near, way).Send(f, 0, 1)
			assert.Zero(t, sent)
			require.Error(t, err)
			assert.NotErrorIs(t, err, ErrShrank)
		}
	})
}

func TestSendersCanBeUsedByManyConnectionsOfOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "material")
	require.NoError(t, WriteMaterial(path, 1, 1<<20))
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	eachWay(t, func(t *testing.T, way Way) {
		type stream struct {
			done <-chan sending
			far  *net.TCPConn
		}
		var streams []stream
		for range 8 {
			f, err := os.Open(path)
			require.NoError(t, err)
			t.Cleanup(func() { _ = f.Close() })
			near, far := pair(t)
			streams = append(streams, stream{start(sender(t, near, way), near, f, 0, 1<<20), far})
		}
		for _, s := range streams {
			got := make([]byte, 1<<20)
			_, err := io.ReadFull(s.far, got)
			require.NoError(t, err)
			same(t, want, got)
			require.NoError(t, result(t, s.done).err)
		}
	})
}

func TestWaysThatNeedLinuxSaySoElsewhere(t *testing.T) {
	if runtime.GOOS == "linux" {
		t.Skip("Linux has them all")
	}
	near, _ := pair(t)
	for _, way := range []Way{{Kind: KindSendfile}, {Kind: KindMmap}, {KindZeroCopy, 1 << 16}} {
		_, err := NewSender(near, way)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		assert.Contains(t, err.Error(), way.String())
	}
}
