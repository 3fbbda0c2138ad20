package ptree

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/proc"
)

func TestMain(m *testing.M) {
	proc.Main(proc.Role{Name: "node", Run: node})
	goleak.VerifyTestMain(m)
}

// node can burn CPU time, tell what it has used, and start a child of its own.
func node(ctx context.Context, ch *proc.Channel, _ json.RawMessage) error {
	ch.Handle("burn", func(_ context.Context, arg json.RawMessage) (any, error) {
		var d time.Duration
		if err := json.Unmarshal(arg, &d); err != nil {
			return nil, err
		}
		for begin := used(); used()-begin < d; {
		}
		return used(), nil
	})
	var busy atomic.Bool
	ch.Handle("busy", func(context.Context, json.RawMessage) (any, error) {
		busy.Store(true)
		go func() {
			for busy.Load() {
			}
		}()
		return nil, nil
	})
	ch.Handle("idle", func(context.Context, json.RawMessage) (any, error) {
		busy.Store(false)
		return nil, nil
	})
	// relay hands a byte from thread to thread for ever: one of the two always
	// runs or is about to, and each sleeps half of the time.
	ch.Handle("relay", func(context.Context, json.RawMessage) (any, error) {
		var pipes [2][2]int
		for i := range pipes {
			if err := syscall.Pipe(pipes[i][:]); err != nil {
				return nil, err
			}
		}
		for i := range pipes {
			go func() {
				runtime.LockOSThread()
				var b [1]byte
				for {
					if _, err := syscall.Read(pipes[i][0], b[:]); err != nil {
						panic(err)
					}
					if _, err := syscall.Write(pipes[1-i][1], b[:]); err != nil {
						panic(err)
					}
				}
			}()
		}
		_, err := syscall.Write(pipes[0][1], []byte{1})
		return nil, err
	})
	var child atomic.Pointer[proc.Child]
	ch.Handle("spawn", func(ctx context.Context, _ json.RawMessage) (any, error) {
		c, err := proc.Start(ctx, proc.Options{Role: "node", StartTimeout: time.Minute})
		if err != nil {
			return nil, err
		}
		child.Store(c)
		return c.PID(), nil
	})
	ch.Handle("tell", func(ctx context.Context, arg json.RawMessage) (any, error) {
		var op string
		if err := json.Unmarshal(arg, &op); err != nil {
			return nil, err
		}
		return nil, child.Load().Call(ctx, op, 50*time.Millisecond, nil)
	})
	ch.Handle("reap", func(ctx context.Context, _ json.RawMessage) (any, error) {
		return nil, child.Load().Stop(ctx)
	})
	if err := ch.Ready(nil); err != nil {
		return err
	}
	<-ctx.Done()
	if c := child.Load(); c != nil {
		return c.Kill()
	}
	return nil
}

// used is the CPU time of this process as getrusage tells it, in microseconds.
func used() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func startNode(t *testing.T) *proc.Child {
	t.Helper()
	c, err := proc.Start(t.Context(), proc.Options{Role: "node", StartTimeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, c.Stop(ctx))
	})
	return c
}

func spawn(t *testing.T, c *proc.Child) (pid int) {
	t.Helper()
	require.NoError(t, c.Call(t.Context(), "spawn", nil, &pid))
	return pid
}

// settle waits until the whole tree is blocked.
func settle(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		blocked, err := Blocked(pid)
		require.NoError(t, err)
		return blocked
	}, time.Minute, time.Millisecond)
}

func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	d, err := CPUTime(pid)
	require.NoError(t, err)
	return d
}

func TestProcessesListsParentsBeforeChildren(t *testing.T) {
	c := startNode(t)
	tree, err := Processes(c.PID())
	require.NoError(t, err)
	assert.Equal(t, []int{c.PID()}, tree)

	child := spawn(t, c)
	tree, err = Processes(c.PID())
	require.NoError(t, err)
	assert.Equal(t, []int{c.PID(), child}, tree)

	scanned, err := childrenByScan(c.PID())
	require.NoError(t, err)
	assert.Equal(t, []int{child}, scanned, "the way for kernels without /proc/PID/task/TID/children")

	ours, err := Processes(os.Getpid())
	require.NoError(t, err)
	assert.Subset(t, ours, []int{os.Getpid(), c.PID(), child})

	tids, err := Threads(c.PID())
	require.NoError(t, err)
	assert.True(t, slices.Contains(tids, c.PID()), "the main thread is among %v", tids)
}

func TestCPUTimeAgreesWithWhatTheProcessKnowsItself(t *testing.T) {
	c := startNode(t)
	last := time.Duration(0)
	for range 5 {
		var knows time.Duration
		require.NoError(t, c.Call(t.Context(), "burn", 20*time.Millisecond, &knows))
		settle(t, c.PID())
		got := cpuTime(t, c.PID())
		assert.GreaterOrEqual(t, got, last, "it never goes back")
		// Answering the call and going to sleep takes some time yet.
		assert.InDelta(t, knows.Seconds(), got.Seconds(), 0.01)
		last = got
	}
	assert.GreaterOrEqual(t, last, 100*time.Millisecond)
	// The runtime wakes a thread of its own now and then, but not between any two looks.
	assert.Eventually(t, func() bool {
		before := last
		last = cpuTime(t, c.PID())
		return last == before
	}, time.Minute, time.Millisecond, "the clock of a blocked process stands")
}

