package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/keeper"
	"netbench/internal/proc"
	"netbench/internal/ptree"
)

// foreign is the command line of a server that is not of ours.
func foreign(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return "NETBENCH_TEST_FOREIGN={addr} exec " + self
}

func startCommand(t *testing.T, line string) *Server {
	t.Helper()
	place, err := Place()
	require.NoError(t, err)
	s, err := StartCommand(t.Context(), CommandSpec{Line: line, CPUs: place.Server, StartTimeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Kill()) })
	return s
}

// gone waits until none of the processes is there; what was killed is reaped a
// moment later.
func gone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		assert.Eventually(t, func() bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }, 10*time.Second, time.Millisecond, "process %d is left", pid)
	}
}

func TestACommandIsMeasuredAndStoppedWithAllItsProcesses(t *testing.T) {
	leaveNothing(t)
	// One process in a session of its own, as that of a daemon.
	s := startCommand(t, "(setsid sleep 300 &); "+foreign(t))
	var tree []int
	require.Eventually(t, func() bool {
		var err error
		tree, err = ptree.Processes(s.PID())
		return err == nil && len(tree) == 3
	}, 10*time.Second, time.Millisecond, "keeper, server and daemon")

	before, err := s.CPU()
	require.NoError(t, err)
	c := dial(t, s)
	exchange(t, c, 2000)
	require.Eventually(t, func() bool { return s.Quiesce(t.Context()) == nil }, 10*time.Second, time.Millisecond)
	after, err := s.CPU()
	require.NoError(t, err)
	assert.Greater(t, after-before, time.Millisecond, "2000 exchanges cost something")

	if set, err := s.Counters(); err == nil {
		exchange(t, c, 100)
		n, err := set.Read()
		require.NoError(t, err)
		require.NoError(t, set.Close())
		if n.NoSyscalls == "" {
			assert.GreaterOrEqual(t, n.Syscalls, uint64(200), "a read and a write for each")
		}
	}
	r, err := s.Runtime(t.Context())
	require.NoError(t, err)
	assert.Empty(t, r.GoVersion, "nothing is known of its runtime")
	_, err = s.Stats(t.Context())
	assert.ErrorContains(t, err, "unknown operation")

	require.NoError(t, s.Stop(t.Context()))
	gone(t, tree)
}

func TestACommandThatHeedsNoSignalIsKilled(t *testing.T) {
	leaveNothing(t)
	s := startCommand(t, "trap '' TERM; (sleep 300; sleep 300) & "+strings.Replace(foreign(t), "exec ", "", 1))
	tree, err := ptree.Processes(s.PID())
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, s.Stop(t.Context()))
	assert.GreaterOrEqual(t, time.Since(began), keeper.DefaultGrace)
	gone(t, tree)
}

func TestACommandThatEndsOfItselfIsAnError(t *testing.T) {
	leaveNothing(t)
	s := startCommand(t, foreign(t))
	tree, err := ptree.Processes(s.PID())
	require.NoError(t, err)
	require.Len(t, tree, 2)
	require.NoError(t, unix.Kill(tree[1], unix.SIGABRT))
	<-s.Done()
	require.Error(t, s.Err())
	assert.Contains(t, s.Err().Error(), "the command ended")
	gone(t, tree)
}

func TestACommandThatCannotServeSaysWhyAndLeavesNothing(t *testing.T) {
	leaveNothing(t)
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "pid")
	for name, tc := range map[string]struct {
		line string
		want string
	}{
		"no address":     {"sleep 300", "has no {addr} and no {port}"},
		"nothing":        {"  ", "the command is empty"},
		"ends":           {"echo the disk is full >&2; exit 3 # {addr}", "it ended before it listened on 127.0.0.1:"},
		"says why":       {"echo the disk is full >&2; exit 3 # {addr}", "exit status 3; it wrote: the disk is full"},
		"does not exist": {"/no/such/server {addr}", "exit status 127"},
		"never listens":  {"echo $$ >" + pidFile + "; exec sleep 300 # {port}", "did not listen on 127.0.0.1:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := StartCommand(t.Context(), CommandSpec{Line: tc.line, StartTimeout: 2 * time.Second})
			require.ErrorContains(t, err, tc.want)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
	assertEnded(t, pidFile)
}

func assertEnded(t *testing.T, pidFile string) {
	t.Helper()
	text, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	_, err = os.Stat("/proc/" + strings.TrimSpace(string(text)))
	assert.ErrorIs(t, err, os.ErrNotExist, "it is left running")
}

func TestGivingUpWhileACommandStartsLeavesNothing(t *testing.T) {
	leaveNothing(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for !fileHasContent(pidFile) {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := StartCommand(ctx, CommandSpec{Line: "echo $$ >" + pidFile + "; exec sleep 300 # {addr}", StartTimeout: time.Minute})
	require.ErrorIs(t, err, context.Canceled)
	assertEnded(t, pidFile)
}

func fileHasContent(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Size() > 0
}

// commander starts a command and tells which processes there are.
var commander = proc.Role{Name: "commander", Run: func(ctx context.Context, ch *proc.Channel, raw json.RawMessage) error {
	var line string
	if err := json.Unmarshal(raw, &line); err != nil {
		return err
	}
	s, err := StartCommand(ctx, CommandSpec{Line: line, StartTimeout: time.Minute})
	if err != nil {
		return err
	}
	tree, err := ptree.Processes(s.PID())
	if err != nil {
		return err
	}
	if err := ch.Ready(tree); err != nil {
		return err
	}
	<-ctx.Done()
	return s.Stop(context.WithoutCancel(ctx))
}}

// Even the processes that the command has started, and that ignore signals.
func TestNothingOfACommandOutlivesAKilledParent(t *testing.T) {
	leaveNothing(t)
	// Orphans come to this process and are reaped here: not every init does it.
	require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	defer func() { require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)) }()
	parent, err := proc.Start(t.Context(), proc.Options{
		Role: "commander", Spec: "trap '' TERM; (setsid sleep 300 &); sleep 300 & " + foreign(t), StartTimeout: time.Minute,
	})
	require.NoError(t, err)
	var tree []int
	require.NoError(t, json.Unmarshal(parent.Info(), &tree))
	require.GreaterOrEqual(t, len(tree), 3, "keeper, server and a sleeper")
	require.NoError(t, parent.Kill())
	for _, pid := range tree {
		assert.Eventually(t, func() bool {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
			return errors.Is(unix.Kill(pid, 0), unix.ESRCH)
		}, 10*time.Second, time.Millisecond, "process %d is left", pid)
	}
}
