package containers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/needs"
	"netbench/internal/ptree"
	"netbench/load"
	"netbench/testenv"
	"netbench/testenv/services"
)

func TestMain(m *testing.M) {
	testenv.Main(nil, append(Use(), load.Role(), user)...)
	// A variable of the developer's would decide which rung the tests get.
	os.Unsetenv(services.EnvPostgres)
	os.Unsetenv(services.EnvRedis)
	goleak.VerifyTestMain(m)
}

// engine skips a test where no engine answers.
func engine(t testing.TB) EngineInfo {
	t.Helper()
	e, err := Engine(t.Context())
	if errors.Is(err, ErrNoEngine) {
		needs.Skip(t, needs.Docker, err)
	}
	require.NoError(t, err)
	return e
}

// containers are the names of those that the engine has for a process, started or
// not.
func containers(t testing.TB, owner int) []string {
	t.Helper()
	c, err := connect()
	require.NoError(t, err)
	defer c.Close()
	found, err := c.ContainerList(context.Background(), client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", ownerLabel+"="+strconv.Itoa(owner)),
	})
	require.NoError(t, err)
	names := []string{}
	for _, item := range found.Items {
		names = append(names, item.Names...)
	}
	return names
}

// leaveNothing fails the test if, when everything else of it is over, it has left a
// goroutine, a descriptor, a child process, a directory or a container behind.
func leaveNothing(t *testing.T) {
	t.Helper()
	r, w, err := os.Pipe() // the runtime's poller has descriptors of its own from the first pipe on
	require.NoError(t, err)
	require.NoError(t, errors.Join(r.Close(), w.Close()))
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	before := open(t)
	t.Cleanup(func() {
		goleak.VerifyNone(t)
		assert.Equal(t, before, open(t), "descriptors were left open")
		tree, err := ptree.Processes(os.Getpid())
		assert.NoError(t, err)
		assert.Len(t, tree, 1, "processes were left")
		left, err := filepath.Glob(temporary + "/*")
		assert.NoError(t, err)
		assert.Empty(t, left, "directories were left")
		assert.Empty(t, containers(t, os.Getpid()), "containers were left")
	})
}

func open(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}

// startServer starts a server in a container that is gone when the test ends.
func startServer(t *testing.T, spec testenv.ServerSpec, l Limits) *testenv.Server {
	t.Helper()
	spec.StartTimeout = time.Minute // the machine may be busy
	s, err := StartServer(t.Context(), spec, l)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Kill() }) // an error if it was stopped
	return s
}
