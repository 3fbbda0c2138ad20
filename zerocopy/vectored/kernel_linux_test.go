package vectored_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/needs"
	"netbench/models"
	"netbench/testenv"
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

// calls counts the system calls of a server for each reply. Requests come many at a time,
// so that what is beside the replies, such as reads and waits, is shared among many.
func calls(t *testing.T, o vectored.Options, size, parts int) float64 {
	t.Helper()
	const batch, batches = 100, 20
	server, err := testenv.StartServer(t.Context(), testenv.ServerSpec{Model: o.Model(), Service: "http", StartTimeout: time.Minute})
	require.NoError(t, err)
	defer func() { assert.NoError(t, server.Stop(context.Background())) }()
	c := dial(t, server.Addr())
	defer c.Close()
	requests := []byte(strings.Repeat(fmt.Sprintf("GET /bytes/%d/%d HTTP/1.1\r\n\r\n", size, parts), batch))
	ask := func() {
		_, err := c.Write(requests)
		require.NoError(t, err)
		for range batch {
			c.expect(t, size)
		}
	}
	ask() // memory gets its size
	set, err := server.Counters()
	if err != nil {
		needs.Skip(t, needs.Perf, err)
	}
	defer set.Close()
	from, err := set.Read()
	require.NoError(t, err)
	for range batches {
		ask()
	}
	_ = server.Quiesce(t.Context()) // at worst, some calls of the wait that follows are missed
	to, err := set.Read()
	require.NoError(t, err)
	n := to.Sub(from)
	if n.NoSyscalls != "" {
		needs.Skip(t, needs.Perf, n.NoSyscalls)
	}
	return float64(n.Syscalls) / (batch * batches)
}

func TestEachWayTakesTheSystemCallsThatItSays(t *testing.T) {
	every(t, func(t *testing.T, o vectored.Options) {
		for _, parts := range []int{1, 16} {
			want := 1.0
			if o.Way == vectored.Writes {
				want = float64(1 + parts) // the header is a part too
			}
			if o.Cork {
				want += 2 // it is set and cleared
			}
			got := calls(t, o, 64, parts)
			t.Logf("%d parts: %.3f system calls for a reply", parts, got)
			assert.GreaterOrEqual(t, got, want, "%d parts", parts)
			// The scheduler has calls of its own, the more the longer a reply takes.
			assert.Less(t, got, want+max(0.7, 0.08*want), "%d parts", parts)
		}
	})
}
