package buffers_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/buffers"
	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

func TestEveryWayReturnsFramesWhole(t *testing.T) {
	for _, name := range servers("small-") {
		for _, noDelay := range []models.Toggle{models.On, models.Off} {
			t.Run(fmt.Sprintf("%s/nodelay=%d", name, noDelay), func(t *testing.T) {
				c := dial(t, serve(t, name, "frame", models.Config{NoDelay: noDelay}))
				random := rand.New(rand.NewPCG(5, 6))
				for _, size := range []int{0, 1, 64, 5000, 0, 200_000} {
					frame := binary.BigEndian.AppendUint32(nil, uint32(size))
					for range size {
						frame = append(frame, byte(random.Uint32()))
					}
					failed := make(chan error, 1)
					go func() { _, err := c.Write(frame); failed <- err }()
					got := make([]byte, len(frame))
					_, err := io.ReadFull(c, got)
					require.NoError(t, err)
					require.NoError(t, <-failed)
					require.Equal(t, frame, got)
				}
			})
		}
	}
}

// The ways are compared by what they cost, which should be their system calls.
func TestNoWayAllocatesForAReply(t *testing.T) {
	const requests = 2000
	for _, name := range servers("small-") {
		t.Run(name, func(t *testing.T) {
			s := started(t, testenv.ServerSpec{Model: name, Service: "frame"})
			conns := session(t, s, "frame", load.Plan{Conns: 4, Size: 64})
			run(t, conns, 100)
			before, err := s.Runtime(t.Context())
			require.NoError(t, err)
			run(t, conns, requests)
			after, err := s.Runtime(t.Context())
			require.NoError(t, err)
			assert.Less(t, float64(after.Mallocs-before.Mallocs)/requests, 0.5)
		})
	}
}

func TestAFrameThatIsTooLongEndsTheConnection(t *testing.T) {
	for _, name := range servers("small-") {
		s := serve(t, name, "frame", models.Config{})
		c := dial(t, s)
		_, err := c.Write(append([]byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 100_000)...))
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		got, err := io.ReadAll(c)
		require.NoError(t, err, "%s: the end of the stream and no reset, though most was not read", name)
		assert.Empty(t, got)
	}
}

// stalled makes exchanges with a server of B6 and counts those that waited for a delayed
// acknowledgement.
func stalled(t *testing.T, name string, noDelay models.Toggle, c buffers.Calls) int {
	t.Helper()
	s := serveQuietly(t, name, models.Config{NoDelay: noDelay})
	c.Address, c.Size, c.Count = s.Addr().String(), 64, exchanges
	took, err := c.Do(t.Context())
	require.NoError(t, err)
	require.Len(t, took, exchanges)
	for _, d := range took {
		require.Positive(t, d)
	}
	return buffers.Stalls(took)
}

const exchanges = 24

func onLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("when acknowledgements are delayed is this kernel's own affair")
	}
}

// The writes of one reply are small, and the second of them waits for the
// acknowledgement of the first, which the client's kernel holds back in the hope of data
// to send it with. Everything that makes one segment of them, or does not wait, helps.
func TestAReplyInTwoWritesStallsWithNagleOnly(t *testing.T) {
	onLinux(t)
	t.Parallel()
	bad := stalled(t, buffers.SmallSplit, models.Off, buffers.Calls{})
	assert.GreaterOrEqual(t, bad, exchanges/4, "of %d exchanges", exchanges)
	for _, good := range []struct {
		why     string
		name    string
		noDelay models.Toggle
		calls   buffers.Calls
	}{
		{"TCP_NODELAY", buffers.SmallSplit, models.On, buffers.Calls{}},
		{"one write", buffers.SmallJoined, models.Off, buffers.Calls{}},
		{"TCP_CORK", buffers.SmallCork, models.Off, buffers.Calls{}},
		{"MSG_MORE", buffers.SmallMore, models.Off, buffers.Calls{}},
		{"TCP_QUICKACK at the client", buffers.SmallSplit, models.Off, buffers.Calls{QuickAck: true}},
	} {
		n := stalled(t, good.name, good.noDelay, good.calls)
		assert.Less(t, n, bad/2, "%s stalled %d of %d, without it %d", good.why, n, exchanges, bad)
	}
}

func TestARequestInTwoWritesStallsWithNagleOnly(t *testing.T) {
	onLinux(t)
	t.Parallel()
	bad := stalled(t, buffers.SmallJoined, models.On, buffers.Calls{Split: true, Nagle: true})
	assert.GreaterOrEqual(t, bad, exchanges/4, "of %d exchanges", exchanges)
	for _, good := range []struct {
		why   string
		name  string
		calls buffers.Calls
	}{
		{"TCP_NODELAY", buffers.SmallJoined, buffers.Calls{Split: true}},
		{"one write", buffers.SmallJoined, buffers.Calls{Nagle: true}},
		{"TCP_QUICKACK at the server", buffers.SmallQuick, buffers.Calls{Split: true, Nagle: true}},
	} {
		n := stalled(t, good.name, models.On, good.calls)
		assert.Less(t, n, bad/2, "%s stalled %d of %d, without it %d", good.why, n, exchanges, bad)
	}
}

func TestCallsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, c := range []buffers.Calls{{Size: 0, Count: 1}, {Size: 1, Count: 0}, {Size: 2 << 20, Count: 1}} {
		_, err := c.Do(t.Context())
		assert.ErrorContains(t, err, "want 1 or more")
	}
}

func TestStallsCountsWhatTookLong(t *testing.T) {
	assert.Equal(t, 2, buffers.Stalls([]time.Duration{1, buffers.Stall, buffers.Stall - 1, time.Second}))
	assert.Zero(t, buffers.Stalls(nil))
}
