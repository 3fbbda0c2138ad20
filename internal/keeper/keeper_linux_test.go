package keeper_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"netbench/internal/keeper"
	"netbench/internal/proc"
	"netbench/internal/ptree"
)

func TestMain(m *testing.M) {
	proc.Main(keeper.Role)
	goleak.VerifyTestMain(m)
}

// start starts a keeper that is gone when the test ends, with its directory.
func start(t *testing.T, spec keeper.Spec) *keeper.Keeper {
	t.Helper()
	// Not that of the test, which other users may not enter.
	spec.Dir = "nb-keeper-"
	k, err := keeper.Start(t.Context(), spec)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = k.Stop(context.Background()) // an error if the test made it end otherwise
		assert.NoDirExists(t, k.Dir())
		assert.ErrorIs(t, unix.Kill(k.Child().PID(), 0), unix.ESRCH)
	})
	return k
}

func shell(k *keeper.Keeper, line string) keeper.Command {
	return keeper.Command{Args: []string{"/bin/sh", "-c", line}, Dir: k.Dir()}
}

// wrote is a probe that waits for a file in the keeper's directory.
func wrote(k *keeper.Keeper, name string) func(context.Context) error {
	return func(context.Context) error {
		_, err := os.Stat(filepath.Join(k.Dir(), name))
		return err
	}
}

func content(t *testing.T, k *keeper.Keeper, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(k.Dir(), name))
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

func TestACommandRunsToItsEndWithAllItLeavesBehind(t *testing.T) {
	k := start(t, keeper.Spec{Env: []string{"WORD=told"}})
	require.NoError(t, k.Run(t.Context(), shell(k, "(sleep 0.1; echo $WORD >late) & exit 0")))
	assert.Equal(t, "told", content(t, k, "late"))
	var ended *keeper.EndedError
	require.ErrorAs(t, k.Run(t.Context(), shell(k, "exit 5")), &ended)
	assert.Equal(t, "exit status 5", ended.Status)
	require.ErrorAs(t, k.Run(t.Context(), shell(k, "kill -ABRT $$")), &ended)
	assert.Equal(t, "signal: aborted", ended.Status)
	assert.ErrorContains(t, k.Run(t.Context(), keeper.Command{Args: []string{"/no/such"}}), "no such file")
}

// giveUp gives a command up once it has made the file up, and returns when nothing of
// it runs any more.
func giveUp(t *testing.T, k *keeper.Keeper, c keeper.Command) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx, c) }()
	require.Eventually(t, func() bool { return wrote(k, "up")(ctx) == nil }, time.Minute, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Eventually(t, func() bool { return k.Run(t.Context(), shell(k, "exit 0")) == nil }, time.Minute, time.Millisecond, "nothing runs any more")
}

func TestACommandThatIsGivenUpMayRemoveWhatItHolds(t *testing.T) {
	k := start(t, keeper.Spec{})
	c := shell(k, "(trap 'rm held; exit' TERM; : >held; : >up; sleep 300 & wait) & trap 'exit 0' TERM; wait")
	c.Abort = syscall.SIGTERM
	giveUp(t, k, c)
	assert.NoFileExists(t, filepath.Join(k.Dir(), "held"))
}

func TestACommandThatIsGivenUpHasTheTimeThatItAsksFor(t *testing.T) {
	k := start(t, keeper.Spec{})
	c := shell(k, "trap 'sleep 1.5; rm held; kill $!; exit' TERM; : >held; : >up; sleep 300 & wait")
	c.Abort, c.First, c.AbortGrace = syscall.SIGTERM, true, time.Minute
	giveUp(t, k, c)
	assert.NoFileExists(t, filepath.Join(k.Dir(), "held"), "killed after %v", keeper.DefaultAbortGrace)
}

