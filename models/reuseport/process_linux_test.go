package reuseport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/ptree"
	"netbench/models"
	"netbench/testenv"
)

// startProcess starts a prefork server whose supervisor is a process of its own.
func startProcess(t *testing.T, over Over, service string, cfg models.Config) *testenv.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := testenv.StartServer(ctx, testenv.ServerSpec{Model: nameOf("prefork", over, false), Service: service, Config: cfg})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Kill()) })
	return s
}

// workersOf are the children of a server's first process.
func workersOf(t *testing.T, s *testenv.Server) []int {
	t.Helper()
	family, err := ptree.Processes(s.PID())
	require.NoError(t, err)
	return family[1:]
}

func address(t *testing.T, s *testenv.Server) net.Addr {
	t.Helper()
	addr, err := net.ResolveTCPAddr("tcp", s.Addr())
	require.NoError(t, err)
	return addr
}

func TestWorkersDieWithASupervisorThatIsKilled(t *testing.T) {
	s := startProcess(t, Goroutine, "echo", models.Config{Listeners: 3})
	workers := workersOf(t, s)
	require.Len(t, workers, 3)
	nc := dial(t, address(t, s))
	require.NoError(t, exchange(nc, "x", "x"))
	require.NoError(t, s.Kill())
	require.Eventually(t, func() bool { return !slices.ContainsFunc(workers, func(pid int) bool { return !gone(pid) }) },
		patience, time.Millisecond, "workers %v", workers)
	_, err := nc.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	// A process counts as ended before its last thread has given up its files.
	require.Eventually(t, func() bool {
		nc, err := net.DialTimeout("tcp", s.Addr(), patience)
		if err == nil {
			_ = nc.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	}, patience, time.Millisecond, "somebody listens still")
}

func TestStopDrainsTheWholeFamily(t *testing.T) {
	eachPrefork(t, func(t *testing.T, o PreforkOptions) {
		s := startProcess(t, o.Over, "echo+wait=200ms", models.Config{Listeners: 2})
		workers := workersOf(t, s)
		conns := make([]net.Conn, 30)
		for i := range conns {
			conns[i] = dial(t, address(t, s))
			_, err := io.WriteString(conns[i], "hello")
			require.NoError(t, err)
		}
		var reading sync.WaitGroup
		for _, nc := range conns {
			reading.Go(func() {
				got, err := io.ReadAll(nc)
				assert.NoError(t, err)
				assert.Equal(t, "hello", string(got))
			})
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, s.Stop(ctx))
		reading.Wait()
		for _, pid := range workers {
			assert.True(t, gone(pid))
		}
	})
}

// status reads a field of /proc/PID/smaps_rollup, in bytes.
func rollup(t *testing.T, pid int, field string) uint64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	require.NoError(t, err)
	for line := range bytes.Lines(text) {
		if rest, ok := strings.CutPrefix(string(line), field+":"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			require.NoError(t, err)
			return n << 10
		}
	}
	require.Fail(t, "no "+field)
	return 0
}

func count(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	return len(entries)
}

func TestSnapshotsCoverTheWholeFamily(t *testing.T) {
	eachPrefork(t, func(t *testing.T, o PreforkOptions) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s := startProcess(t, o.Over, "echo", models.Config{Listeners: 2})
		const conns = 100
		var all []net.Conn
		for range conns {
			nc := dial(t, address(t, s))
			require.NoError(t, exchange(nc, "hello", "hello"))
			all = append(all, nc)
		}
		require.NoError(t, s.Collect(ctx))
		snap, err := s.Stats(ctx)
		require.NoError(t, err)

		// What the kernel says about each process, added up.
		family := append(workersOf(t, s), s.PID())
		var rss, anonymous uint64
		fds, threads := 0, 0
		for _, pid := range family {
			rss += rollup(t, pid, "Rss")
			anonymous += rollup(t, pid, "Anonymous")
			fds += count(t, fmt.Sprintf("/proc/%d/fd", pid))
			threads += count(t, fmt.Sprintf("/proc/%d/task", pid))
		}
		assert.InEpsilon(t, rss, snap.Memory.RSS, 0.2)
		assert.InEpsilon(t, anonymous, snap.Memory.Anonymous, 0.4)
		assert.Less(t, snap.Memory.PSS, snap.Memory.RSS, "they share the pages of the program")
		assert.InDelta(t, fds, snap.FDs, 10)
		assert.InDelta(t, threads, snap.Threads, 10)
		assert.Greater(t, snap.FDs, conns)

		assert.EqualValues(t, conns, snap.Server.Accepted)
		assert.Equal(t, "workers=2", snap.Server.Variant)
		require.Len(t, snap.PerListener, 2)
		assert.EqualValues(t, conns, snap.PerListener[0]+snap.PerListener[1])
		assert.GreaterOrEqual(t, snap.Runtime.GCCycles, uint64(3), "each process has collected")
		assert.Positive(t, snap.Runtime.Pauses.Count())
		used, err := s.CPU()
		require.NoError(t, err)
		assert.Positive(t, used)
		assert.LessOrEqual(t, snap.Rusage.User+snap.Rusage.System, used+50*time.Millisecond)

		// Counters do not go back when a worker dies.
		require.NoError(t, syscall.Kill(family[0], syscall.SIGKILL))
		require.Eventually(t, func() bool {
			now, err := s.Stats(ctx)
			return err == nil && now.Server.Restarts == 1
		}, patience, time.Millisecond)
		later, err := s.Stats(ctx)
		require.NoError(t, err)
		assert.EqualValues(t, conns, later.Server.Accepted)
		assert.Less(t, later.Server.Active, int64(conns))
		assert.GreaterOrEqual(t, later.Runtime.Mallocs, snap.Runtime.Mallocs)
		assert.GreaterOrEqual(t, later.Runtime.GCCycles, snap.Runtime.GCCycles)
		assert.GreaterOrEqual(t, later.Rusage.User+later.Rusage.System, snap.Rusage.User+snap.Rusage.System)
		assert.GreaterOrEqual(t, later.Runtime.Pauses.Count(), snap.Runtime.Pauses.Count())
		r, err := s.Runtime(ctx)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, r.Mallocs, later.Runtime.Mallocs)
		for _, nc := range all {
			_ = nc.Close()
		}
	})
}
