package services_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"netbench/internal/proc"
	"netbench/internal/ptree"
	"netbench/testenv"
	"netbench/testenv/services"
)

func TestMain(m *testing.M) {
	testenv.Main(nil, holder)
	// A variable of the developer's would decide which rung the tests get.
	os.Unsetenv(services.EnvPostgres)
	os.Unsetenv(services.EnvRedis)
	goleak.VerifyTestMain(m)
}

// leaveNothing fails the test if, when everything else of it is over, it has left a
// goroutine, a descriptor, a child process or a directory behind.
func leaveNothing(t *testing.T) {
	t.Helper()
	r, w, err := os.Pipe() // the runtime's poller has descriptors of its own from the first pipe on
	require.NoError(t, err)
	require.NoError(t, errors.Join(r.Close(), w.Close()))
	temporary, err := os.MkdirTemp("", "nb-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(temporary, 0o711)) // for the unprivileged user
	t.Setenv("TMPDIR", temporary)
	before := descriptors(t)
	t.Cleanup(func() {
		goleak.VerifyNone(t)
		assert.Equal(t, before, descriptors(t), "descriptors were left open")
		tree, err := ptree.Processes(os.Getpid())
		assert.NoError(t, err)
		assert.Len(t, tree, 1, "processes were left")
		left, err := filepath.Glob(temporary + "/*")
		assert.NoError(t, err)
		assert.Empty(t, left, "directories were left")
		assert.NoError(t, os.RemoveAll(temporary))
	})
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}

// gone waits until none of the processes is there.
func gone(t *testing.T, pids []int, within time.Duration) {
	t.Helper()
	for _, pid := range pids {
		assert.Eventually(t, func() bool {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
			return errors.Is(unix.Kill(pid, 0), unix.ESRCH)
		}, within, time.Millisecond, "process %d is left", pid)
	}
}

// holder starts a service, tells its processes and then does nothing.
var holder = proc.Role{Name: "holder", Run: func(ctx context.Context, ch *proc.Channel, raw json.RawMessage) error {
	var which string
	if err := json.Unmarshal(raw, &which); err != nil {
		return err
	}
	var err error
	if which == "postgres" {
		_, err = services.StartPostgres(ctx, services.PostgresOptions{StartTimeout: time.Minute})
	} else {
		_, err = services.StartRedis(ctx, services.RedisOptions{StartTimeout: time.Minute, RealOnly: true})
	}
	if err != nil {
		return err
	}
	tree, err := ptree.Processes(os.Getpid())
	if err != nil {
		return err
	}
	if err := ch.Ready(tree); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}}

// outlive kills a process that holds a service, and expects nothing to be left two
// seconds later.
func outlive(t *testing.T, which string, least int) {
	leaveNothing(t)
	// Orphans come to this process and are reaped here: not every init does it.
	require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	defer func() { require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)) }()
	parent, err := proc.Start(t.Context(), proc.Options{Role: "holder", Spec: which, StartTimeout: time.Minute})
	require.NoError(t, err)
	var tree []int
	require.NoError(t, json.Unmarshal(parent.Info(), &tree))
	require.GreaterOrEqual(t, len(tree), least, "holder, keeper and the service")
	dirs, err := filepath.Glob(os.TempDir() + "/netbench-*")
	require.NoError(t, err)
	require.Len(t, dirs, 1)
	require.NoError(t, parent.Kill())
	killed := time.Now()
	gone(t, tree[1:], 10*time.Second)
	assert.Eventually(t, func() bool {
		_, err := os.Stat(dirs[0])
		return errors.Is(err, os.ErrNotExist)
	}, 10*time.Second, time.Millisecond, "the directory is left")
	t.Logf("nothing left %v after SIGKILL", time.Since(killed).Round(time.Millisecond))
}
