package conditions_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/cc"
	"netbench/internal/needs"
	"netbench/models"
	"netbench/models/conditions"
	"netbench/models/floor"
	"netbench/models/goroutine"
	"netbench/testenv"
)

// spec is the server that all others are compared with.
func spec(change func(*testenv.ServerSpec)) testenv.ServerSpec {
	s := testenv.ServerSpec{
		Model: goroutine.Name, Service: "echo", StartTimeout: time.Minute,
		Config: models.Config{Loops: 1, Backlog: 512},
	}
	if change != nil {
		change(&s)
	}
	return s
}

// of starts a server, looks at it and stops it.
func of(t *testing.T, s testenv.ServerSpec) conditions.Conditions {
	t.Helper()
	server, err := testenv.StartServer(t.Context(), s)
	require.NoError(t, err)
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		assert.NoError(t, server.Stop(ctx))
	}()
	c, err := conditions.Of(t.Context(), server)
	require.NoError(t, err)
	return c
}

// inFloor is a specification of one of the C models.
func inFloor(t *testing.T, name string) func(*testenv.ServerSpec) {
	t.Helper()
	program, err := floor.Build(t.Context(), name)
	if errors.Is(err, cc.ErrNoCompiler) {
		needs.Skip(t, needs.CC, err)
	}
	require.NoError(t, err)
	if name == floor.Uring {
		disabled, err := os.ReadFile("/proc/sys/kernel/io_uring_disabled")
		if err == nil && disabled[0] == '2' {
			needs.Skip(t, needs.Uring, "kernel.io_uring_disabled is 2")
		}
	}
	return func(s *testenv.ServerSpec) { s.Model, s.Program = name, program }
}

// needReadSize skips where reads cannot be watched.
func needReadSize(t *testing.T, c conditions.Conditions) {
	t.Helper()
	if c.ReadSize == 0 {
		needs.Skip(t, needs.Perf, c.NoReadSize)
	}
}

func TestOfTellsWhatTheGoroutineModelIsDocumentedToDo(t *testing.T) {
	c := of(t, spec(func(s *testenv.ServerSpec) { s.GoMaxProcs = 1 }))
	assert.Equal(t, goroutine.Name, c.Model)
	assert.True(t, c.NoDelay)
	assert.False(t, c.KeepAlive)
	assert.True(t, c.NonBlocking)
	assert.Equal(t, "tcp", c.Protocol)
	assert.Equal(t, "tcp", c.ListenerProtocol)
	assert.Zero(t, c.RecvBuffer, "tuned by the kernel")
	assert.Zero(t, c.SendBuffer, "tuned by the kernel")
	assert.Equal(t, -1, c.Linger)
	assert.NotEmpty(t, c.Congestion)
	assert.Equal(t, 512, c.Backlog)
	assert.Equal(t, 1, c.Listeners)
	assert.False(t, c.ReusePort)
	assert.Equal(t, 1, c.Loops, "the runtime's poller")
	assert.Equal(t, 1, c.GoMaxProcs)
	assert.Equal(t, 1, c.Processes)
	assert.Greater(t, c.Threads, 1)
	assert.NotEmpty(t, c.CPUs)
	needReadSize(t, c)
	assert.Equal(t, models.DefaultReadBuffer, c.ReadSize)
}

