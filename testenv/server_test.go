//go:build linux

package testenv

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/cpu"
	"netbench/internal/proc"
	"netbench/internal/ptree"
	"netbench/models"
)

func TestServerServesTellsCollectsAndStops(t *testing.T) {
	leaveNothing(t)
	place, err := Place()
	require.NoError(t, err)
	s := startServer(t, ServerSpec{Model: "echo", CPUs: place.Server})
	assert.Equal(t, "tcp", s.Network())
	assert.NotEqual(t, os.Getpid(), s.PID())
	assert.Equal(t, place.Server, s.Info().CPUs)
	assert.Equal(t, "echo", s.Info().Stats.Model)

	before, err := s.Stats(t.Context())
	require.NoError(t, err)
	conns := make([]net.Conn, 10)
	for i := range conns {
		conns[i] = dial(t, s)
		exchange(t, conns[i], 20)
	}
	after, err := s.Stats(t.Context())
	require.NoError(t, err)

	assert.Equal(t, before.Server.Accepted+10, after.Server.Accepted)
	assert.True(t, after.Time.After(before.Time))
	assert.Equal(t, before.FDs+10, after.FDs, "a descriptor a connection")
	assert.Equal(t, before.Runtime.Goroutines+10, after.Runtime.Goroutines, "a goroutine a connection")
	assert.GreaterOrEqual(t, after.Runtime.Mallocs, before.Runtime.Mallocs+10, "a buffer a connection")
	assert.GreaterOrEqual(t, after.Runtime.AllocBytes, before.Runtime.AllocBytes+10*models.DefaultReadBuffer)
	assert.Greater(t, after.Rusage.User+after.Rusage.System, before.Rusage.User+before.Rusage.System)
	assert.Greater(t, after.Rusage.VoluntarySwitches, before.Rusage.VoluntarySwitches)
	assert.Equal(t, place.Server, after.CPUs)
	assert.Equal(t, len(place.Server), after.Runtime.GoMaxProcs)
	assert.GreaterOrEqual(t, after.Threads, 2)
	assert.Greater(t, after.Memory.RSS, uint64(1<<20))
	assert.LessOrEqual(t, after.Memory.PSS, after.Memory.RSS)
	assert.LessOrEqual(t, after.Memory.Anonymous, after.Memory.RSS)
	assert.Greater(t, after.Runtime.HeapInuse, uint64(10*models.DefaultReadBuffer))
	assert.GreaterOrEqual(t, after.Runtime.HeapInuse, after.Runtime.HeapObjects)
	assert.Greater(t, after.Runtime.Mapped, after.Runtime.HeapInuse)
	assert.Positive(t, after.Runtime.StackInuse)
	assert.NotEmpty(t, after.Runtime.GoVersion)

	require.NoError(t, s.Collect(t.Context()))
	collected, err := s.Stats(t.Context())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, collected.Runtime.GCCycles, after.Runtime.GCCycles+2)
	assert.Greater(t, collected.Runtime.TotalCPU, collected.Runtime.IdleCPU)
	assert.GreaterOrEqual(t, collected.Runtime.Pauses.Sub(after.Runtime.Pauses).Count(), uint64(4), "two pauses a collection")
	share, ok := collected.GCShare(after)
	assert.True(t, ok)
	assert.Positive(t, share)
	assert.LessOrEqual(t, share, 1.0)

	require.NoError(t, s.Stop(t.Context()))
	<-s.Done()
	assert.NoError(t, s.Err())
	_, err = conns[0].Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
	assert.ErrorIs(t, syscall.Kill(s.PID(), 0), syscall.ESRCH)
	assert.NoError(t, s.Stop(t.Context()), "Stop may be repeated")
	for _, after := range []func() error{
		func() error { _, err := s.CPU(); return err },
		func() error { return s.Quiesce(t.Context()) },
		func() error { _, err := s.Counters(); return err },
		s.Freeze,
		s.Thaw,
	} {
		assert.ErrorContains(t, after(), "was stopped")
	}
}

func TestSpecificationTravels(t *testing.T) {
	leaveNothing(t)
	s := startServer(t, ServerSpec{
		Model: "echo", Service: "frame+max=100", GoMaxProcs: 3, GOGC: "333", GOMEMLIMIT: "77MiB",
		Config: models.Config{ReadBuffer: 5000, MaxConns: models.NoLimit},
	})
	snap, err := s.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "frame+max=100 buffer=5000 max=-1 hoard=0", snap.Server.Variant)
	assert.Equal(t, 3, snap.Runtime.GoMaxProcs)
	assert.Equal(t, 333, snap.Runtime.GOGC)
	assert.EqualValues(t, 77<<20, snap.Runtime.GOMEMLIMIT)

	off := startServer(t, ServerSpec{Model: "echo", GOGC: "off", Env: []string{"GOMEMLIMIT=off"}})
	snap, err = off.Stats(t.Context())
	require.NoError(t, err)
	assert.Equal(t, -1, snap.Runtime.GOGC)
	assert.Greater(t, snap.Runtime.GOMEMLIMIT, int64(1)<<60)
}

func TestServerListensOnAUnixSocket(t *testing.T) {
	leaveNothing(t)
	path := filepath.Join(t.TempDir(), "s")
	s := startServer(t, ServerSpec{Model: "echo", Config: models.Config{Network: "unix", Address: path}})
	assert.Equal(t, "unix", s.Network())
	assert.Equal(t, path, s.Addr())
	exchange(t, dial(t, s), 3)
	require.NoError(t, s.Stop(t.Context()))
}

