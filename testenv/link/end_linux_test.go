package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/needs"
)

func TestEndsAreHostsOfTheirOwn(t *testing.T) {
	devices, err := os.ReadFile("/proc/net/dev")
	require.NoError(t, err)
	l := newLink(t, Config{})
	for _, e := range []*End{l.A(), l.B()} {
		var out strings.Builder
		cmd := exec.Command("cat", "/proc/self/net/dev")
		cmd.Stdout = &out
		require.NoError(t, e.Run(cmd))
		assert.Contains(t, out.String(), deviceName+":")
		assert.Equal(t, 4, strings.Count(out.String(), "\n"), "a heading, loopback, and the link:\n%s", out.String())
	}
	now, err := os.ReadFile("/proc/net/dev")
	require.NoError(t, err)
	assert.Equal(t, names(devices), names(now), "the machine has no device more")
	// Two links have the same addresses and do not see each other.
	other := newLink(t, Config{})
	assert.Equal(t, l.B().Addr(), other.B().Addr())
	ln, err := l.B().Listen("tcp", ":0")
	require.NoError(t, err)
	defer ln.Close()
	_, err = other.A().Dial(t.Context(), "tcp", ln.Addr().String())
	assert.ErrorIs(t, err, unix.ECONNREFUSED)
	_, err = net.DialTimeout("tcp", ln.Addr().String(), 100*time.Millisecond)
	assert.Error(t, err, "nor does the machine see one")
}

// names are the devices that a /proc/net/dev lists.
func names(dev []byte) (all []string) {
	for line := range strings.Lines(string(dev)) {
		if name, _, ok := strings.Cut(line, ":"); ok {
			all = append(all, strings.TrimSpace(name))
		}
	}
	return all
}

func TestAddressesHaveToBeLiteral(t *testing.T) {
	l := newLink(t, Config{})
	for _, c := range []struct{ network, address, want string }{
		{"tcp", "localhost:80", `the host "localhost" is not an IP address`},
		{"tcp", "198.18.0.2", "missing port"},
		{"unix", "/tmp/x:1", "unknown network (use tcp)"},
		{"udp6", "[::1]:1", "unknown network (use tcp)"},
		{"tcp", ":80", `the host "" is not an IP address`},
	} {
		_, err := l.A().Dial(t.Context(), c.network, c.address)
		assert.ErrorContains(t, err, c.want)
	}
	_, err := l.A().Listen("udp", ":0")
	assert.ErrorContains(t, err, "unknown network (use tcp)")
	_, err = l.A().ListenPacket("tcp", ":0")
	assert.ErrorContains(t, err, "unknown network (use udp)")
}

func TestDialsDoNotWaitForEachOther(t *testing.T) {
	l := newLink(t, Both(Shape{Delay: 50 * time.Millisecond}))
	ln, err := l.B().Listen("tcp", ":0")
	require.NoError(t, err)
	defer ln.Close()
	begin := time.Now()
	conns := make(chan net.Conn, 20)
	for range cap(conns) {
		go func() {
			c, err := l.A().Dial(t.Context(), "tcp", ln.Addr().String())
			assert.NoError(t, err)
			conns <- c
		}()
	}
	for range cap(conns) {
		if c := <-conns; c != nil {
			c.Close()
		}
	}
	assert.Less(t, time.Since(begin), 2*time.Second, "one after the other they take 2 s")
}

func TestClosingEndsADialAndAllProcesses(t *testing.T) {
	l := newLink(t, Both(Shape{Loss: 1}))
	dialled := make(chan error, 1)
	go func() {
		_, err := l.A().Dial(context.Background(), "tcp", l.B().Addr().String()+":80")
		dialled <- err
	}()
	settled(t, l, 1) // the first SYN is lost
	// A shell whose child is in a session of its own and outlives it.
	var out strings.Builder
	cmd := exec.Command("sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!")
	cmd.Stdout = &out
	require.NoError(t, l.A().Run(cmd))
	var pid int
	_, err := fmt.Sscan(out.String(), &pid)
	require.NoError(t, err)
	direct := exec.Command("sleep", "600")
	require.NoError(t, l.B().Start(direct))

	require.NoError(t, l.Close())
	assert.Error(t, <-dialled)
	assert.Error(t, direct.Wait())
	require.Eventually(t, func() bool { return gone(pid) }, 5*time.Second, 5*time.Millisecond)

	require.NoError(t, l.Close(), "again")
	assert.ErrorIs(t, l.Change(Shape{}, Shape{}), net.ErrClosed)
	_, err = l.Stats()
	assert.ErrorIs(t, err, net.ErrClosed)
	_, err = l.A().Listen("tcp", ":0")
	assert.ErrorIs(t, err, net.ErrClosed)
	assert.ErrorIs(t, l.A().Start(exec.Command("true")), net.ErrClosed)
}

// gone tells whether a process has ended, waited for or not.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

func TestACommandEndsWithItsContextAndItsGroup(t *testing.T) {
	l := newLink(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", "sleep 600 & echo $!; wait")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, l.A().Start(cmd))
	var child int
	_, err = fmt.Fscan(stdout, &child)
	require.NoError(t, err)
	cancel()
	assert.Error(t, cmd.Wait())
	require.Eventually(t, func() bool { return gone(child) }, 5*time.Second, 5*time.Millisecond)

	assert.ErrorIs(t, l.A().Start(exec.Command("/no/such/program")), os.ErrNotExist)
}

func TestALinkEndsWithItsContext(t *testing.T) {
	newLink(t, Config{}) // or skip
	ctx, cancel := context.WithCancel(t.Context())
	l, err := New(ctx, Config{})
	require.NoError(t, err)
	cancel()
	require.Eventually(t, func() bool { _, err := l.Stats(); return errors.Is(err, net.ErrClosed) },
		5*time.Second, 2*time.Millisecond)
	require.NoError(t, l.Close())
	_, err = New(ctx, Config{})
	assert.ErrorIs(t, err, context.Canceled)
	_, err = New(t.Context(), Config{MTU: 1})
	assert.ErrorContains(t, err, "link: MTU is 1,")
}

func TestNothingIsLeftWhenTheProcessIsKilled(t *testing.T) {
	newLink(t, Config{}) // or skip
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "NETBENCH_TEST_LINK=hold")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	var a, b uint64
	var sleep int
	_, err = fmt.Sscan(line, &a, &b, &sleep)
	if !assert.NoError(t, err, line) {
		cmd.Process.Kill()
		cmd.Wait()
		return
	}
	assert.True(t, held(t, a) && held(t, b) && !gone(sleep), "they are there before")
	require.NoError(t, cmd.Process.Kill())
	assert.Error(t, cmd.Wait())
	require.Eventually(t, func() bool { return !held(t, a) && !held(t, b) && gone(sleep) },
		2*time.Second, 5*time.Millisecond)
}

func TestWithoutTheRightThereIsAReason(t *testing.T) {
	if os.Getuid() != 0 {
		needs.Skip(t, needs.Netns, "only root can try what others may not")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "NETBENCH_TEST_LINK=support")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, "link: make a network namespace: operation not permitted (run as root, or with CAP_SYS_ADMIN)\n", string(out))

	assert.ErrorContains(t, explainOpen(unix.ENOENT), "load the kernel module tun")
	assert.ErrorContains(t, explainOpen(unix.EACCES), "run as root")
}
