package containers

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/cpu"
	"netbench/testenv"
)

// exchange sends a message n times and reads it back.
func exchange(t *testing.T, s *testenv.Server, n int) {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	message, reply := []byte("hello, server"), make([]byte, 13)
	for range n {
		_, err := c.Write(message)
		require.NoError(t, err)
		for got := 0; got < len(message); {
			k, err := c.Read(reply[got:])
			require.NoError(t, err)
			got += k
		}
		require.Equal(t, message, reply)
	}
}

func TestAServerInAContainerIsAServerLikeAnyOther(t *testing.T) {
	engine(t)
	leaveNothing(t)
	began := time.Now()
	s := startServer(t, testenv.ServerSpec{Model: "goroutine", Service: "echo"}, Limits{})
	t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
	host, _, err := net.SplitHostPort(s.Addr())
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1", host)
	assert.Equal(t, "goroutine", s.Info().Stats.Model)

	require.Eventually(t, func() bool { return s.Quiesce(t.Context()) == nil }, 10*time.Second, time.Millisecond)
	before, err := s.CPU()
	require.NoError(t, err)
	exchange(t, s, 2000)
	require.Eventually(t, func() bool { return s.Quiesce(t.Context()) == nil }, 10*time.Second, time.Millisecond)
	after, err := s.CPU()
	require.NoError(t, err)
	assert.Greater(t, after-before, time.Millisecond, "2000 exchanges cost something")
	snap, err := s.Stats(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 1, snap.Server.Accepted)
	assert.EqualValues(t, 26_000, snap.Server.BytesIn)
	assert.Positive(t, snap.Memory.RSS)
	require.NoError(t, s.Collect(t.Context()))

	if set, err := s.Counters(); err == nil {
		exchange(t, s, 100)
		n, err := set.Read()
		require.NoError(t, err)
		require.NoError(t, set.Close())
		if n.NoSyscalls == "" {
			assert.GreaterOrEqual(t, n.Syscalls, uint64(200), "a read and a write for each")
		}
	}
	require.NoError(t, s.Stop(t.Context()))
	_, err = os.Stat("/proc/" + strconv.Itoa(s.PID()))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// group is what a control group's file says of a process, by the name that it has in
// version 2 or else 1, below the controller's directory.
func group(t *testing.T, pid int, v2, controller, v1 string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		require.Len(t, parts, 3)
		file := ""
		switch {
		case parts[0] == "0" && parts[1] == "":
			file = filepath.Join("/sys/fs/cgroup", parts[2], v2)
		case strings.Contains(","+parts[1]+",", ","+controller+","):
			file = filepath.Join("/sys/fs/cgroup", controller, parts[2], v1)
		default:
			continue
		}
		if content, err := os.ReadFile(file); err == nil {
			return strings.TrimSpace(string(content))
		}
	}
	t.Skipf("the control groups of process %d are mounted elsewhere", pid)
	return ""
}

func TestTheKernelEnforcesTheLimitsOfAServer(t *testing.T) {
	e := engine(t)
	limits := Limits{CPUs: 0.5, Memory: 96 << 20}
	if err := e.grants(limits); err != nil {
		t.Skip(err)
	}
	leaveNothing(t)
	s := startServer(t, testenv.ServerSpec{Model: "goroutine", Service: "echo"}, limits)
	assert.Contains(t, []string{"50000 100000", "50000"}, group(t, s.PID(), "cpu.max", "cpu", "cpu.cfs_quota_us"))
	assert.Equal(t, strconv.Itoa(96<<20), group(t, s.PID(), "memory.max", "memory", "memory.limit_in_bytes"))
	exchange(t, s, 1)
	require.NoError(t, s.Stop(t.Context()))
}

func TestGOMAXPROCSInAContainerFollowsItsLimitUnlessTold(t *testing.T) {
	e := engine(t)
	if err := e.grants(Limits{CPUs: 1}); err != nil {
		t.Skip(err)
	}
	cpus, err := cpu.Initial()
	require.NoError(t, err)
	leaveNothing(t)
	for name, tc := range map[string]struct {
		spec   testenv.ServerSpec
		limits Limits
		want   int
	}{
		"no limit":       {testenv.ServerSpec{}, Limits{}, runtime.NumCPU()},
		"half a CPU":     {testenv.ServerSpec{}, Limits{CPUs: 0.5}, min(2, runtime.NumCPU())}, // the runtime's least
		"a CPU of a set": {testenv.ServerSpec{CPUs: cpus[:1]}, Limits{CPUs: 0.5}, 1},
		"told":           {testenv.ServerSpec{GoMaxProcs: 3}, Limits{CPUs: 0.5}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			tc.spec.Model, tc.spec.Service = "goroutine", "echo"
			s := startServer(t, tc.spec, tc.limits)
			assert.Equal(t, tc.want, s.Info().GoMaxProcs)
			if len(tc.spec.CPUs) > 0 {
				assert.Equal(t, tc.spec.CPUs, s.Info().CPUs)
			}
			require.NoError(t, s.Stop(t.Context()))
		})
	}
}

func TestAServerThatCannotStartInAContainerSaysWhy(t *testing.T) {
	engine(t)
	leaveNothing(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	taken := testenv.ServerSpec{Model: "goroutine", Service: "echo"}
	taken.Config.Address = busy.Addr().String()
	socket := testenv.ServerSpec{Model: "goroutine", Service: "echo"}
	socket.Config.Network = "unix"
	for name, tc := range map[string]struct {
		spec testenv.ServerSpec
		want string
	}{
		"Unix socket":     {socket, "has other files than this process"},
		"CPU profile":     {testenv.ServerSpec{Model: "goroutine", Service: "echo", CPUProfile: "profile"}, "has other files than this process"},
		"unknown model":   {testenv.ServerSpec{Model: "telepathy", Service: "echo"}, `unknown model "telepathy"`},
		"unknown service": {testenv.ServerSpec{Model: "goroutine", Service: "telepathy"}, "telepathy"},
		"address in use":  {taken, "address already in use"},
		"dynamic program": {testenv.ServerSpec{Model: "goroutine", Service: "echo", Program: "/bin/sh"}, "needs a dynamic loader"},
		"no program":      {testenv.ServerSpec{Model: "goroutine", Service: "echo", Program: "/no/such"}, "no such file"},
		"no executable":   {testenv.ServerSpec{Model: "goroutine", Service: "echo", Program: "/etc/passwd"}, "no executable of Linux"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.spec.StartTimeout = time.Minute
			_, err := StartServer(t.Context(), tc.spec, Limits{})
			require.ErrorContains(t, err, tc.want)
			assert.NotContains(t, err.Error(), "\n")
			t.Log(err)
		})
	}
}

func TestAServerThatIsKilledIsGoneAndOneThatDiesIsNoticed(t *testing.T) {
	engine(t)
	leaveNothing(t)
	s := startServer(t, testenv.ServerSpec{Model: "goroutine", Service: "echo"}, Limits{})
	require.NoError(t, s.Kill())
	assert.Error(t, s.Err())

	s = startServer(t, testenv.ServerSpec{Model: "goroutine", Service: "echo"}, Limits{Memory: 64 << 20})
	require.NoError(t, unix.Kill(s.PID(), unix.SIGKILL))
	<-s.Done()
	assert.ErrorContains(t, s.Err(), "exit status 137: it was killed, as what needs more than its limit of 67108864 bytes is")
	t.Log(s.Err())
}