func TestStartServerRefusesABadSpecificationBeforeStarting(t *testing.T) {
	leaveNothing(t)
	for name, c := range map[string]struct {
		spec ServerSpec
		text string
	}{
		"model":   {ServerSpec{Model: "abacus", Service: "echo"}, `unknown model "abacus" (known: broken, deaf, echo,`},
		"service": {ServerSpec{Model: "echo", Service: "gopher"}, `unknown service "gopher"`},
		"both":    {ServerSpec{Model: "echo", Service: "echo", Config: models.Config{Service: models.Echo{}}}, "name the service in ServerSpec.Service"},
		"config":  {ServerSpec{Model: "echo", Service: "echo", Config: models.Config{Loops: -1}}, "Config.Loops is -1"},
	} {
		_, err := StartServer(t.Context(), c.spec)
		assert.ErrorContains(t, err, c.text, name)
		assert.NotErrorAs(t, err, new(*proc.ExitError), "%s: no process was needed to tell", name)
	}
	var bad *models.ConfigError
	_, err := StartServer(t.Context(), ServerSpec{Model: "echo", Service: "echo", Config: models.Config{Loops: -1}})
	require.ErrorAs(t, err, &bad)
	assert.Equal(t, "Loops", bad.Field)

	was := known.Swap(nil)
	defer known.Store(was)
	_, err = StartServer(t.Context(), ServerSpec{Model: "echo", Service: "echo"})
	assert.ErrorContains(t, err, "call testenv.Main first")
}

func TestAServerThatFailsSaysWhy(t *testing.T) {
	for model, text := range map[string]string{
		"deaf":   "no listener to be had",
		"panic":  "panic: serving is not for me",
		"broken": "serve: the listener broke",
	} {
		t.Run(model, func(t *testing.T) {
			leaveNothing(t)
			s, err := StartServer(t.Context(), ServerSpec{Model: model, Service: "echo", StartTimeout: time.Minute})
			if err == nil { // it failed just after it was ready
				<-s.Done()
				err = s.Err()
				_, statsErr := s.Stats(t.Context())
				assert.Equal(t, err, statsErr)
				_, cpuErr := s.CPU()
				assert.ErrorIs(t, cpuErr, err)
				assert.ErrorIs(t, s.Stop(t.Context()), err)
			}
			var exit *proc.ExitError
			require.ErrorAs(t, err, &exit)
			assert.ErrorContains(t, err, text)
		})
	}
}

func TestStopCutsWhatDoesNotDrain(t *testing.T) {
	leaveNothing(t)
	s := startServer(t, ServerSpec{Model: "stuck"})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err := s.Stop(ctx)
	assert.ErrorContains(t, err, "could not drain")
	assert.ErrorContains(t, err, "one connection would not end")
	assert.NoError(t, s.Err(), "the process ended in order nevertheless")
	assert.NoError(t, ctx.Err(), "and in time")
}

func TestStopThawsAFrozenServer(t *testing.T) {
	leaveNothing(t)
	s := startServer(t, ServerSpec{Model: "echo"})
	require.NoError(t, s.Freeze())
	assert.NoError(t, s.Stop(t.Context()))
}

func TestStopKillsAServerThatDoesNotAnswer(t *testing.T) {
	leaveNothing(t)
	s := startServer(t, ServerSpec{Model: "echo"})
	// Behind the back of s, which therefore does not thaw it.
	require.NoError(t, ptree.Freeze(t.Context(), s.PID()))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := s.Stop(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	var exit *proc.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, "signal: killed", exit.State.String())
}

func TestCPUProfileIsWrittenWhenTheServerStops(t *testing.T) {
	leaveNothing(t)
	file := filepath.Join(t.TempDir(), "cpu.pprof")
	s := startServer(t, ServerSpec{Model: "echo", CPUProfile: file})
	exchange(t, dial(t, s), 100)
	require.NoError(t, s.Stop(t.Context()))
	profile, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.True(t, bytes.HasPrefix(profile, []byte{0x1f, 0x8b}), "a profile is a gzip file")

	_, err = StartServer(t.Context(), ServerSpec{Model: "echo", Service: "echo", StartTimeout: time.Minute,
		CPUProfile: filepath.Join(t.TempDir(), "no", "such", "directory")})
	assert.ErrorContains(t, err, "CPU profile")
}

func TestPlaceDividesTheInitialCPUsAndPinSelfMovesThere(t *testing.T) {
	leaveNothing(t)
	initial, err := cpu.Initial()
	require.NoError(t, err)
	place, err := Place()
	require.NoError(t, err)
	if len(initial) > 1 {
		assert.True(t, place.Disjoint)
		assert.ElementsMatch(t, initial, append(append([]int{}, place.Server...), place.Generator...))
	} else {
		assert.False(t, place.Disjoint)
		assert.Equal(t, place.Server, place.Generator)
	}
	assert.NotEmpty(t, place.Reason)

	procs := runtime.GOMAXPROCS(0)
	t.Cleanup(func() {
		runtime.GOMAXPROCS(procs)
		require.NoError(t, cpu.PinProcess(initial))
	})
	require.NoError(t, PinSelf(nil))
	assert.Equal(t, procs, runtime.GOMAXPROCS(0), "an empty set changes nothing")
	require.NoError(t, PinSelf(place.Generator[:1]))
	assert.Equal(t, 2, runtime.GOMAXPROCS(0))
	got, err := cpu.Thread(0)
	require.NoError(t, err)
	assert.Equal(t, place.Generator[:1], got)
	again, err := Place()
	require.NoError(t, err)
	assert.Equal(t, place, again, "the answer does not depend on where we are now")

	// A server still gets the CPUs that it is given, not ours.
	s := startServer(t, ServerSpec{Model: "echo", CPUs: place.Server})
	assert.Equal(t, place.Server, s.Info().CPUs)
	assert.Error(t, PinSelf([]int{8000}))
}
