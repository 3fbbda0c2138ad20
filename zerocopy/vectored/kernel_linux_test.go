package vectored_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/needs"
	"netbench/load"
	"netbench/models"
	"netbench/zerocopy/vectored"
)

// segments is how many packets with data the client of a connection has received.
func segments(t testing.TB, c *client) float64 {
	t.Helper()
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	var n float64
	var failed error
	require.NoError(t, raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if failed = err; err == nil {
			n = float64(info.Data_segs_in)
		}
	}))
	require.NoError(t, failed)
	return n
}

// perReply asks for replies one after the other, and returns packets for each.
func perReply(t testing.TB, addr, path string, size, replies int) float64 {
	t.Helper()
	c := dial(t, addr)
	before := segments(t, c)
	for range replies {
		c.ask(t, path)
		c.expect(t, size)
	}
	return (segments(t, c) - before) / float64(replies)
}

func TestSmallPartsLeaveInOnePacketUnlessTheyAreWrittenOneByOneWithoutACork(t *testing.T) {
	every(t, func(t *testing.T, o vectored.Options) {
		s := start(t, models.Config{}, o)
		for _, parts := range []int{1, 4} {
			want := 1.0
			if o.Way == vectored.Writes && !o.Cork {
				want = float64(1 + parts) // the header is a part too
			}
			got := perReply(t, s.Addr().String(), fmt.Sprintf("/bytes/64/%d", parts), 64, 50)
			assert.InDelta(t, want, got, 0.1*want, "%d parts", parts)
		}
	})
}

func TestEachWayTakesTheSystemCallsThatItSays(t *testing.T) {
	const parts = 16
	calls := make(map[vectored.Options]float64)
	for _, o := range vectored.All() {
		s := vectored.Scenario(o, 4096, parts)
		s.Plan.Conns, s.Plan.Duration = 1, 150*time.Millisecond
		server, plan, err := s.Start(t.Context())
		require.NoError(t, err)
		session, err := load.Dial(t.Context(), plan)
		require.NoError(t, err)
		set, err := server.Counters()
		if err != nil {
			session.Close()
			require.NoError(t, server.Stop(context.Background()))
			needs.Skip(t, needs.Perf, err)
		}
		from, err := set.Read()
		require.NoError(t, err)
		res, err := session.Run(t.Context(), load.Span{})
		require.NoError(t, err)
		_ = server.Quiesce(t.Context())
		to, err := set.Read()
		require.NoError(t, err)
		require.NoError(t, set.Close())
		session.Close()
		require.NoError(t, server.Stop(context.Background()))
		require.Zero(t, res.Lost, "%v", res.Reasons)
		require.Positive(t, res.Answered)
		n := to.Sub(from)
		if n.NoSyscalls != "" {
			needs.Skip(t, needs.Perf, n.NoSyscalls)
		}
		calls[o] = float64(n.Syscalls) / float64(res.Answered)
	}
	t.Logf("%v", calls)
	of := func(w vectored.Way, cork bool) float64 { return calls[vectored.Options{Way: w, Cork: cork}] }
	join := of(vectored.Join, false)
	// What is beside the writes scatters by a system call or two: whether a read finds
	// its bytes there already.
	assert.InDelta(t, join, of(vectored.Writev, false), 3, "one writev for all parts")
	assert.InDelta(t, join+parts, of(vectored.Writes, false), 3, "a write for each part and the header")
	for _, w := range vectored.Ways() {
		assert.InDelta(t, of(w, false)+2, of(w, true), 3, "%s: a cork is set and cleared", w)
		assert.Greater(t, of(w, true), of(w, false), "%s: a cork is set and cleared", w)
	}
}
