package proc

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/cpu"
)

// TestChildGoesWithAKilledParent kills a process that has started a child, which
// has to go within a second.
func TestChildGoesWithAKilledParent(t *testing.T) {
	// Orphans come to this process and are reaped here: not every init does it.
	require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	defer func() { require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)) }()
	for _, c := range []struct {
		name   string
		role   string
		stop   bool   // stop the child first
		noTie  string // leave only the pipe
		parent syscall.Signal
	}{
		{name: "idle", role: "worker", parent: syscall.SIGKILL},
		{name: "busy on one P", role: "spinner", parent: syscall.SIGKILL},
		{name: "stopped", role: "worker", stop: true, parent: syscall.SIGKILL},
		{name: "parent terminated", role: "worker", parent: syscall.SIGTERM},
		{name: "idle, by the pipe alone", role: "worker", noTie: "1", parent: syscall.SIGKILL},
		{name: "busy on one P, by the pipe alone", role: "spinner", noTie: "1", parent: syscall.SIGKILL},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaveNothing(t)
			mid := start(t, Options{Role: "middle", Env: []string{envNoTie + "=" + c.noTie},
				Spec: Options{Role: c.role, GoMaxProcs: 1, StartTimeout: time.Minute}})
			var pid int
			require.NoError(t, json.Unmarshal(mid.Info(), &pid))
			child, err := unix.PidfdOpen(pid, 0)
			require.NoError(t, err)
			defer func() {
				// Only if the test failed is there still something to kill.
				_ = unix.PidfdSendSignal(child, unix.SIGKILL, nil, 0)
				assert.NoError(t, unix.Close(child))
				_, err := unix.Wait4(pid, nil, 0, nil)
				assert.NoError(t, err)
			}()
			if c.stop {
				require.NoError(t, unix.PidfdSendSignal(child, unix.SIGSTOP, nil, 0))
			}
			require.False(t, ended(t, child, 0), "the child is alive")
			require.NoError(t, syscall.Kill(mid.PID(), c.parent))
			assert.True(t, ended(t, child, time.Second), "the child outlived its parent by more than a second")
			<-mid.Done()
		})
	}
}

// TestAnOrphanDoesItsLastAlsoIfItWritesToNobody: its standard error and output are
// pipes that broke with the parent.
func TestAnOrphanDoesItsLastAlsoIfItWritesToNobody(t *testing.T) {
	require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	defer func() { require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)) }()
	leaveNothing(t)
	will := filepath.Join(t.TempDir(), "will")
	mid := start(t, Options{Role: "middle", Env: []string{envWill + "=" + will}, Spec: Options{Role: "talkative", Untied: true}})
	var pid int
	require.NoError(t, json.Unmarshal(mid.Info(), &pid))
	require.NoError(t, mid.Kill())
	var status unix.WaitStatus
	_, err := unix.Wait4(pid, &status, 0, nil)
	require.NoError(t, err)
	assert.Equal(t, exitOrphan, status.ExitStatus(), "it ended by itself")
	assert.FileExists(t, will)
}

// ended waits for the end of the process behind a pidfd, which then becomes
// readable.
func ended(t *testing.T, pidfd int, within time.Duration) bool {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		left := max(0, time.Until(deadline))
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(left.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		require.NoError(t, err)
		return n == 1
	}
}

// TestEveryThreadOfTheChildRunsOnItsCPUs also with a GOMAXPROCS in the
// environment, which the set overrides.
func TestEveryThreadOfTheChildRunsOnItsCPUs(t *testing.T) {
	leaveNothing(t)
	initial, err := cpu.Initial()
	require.NoError(t, err)
	t.Setenv("GOMAXPROCS", "7")
	sets := [][]int{{initial[0]}, {initial[len(initial)-1]}, initial}
	for _, set := range sets {
		c := start(t, Options{Role: "worker", CPUs: set})
		var info workerInfo
		require.NoError(t, json.Unmarshal(c.Info(), &info))
		assert.Equal(t, len(set), info.NumCPU)
		assert.LessOrEqual(t, info.GoMaxProcs, len(set), "a cgroup may grant less than the set")
		assert.Positive(t, info.GoMaxProcs)
		for _, tid := range threads(t, c.PID()) {
			got, err := cpu.Thread(tid)
			require.NoError(t, err)
			assert.Equal(t, set, got, "thread %d", tid)
		}
		require.NoError(t, c.Stop(t.Context()))
	}
	// Without a set nothing is changed.
	c := start(t, Options{Role: "worker"})
	var info workerInfo
	require.NoError(t, json.Unmarshal(c.Info(), &info))
	assert.Equal(t, 7, info.GoMaxProcs)
	for _, tid := range threads(t, os.Getpid()) {
		got, err := cpu.Thread(tid)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, initial, got, "our own threads are where they were")
	}
}

func threads(t *testing.T, pid int) (tids []int) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	require.NoError(t, err)
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		require.NoError(t, err)
		tids = append(tids, tid)
	}
	require.True(t, slices.Contains(tids, pid))
	return tids
}

func TestChildHasItsOwnGroupNameAndDeathSignal(t *testing.T) {
	leaveNothing(t)
	c := start(t, Options{Role: "worker"})
	var info workerInfo
	require.NoError(t, json.Unmarshal(c.Info(), &info))
	assert.Equal(t, int(syscall.SIGKILL), info.DeathSignal)
	group, err := syscall.Getpgid(c.PID())
	require.NoError(t, err)
	assert.Equal(t, c.PID(), group)
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", c.PID()))
	require.NoError(t, err)
	assert.Equal(t, "nb-worker\n", string(name))
}