func TestEachDifferenceIsFoundByName(t *testing.T) {
	base := of(t, spec(nil))
	place, err := testenv.Place()
	require.NoError(t, err)
	for field, change := range map[string]func(*testenv.ServerSpec){
		"NoDelay":    func(s *testenv.ServerSpec) { s.Config.NoDelay = models.Off },
		"RecvBuffer": func(s *testenv.ServerSpec) { s.Config.RecvBuffer = 256 << 10 },
		"SendBuffer": func(s *testenv.ServerSpec) { s.Config.SendBuffer = 64 << 10 },
		"Backlog":    func(s *testenv.ServerSpec) { s.Config.Backlog = 100 },
		"ReadSize":   func(s *testenv.ServerSpec) { s.Config.ReadBuffer = 16 << 10 },
		"GoMaxProcs": func(s *testenv.ServerSpec) { s.GoMaxProcs = base.GoMaxProcs + 1 },
		"CPUs":       func(s *testenv.ServerSpec) { s.CPUs, s.GoMaxProcs = place.Server[:1], base.GoMaxProcs },
	} {
		t.Run(field, func(t *testing.T) {
			if field == "ReadSize" {
				needReadSize(t, base)
			}
			if field == "CPUs" && !place.Disjoint {
				t.Skip(place.Reason)
			}
			found := conditions.Compare(base, of(t, spec(change)))
			require.Len(t, found, 1, "%v", found)
			assert.Equal(t, field, found[0].Field)
		})
	}
}

func TestTheFloorServesUnderTheSameConditions(t *testing.T) {
	for _, name := range floor.Names() {
		t.Run(name, func(t *testing.T) {
			change := inFloor(t, name)
			base, c := of(t, spec(nil)), of(t, spec(change))
			assert.NoError(t, conditions.Judge(conditions.Compare(base, c), floor.Declared(name)))
			assert.Zero(t, c.GoMaxProcs)
			assert.Equal(t, 2, c.Threads, "a loop, and the control channel")
			needReadSize(t, base)
			assert.Equal(t, base.ReadSize, c.ReadSize, c.NoReadSize)
		})
	}
}

func TestLoopsAreCountedByWhereConnectionsAreWaitedFor(t *testing.T) {
	for _, name := range floor.Names() {
		t.Run(name, func(t *testing.T) {
			change := inFloor(t, name)
			c := of(t, spec(func(s *testenv.ServerSpec) { change(s); s.Config.Loops = 3 }))
			assert.Equal(t, 3, c.Loops)
		})
	}
}

func TestLookingLeavesTheServerAsItWas(t *testing.T) {
	server, err := testenv.StartServer(t.Context(), spec(nil))
	require.NoError(t, err)
	defer func() { assert.NoError(t, server.Stop(context.Background())) }()
	own := descriptors(t)
	first, err := conditions.Of(t.Context(), server)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		snap, err := server.Stats(t.Context())
		return err == nil && snap.Server.Active == 0
	}, 20*time.Second, time.Millisecond, "its connections are closed again")
	second, err := conditions.Of(t.Context(), server)
	require.NoError(t, err)
	assert.Empty(t, conditions.Compare(first, second))
	assert.Equal(t, own, descriptors(t), "nothing of the server's is held")
	snap, err := server.Stats(t.Context())
	require.NoError(t, err)
	assert.Zero(t, snap.Server.ConnErrors)
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(all)
}

func TestReadSizeIsUnknownOfServicesThatDoNotEcho(t *testing.T) {
	for _, service := range []string{"http", "line"} {
		c := of(t, spec(func(s *testenv.ServerSpec) { s.Service = service }))
		assert.Zero(t, c.ReadSize)
		assert.Equal(t, "the service does not echo", c.NoReadSize)
		assert.True(t, c.NoDelay)
		assert.Equal(t, 512, c.Backlog)
	}
}

func TestOfSaysWhatItCannotLookAt(t *testing.T) {
	unix, err := testenv.StartServer(t.Context(), spec(func(s *testenv.ServerSpec) {
		s.Config = models.Config{Network: "unix", Address: filepath.Join(t.TempDir(), "s")}
	}))
	require.NoError(t, err)
	_, err = conditions.Of(t.Context(), unix)
	assert.ErrorContains(t, err, "it listens on unix (want tcp)")
	require.NoError(t, unix.Stop(t.Context()))

	gone, err := testenv.StartServer(t.Context(), spec(nil))
	require.NoError(t, err)
	require.NoError(t, gone.Stop(t.Context()))
	_, err = conditions.Of(t.Context(), gone)
	var refused *net.OpError
	assert.ErrorAs(t, err, &refused)
	assert.ErrorContains(t, err, "conditions of goroutine")
}