func TestCPUTimeCountsDescendantsAliveAndEnded(t *testing.T) {
	c := startNode(t)
	spawn(t, c)
	settle(t, c.PID())
	before := cpuTime(t, c.PID())
	require.NoError(t, c.Call(t.Context(), "tell", "burn", nil)) // 50 ms, in the child
	settle(t, c.PID())
	alive := cpuTime(t, c.PID())
	assert.GreaterOrEqual(t, alive-before, 50*time.Millisecond)

	require.NoError(t, c.Call(t.Context(), "reap", nil, nil))
	settle(t, c.PID())
	tree, err := Processes(c.PID())
	require.NoError(t, err)
	require.Len(t, tree, 1)
	ended := cpuTime(t, c.PID())
	assert.GreaterOrEqual(t, ended, alive-2*tick, "at most the fractions of two ticks are lost")
	own, err := processTime(c.PID())
	require.NoError(t, err)
	assert.Less(t, own, ended, "the child's time is not the parent's own")
}

func TestBlockedSeesBusyThreadsAnywhereInTheTree(t *testing.T) {
	c := startNode(t)
	spawn(t, c)
	settle(t, c.PID())
	busy := func() bool {
		// A busy process must not be taken for a blocked one, however often one
		// looks.
		for range 200 {
			blocked, err := Blocked(c.PID())
			require.NoError(t, err)
			if blocked {
				return false
			}
		}
		return true
	}
	require.NoError(t, c.Call(t.Context(), "busy", nil, nil))
	assert.True(t, busy(), "the root is busy")
	require.NoError(t, c.Call(t.Context(), "idle", nil, nil))
	settle(t, c.PID())
	require.NoError(t, c.Call(t.Context(), "tell", "busy", nil))
	assert.True(t, busy(), "the child is busy")
	require.NoError(t, c.Call(t.Context(), "tell", "idle", nil))
	settle(t, c.PID())
}

func TestBlockedIsNotFooledByWorkThatIsHandedOn(t *testing.T) {
	c := startNode(t)
	require.NoError(t, c.Call(t.Context(), "relay", nil, nil))
	for range 3000 {
		blocked, err := Blocked(c.PID())
		require.NoError(t, err)
		require.False(t, blocked)
	}
}

func BenchmarkCPUTime(b *testing.B) {
	for b.Loop() {
		if _, err := CPUTime(os.Getpid()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBlocked(b *testing.B) {
	for b.Loop() {
		if _, err := Blocked(os.Getpid()); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFreezeStopsTheTreeUntilThaw(t *testing.T) {
	c := startNode(t)
	spawn(t, c)
	require.NoError(t, c.Call(t.Context(), "busy", nil, nil))
	require.NoError(t, c.Call(t.Context(), "tell", "busy", nil))
	require.NoError(t, Freeze(t.Context(), c.PID()))
	blocked, err := Blocked(c.PID())
	require.NoError(t, err)
	assert.True(t, blocked, "a stopped tree does not run")
	frozen := cpuTime(t, c.PID())
	runtime.Gosched()
	assert.Equal(t, frozen, cpuTime(t, c.PID()))

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, c.Call(ctx, "idle", nil, nil), context.DeadlineExceeded, "nobody answers")

	require.NoError(t, Thaw(c.PID()))
	require.NoError(t, c.Call(t.Context(), "idle", nil, nil))
	require.NoError(t, c.Call(t.Context(), "tell", "idle", nil))
	settle(t, c.PID())
	assert.Greater(t, cpuTime(t, c.PID()), frozen)
}

func TestAnEndedProcessIsGone(t *testing.T) {
	c := startNode(t)
	require.NoError(t, c.Stop(t.Context()))
	pid := c.PID()
	_, err := Processes(pid)
	assert.ErrorIs(t, err, ErrGone)
	_, err = Threads(pid)
	assert.ErrorIs(t, err, ErrGone)
	_, err = CPUTime(pid)
	assert.ErrorIs(t, err, ErrGone)
	_, err = Blocked(pid)
	assert.ErrorIs(t, err, ErrGone)
	assert.ErrorIs(t, Freeze(t.Context(), pid), ErrGone)
	assert.ErrorIs(t, Thaw(pid), ErrGone)
}

func TestParseStatSurvivesStrangeNames(t *testing.T) {
	const rest = " S 17 3 3 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 100"
	for _, name := range []string{"(sh)", "(a b)", "(x) R 1 (y)", "())", "(\n)"} {
		got, err := parseStat([]byte("4711 " + name + rest))
		require.NoError(t, err, name)
		assert.Equal(t, stat{state: 'S', parent: 17, waited: 70}, got, name)
	}
	for _, bad := range []string{"", "12 (x)", "12 (x) S 1 2", "12 (x) S p" + rest, "12 (x) Sleeping" + rest} {
		_, err := parseStat([]byte(bad))
		assert.Error(t, err, bad)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, file := range lines {
		if line, err := os.ReadFile(file); err == nil {
			_, err = parseStat(line)
			assert.NoError(t, err, "%s: %s", file, line)
		}
	}
}
