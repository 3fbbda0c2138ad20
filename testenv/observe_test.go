//go:build linux

package testenv

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/needs"
)

// quiesce waits as long as a busy machine may take.
func quiesce(t *testing.T, s *Server) {
	t.Helper()
	require.Eventually(t, func() bool {
		err := s.Quiesce(t.Context())
		if err != nil {
			require.ErrorIs(t, err, ErrStillRunning)
		}
		return err == nil
	}, time.Minute, time.Millisecond)
}

func readCPU(t *testing.T, s *Server) time.Duration {
	t.Helper()
	d, err := s.CPU()
	require.NoError(t, err)
	return d
}

func TestCPUGrowsWithWorkAndAgreesWithTheServersOwnAccount(t *testing.T) {
	leaveNothing(t)
	s := startServer(t, ServerSpec{Model: "echo"})
	c := dial(t, s)
	last := time.Duration(0)
	for range 5 {
		exchange(t, c, 2000)
		quiesce(t, s)
		now := readCPU(t, s)
		assert.Greater(t, now, last, "work costs time")
		assert.Equal(t, now, readCPU(t, s), "rest costs none")
		last = now
	}
	snap, err := s.Stats(t.Context())
	require.NoError(t, err)
	quiesce(t, s)
	own := snap.Rusage.User + snap.Rusage.System
	assert.GreaterOrEqual(t, own, last-5*time.Millisecond)
	assert.LessOrEqual(t, own, readCPU(t, s)+5*time.Millisecond)
}

func TestQuiesceTellsBusyFromBlocked(t *testing.T) {
	leaveNothing(t)
	idle := startServer(t, ServerSpec{Model: "echo"})
	quiesce(t, idle)

	busy := startServer(t, ServerSpec{Model: "spinning"})
	err := busy.Quiesce(t.Context())
	assert.ErrorIs(t, err, ErrStillRunning)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, busy.Quiesce(cancelled), ErrStillRunning)
	require.NoError(t, busy.Freeze())
	assert.NoError(t, busy.Quiesce(t.Context()), "a frozen server does not run")
}

func TestAFrozenServerAnswersOnlyWhenThawed(t *testing.T) {
	leaveNothing(t)
	s := startServer(t, ServerSpec{Model: "echo"})
	c := dial(t, s)
	exchange(t, c, 1)
	require.NoError(t, s.Freeze())
	_, err := c.Write([]byte("anybody?"))
	require.NoError(t, err, "the kernel takes it")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	reply := make([]byte, 100)
	_, err = c.Read(reply)
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)

	require.NoError(t, s.Thaw())
	require.NoError(t, s.Thaw(), "Thaw of a running server does nothing")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	n, err := c.Read(reply)
	require.NoError(t, err)
	assert.Equal(t, "anybody?", string(reply[:n]))
	require.NoError(t, s.Stop(t.Context()))
}

func TestCountersCountWhatAnExchangeCosts(t *testing.T) {
	leaveNothing(t)
	s := startServer(t, ServerSpec{Model: "echo"})
	c := dial(t, s)
	set, err := s.Counters()
	if err != nil {
		needs.Skip(t, needs.Perf, err)
	}
	defer set.Close()
	before, err := set.Read()
	require.NoError(t, err)
	if before.NoSyscalls != "" {
		needs.Skip(t, needs.Perf, before.NoSyscalls)
	}
	const n = 2000
	exchange(t, c, n)
	after, err := set.Read()
	require.NoError(t, err)
	got := after.Sub(before)
	require.Empty(t, got.NoSyscalls)
	require.Empty(t, got.NoCtxSwitches)
	// A read and a write at least, and as a rule a read that would block, and
	// epoll; a thread sleeps and wakes for most.
	assert.GreaterOrEqual(t, got.Syscalls, uint64(2*n))
	assert.LessOrEqual(t, got.Syscalls, uint64(50*n))
	assert.GreaterOrEqual(t, got.CtxSwitches, uint64(n/10))
}

// TestMemoryOfAServerShowsWhatItHolds, in its heap and in its resident pages.
func TestMemoryOfAServerShowsWhatItHolds(t *testing.T) {
	leaveNothing(t)
	take := func(model string) Snapshot {
		s := startServer(t, ServerSpec{Model: model})
		require.NoError(t, s.Collect(t.Context()))
		snap, err := s.Stats(t.Context())
		require.NoError(t, err)
		return snap
	}
	little, much := take("echo"), take("hoarding")
	assert.InDelta(t, 64<<20, much.Runtime.HeapLive-little.Runtime.HeapLive, 1<<20)
	// Its pages were never written to, so they are not resident.
	assert.Less(t, much.Memory.RSS, uint64(64<<20))
	assert.GreaterOrEqual(t, little.Rusage.MaxRSS, little.Memory.RSS/2)
}

// TestThePeakOfAServerIsItsOwn, and not that of whoever started it.
func TestThePeakOfAServerIsItsOwn(t *testing.T) {
	leaveNothing(t)
	const held = 256 << 20
	much := make([]byte, held)
	for i := 0; i < len(much); i += os.Getpagesize() {
		much[i] = 1
	}
	s := startServer(t, ServerSpec{Model: "echo"})
	snap, err := s.Stats(t.Context())
	require.NoError(t, err)
	runtime.KeepAlive(much)
	assert.Less(t, snap.Rusage.MaxRSS, uint64(held/2))
	assert.GreaterOrEqual(t, snap.Rusage.MaxRSS, snap.Memory.RSS)
}

func TestAllocationsAreCountedExactly(t *testing.T) {
	leaveNothing(t)
	s := startServer(t, ServerSpec{Model: "echo"})
	c := dial(t, s)
	exchange(t, c, 10)
	// What the reading itself costs shows between two in succession.
	var last Runtime
	cost := func() uint64 {
		now, err := s.Runtime(t.Context())
		require.NoError(t, err)
		n := now.Mallocs - last.Mallocs
		last = now
		return n
	}
	cost()
	var reading uint64
	for range 5 {
		reading = max(reading, cost())
	}
	assert.Positive(t, reading, "a reading is not free")
	assert.Less(t, reading, uint64(500))

	const n = 5000
	exchange(t, c, n)
	assert.LessOrEqual(t, cost(), reading+n/20, "the server allocates nothing for an exchange")
	conns := 100
	for range conns {
		exchange(t, dial(t, s), 1)
	}
	assert.GreaterOrEqual(t, cost(), uint64(conns), "but a buffer for a connection")
}

func TestKernelMemoryCountsSockets(t *testing.T) {
	leaveNothing(t)
	before, err := ReadKernelMemory()
	require.NoError(t, err)
	assert.Positive(t, before.Slab)
	assert.Positive(t, before.KernelStacks)
	assert.Positive(t, before.PageTables)
	assert.LessOrEqual(t, before.SlabUnreclaimable, before.Slab)

	const pairs = 200
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
		require.NoError(t, l.Close())
	}()
	for range pairs {
		a, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		b, err := l.Accept()
		require.NoError(t, errors.Join(err, b.SetDeadline(time.Now().Add(time.Minute))))
		open = append(open, a, b)
	}
	after, err := ReadKernelMemory()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, after.TCPSockets, uint64(2*pairs), "this test alone holds as many")

	// What nobody reads stays in the kernel.
	chunk := make([]byte, 64<<10)
	for i := 0; i < len(open); i += 2 {
		_, err := open[i].Write(chunk)
		require.NoError(t, err)
	}
	full, err := ReadKernelMemory()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, full.TCP, uint64(pairs)*uint64(len(chunk))/2)
}