func TestAProgramCanBeLaunchedAgainInItsDirectory(t *testing.T) {
	k := start(t, keeper.Spec{})
	line := "echo x >>starts; : >up; exec sleep 300"
	require.NoError(t, k.Launch(t.Context(), shell(k, line), wrote(k, "up")))
	assert.ErrorContains(t, k.Run(t.Context(), shell(k, "exit 0")), "another command runs")
	require.NoError(t, k.End(t.Context()))
	require.NoError(t, os.Remove(filepath.Join(k.Dir(), "up")))
	require.NoError(t, k.Launch(t.Context(), shell(k, line), wrote(k, "up")))
	assert.Equal(t, "x\nx", content(t, k, "starts"))
	require.NoError(t, k.Stop(t.Context()))
}

func TestAProgramIsAskedToEndByItsOwnSignal(t *testing.T) {
	k := start(t, keeper.Spec{})
	log, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer log.Close()
	c := shell(k, "trap 'echo fast >>"+log.Name()+"; kill $!; exit 0' INT; sh -c \"trap 'echo other >>"+log.Name()+"; exit' INT; : >up; sleep 300 & wait\" & wait")
	c.Signal, c.First = syscall.SIGINT, true
	require.NoError(t, k.Launch(t.Context(), c, wrote(k, "up")))
	require.NoError(t, k.End(t.Context()))
	text, err := os.ReadFile(log.Name())
	require.NoError(t, err)
	assert.Equal(t, "fast\n", string(text), "the first process alone was asked")
}

func TestALaunchThatIsNotReadyInTimeTellsWhatTheProbeSaid(t *testing.T) {
	k := start(t, keeper.Spec{})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := k.Launch(ctx, shell(k, "exec sleep 300"), func(context.Context) error { return errors.New("no answer yet") })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "no answer yet")
}

func TestAProbeIsInterruptedWhenTheProgramEnds(t *testing.T) {
	k := start(t, keeper.Spec{})
	err := k.Launch(t.Context(), shell(k, "exit 6"), func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	var ended *keeper.EndedError
	require.ErrorAs(t, err, &ended)
	assert.Equal(t, "exit status 6", ended.Status)
}

func TestAKeeperEndsWithTheProgramThatWasReady(t *testing.T) {
	k := start(t, keeper.Spec{})
	require.NoError(t, k.Launch(t.Context(), shell(k, "echo $$ >pid; : >up; exec sleep 300"), wrote(k, "up")))
	tree, err := ptree.Processes(k.Child().PID())
	require.NoError(t, err)
	require.Len(t, tree, 2)
	require.NoError(t, unix.Kill(tree[1], unix.SIGKILL))
	<-k.Child().Done()
	assert.ErrorContains(t, k.Stop(t.Context()), "the command ended: signal: killed")
}

func TestAProgramAndItsDirectoryGoWithAKilledKeeper(t *testing.T) {
	k := start(t, keeper.Spec{})
	require.NoError(t, k.Launch(t.Context(), shell(k, ": >up; exec sleep 300"), wrote(k, "up")))
	tree, err := ptree.Processes(k.Child().PID())
	require.NoError(t, err)
	require.Len(t, tree, 2)
	require.NoError(t, unix.Kill(tree[0], unix.SIGKILL))
	<-k.Child().Done()
	require.Error(t, k.Stop(t.Context()))
	assert.Eventually(t, func() bool { return processEnded(tree[1]) }, 10*time.Second, time.Millisecond)
}

// processEnded tells whether nothing but perhaps an entry that its new parent has
// not read is left of a process.
func processEnded(pid int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	return err != nil || strings.Contains(string(status), "State:\tZ")
}

func TestCommandsRunAsTheOwnerOfTheDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("to run a command as another user needs root")
	}
	k := start(t, keeper.Spec{Owner: &keeper.User{Name: "nobody", UID: 65534, GID: 65534}})
	require.NoError(t, k.Run(t.Context(), shell(k, "id -u >who; id -G >>who")))
	assert.Equal(t, "65534\n65534", content(t, k, "who"))
	info, err := os.Stat(k.Dir())
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}
