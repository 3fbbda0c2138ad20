package counters

import (
	"context"
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/needs"
	"netbench/internal/proc"
	"netbench/internal/ptree"
)

func TestMain(m *testing.M) {
	proc.Main(proc.Role{Name: "caller", Run: caller})
	goleak.VerifyTestMain(m)
}

// caller makes system calls and context switches on request.
func caller(ctx context.Context, ch *proc.Channel, _ json.RawMessage) error {
	number := func(arg json.RawMessage) (n int, err error) { err = json.Unmarshal(arg, &n); return n, err }
	ch.Handle("getpid", func(_ context.Context, arg json.RawMessage) (any, error) {
		n, err := number(arg)
		for range n {
			syscall.Getpid()
		}
		return nil, err
	})
	// fresh makes the calls on a thread that did not exist before.
	ch.Handle("fresh", func(_ context.Context, arg json.RawMessage) (any, error) {
		n, err := number(arg)
		if err != nil {
			return nil, err
		}
		known, err := ptree.Threads(os.Getpid())
		if err != nil {
			return nil, err
		}
		done, end := make(chan int), make(chan struct{})
		defer close(end)
		for {
			go func() {
				runtime.LockOSThread() // each holds a thread, until one has a new one
				tid := syscall.Gettid()
				if !slices.Contains(known, tid) {
					for range n {
						syscall.Getpid()
					}
				} else {
					tid = 0
				}
				done <- tid
				<-end
			}()
			if tid := <-done; tid != 0 {
				return tid, nil
			}
		}
	})
	// nested makes the calls in a process of its own.
	ch.Handle("nested", func(ctx context.Context, arg json.RawMessage) (any, error) {
		child, err := proc.Start(ctx, proc.Options{Role: "caller", StartTimeout: time.Minute})
		if err != nil {
			return nil, err
		}
		if err := child.Call(ctx, "getpid", arg, nil); err != nil {
			return nil, err
		}
		return nil, child.Stop(ctx)
	})
	// pingpong hands a byte from thread to thread, which takes two switches each.
	ch.Handle("pingpong", func(_ context.Context, arg json.RawMessage) (any, error) {
		n, err := number(arg)
		if err != nil {
			return nil, err
		}
		var there, back [2]int
		if err := syscall.Pipe(there[:]); err != nil {
			return nil, err
		}
		if err := syscall.Pipe(back[:]); err != nil {
			return nil, err
		}
		go func() {
			var b [1]byte
			for range n {
				syscall.Read(there[0], b[:])
				syscall.Write(back[1], b[:])
			}
		}()
		var b [1]byte
		for range n {
			if _, err := syscall.Write(there[1], b[:]); err != nil {
				return nil, err
			}
			if _, err := syscall.Read(back[0], b[:]); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	// drop gives up root and tries to count on itself.
	ch.Handle("drop", func(context.Context, json.RawMessage) (any, error) {
		if err := syscall.Setuid(65534); err != nil {
			return nil, err
		}
		s, err := Open(os.Getpid())
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return s.Read()
	})
	if err := ch.Ready(nil); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func startCaller(t *testing.T) *proc.Child {
	t.Helper()
	c, err := proc.Start(t.Context(), proc.Options{Role: "caller", StartTimeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Kill()) })
	return c
}

// counting opens the counters, or skips the test where the kernel permits none.
func counting(t *testing.T, pid int) *Set {
	t.Helper()
	s, err := Open(pid)
	if err != nil {
		needs.Skip(t, needs.Perf, err)
	}
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	c, err := s.Read()
	require.NoError(t, err)
	if why := c.NoSyscalls + c.NoCtxSwitches; why != "" {
		needs.Skip(t, needs.Perf, why)
	}
	return s
}

func TestSystemCallsAreCountedOnOldAndNewThreadsAndInChildren(t *testing.T) {
	const n = 50_000
	c := startCaller(t)
	// Twice: also when counting begins on a process with more threads.
	for range 2 {
		s := counting(t, c.PID())
		before, err := s.Read()
		require.NoError(t, err)
		for _, op := range []string{"getpid", "fresh", "nested"} {
			require.NoError(t, c.Call(t.Context(), op, n, nil))
			after, err := s.Read()
			require.NoError(t, err)
			// The runtime makes some of its own, a starting process some more.
			assert.InEpsilon(t, n, after.Sub(before).Syscalls, 0.05, op)
			assert.GreaterOrEqual(t, after.Sub(before).Syscalls, uint64(n), op)
			before = after
		}
		require.NoError(t, s.Close())
	}
}

func TestContextSwitchesAreCounted(t *testing.T) {
	const n = 5_000
	c := startCaller(t)
	s := counting(t, c.PID())
	before, err := s.Read()
	require.NoError(t, err)
	require.NoError(t, c.Call(t.Context(), "pingpong", n, nil))
	after, err := s.Read()
	require.NoError(t, err)
	// Each round blocks two threads; with two CPUs a thread may find the byte
	// already there when it looks, so this is a wide bound.
	assert.GreaterOrEqual(t, after.Sub(before).CtxSwitches, uint64(n))
	assert.LessOrEqual(t, after.Sub(before).CtxSwitches, uint64(20*n))
}

func TestOtherProcessesAreNotCounted(t *testing.T) {
	a, b := startCaller(t), startCaller(t)
	s := counting(t, a.PID())
	require.NoError(t, b.Call(t.Context(), "getpid", 50_000, nil))
	c, err := s.Read()
	require.NoError(t, err)
	assert.Less(t, c.Syscalls, uint64(10_000))
}

func TestCountsRemainAfterTheProcessHasEnded(t *testing.T) {
	c := startCaller(t)
	s := counting(t, c.PID())
	require.NoError(t, c.Call(t.Context(), "getpid", 1000, nil))
	require.NoError(t, c.Stop(t.Context()))
	counts, err := s.Read()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, counts.Syscalls, uint64(1000))

	_, err = Open(c.PID())
	assert.ErrorContains(t, err, "process "+strconv.Itoa(c.PID()), "nobody is there any more")
}

func TestCloseReleasesEverythingAndEndsReading(t *testing.T) {
	c := startCaller(t)
	before := descriptors(t)
	s := counting(t, c.PID())
	assert.Greater(t, descriptors(t), before)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "Close may be repeated")
	assert.Equal(t, before, descriptors(t))
	_, err := s.Read()
	assert.ErrorContains(t, err, "closed")
}

func TestSubLeavesAbsentCountersAbsent(t *testing.T) {
	a := Counts{Syscalls: 7, CtxSwitches: 3}
	assert.Equal(t, Counts{Syscalls: 5, CtxSwitches: 2}, a.Sub(Counts{Syscalls: 2, CtxSwitches: 1}))
	absent := Counts{NoSyscalls: "not permitted", NoCtxSwitches: "nor this"}
	assert.Equal(t, absent, absent.Sub(absent))
}

func TestCountersThatAreNotPermittedSayWhatIsNeeded(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to give it up in a child")
	}
	var got Counts
	err := startCaller(t).Call(t.Context(), "drop", nil, &got)
	if err == nil { // a permissive host counts switches for everybody
		assert.Contains(t, got.NoSyscalls, "needs root")
		assert.Zero(t, got.Syscalls)
		return
	}
	assert.ErrorContains(t, err, "number of tracepoint raw_syscalls:sys_enter")
	assert.ErrorContains(t, err, "needs root or CAP_PERFMON; kernel.perf_event_paranoid is")
}

// TestTracepointIsFoundWithoutAMount reads tracefs as on a host where it is
// mounted nowhere, and leaves the host's mounts as they are.
func TestTracepointIsFoundWithoutAMount(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	open := descriptors(t)
	text, err := readDetached("events/raw_syscalls/sys_enter/id")
	require.NoError(t, err)
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	require.NoError(t, err)
	known, err := tracepointID("raw_syscalls", "sys_enter")
	require.NoError(t, err)
	assert.Equal(t, known, id)

	_, err = readDetached("events/raw_syscalls/no_such_event/id")
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = tracepointID("raw_syscalls", "no_such_event")
	assert.ErrorContains(t, err, "raw_syscalls:no_such_event")

	now, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	assert.Equal(t, string(mounts), string(now))
	assert.Equal(t, open, descriptors(t))
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
