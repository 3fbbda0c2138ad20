package goroutine

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/listen"
	"netbench/models"
)

// option reads a socket option.
func option(t *testing.T, c any, level, name int) int {
	t.Helper()
	var value int
	require.NoError(t, listen.Control(c, func(fd uintptr) (err error) {
		value, err = unix.GetsockoptInt(int(fd), level, name)
		return err
	}))
	return value
}

// accepted is the only connection of a server, on the server's side.
func accepted(t *testing.T, s *server) net.Conn {
	t.Helper()
	require.Eventually(t, func() bool { return s.Stats().Active == 1 }, patience, time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		return c.nc
	}
	return nil
}

func TestConnectionsHaveTheOptionsThatWereAskedFor(t *testing.T) {
	for _, c := range []struct {
		config  models.Config
		noDelay int
	}{
		{models.Config{}, 1},
		{models.Config{NoDelay: models.On}, 1},
		{models.Config{NoDelay: models.Off}, 0},
		{models.Config{RecvBuffer: 20_000, SendBuffer: 30_000}, 1},
	} {
		c.config.Service = models.Echo{}
		s := start(t, c.config)
		dial(t, s)
		nc := accepted(t, s)
		assert.Equal(t, c.noDelay, option(t, nc, unix.IPPROTO_TCP, unix.TCP_NODELAY))
		assert.Zero(t, option(t, nc, unix.SOL_SOCKET, unix.SO_KEEPALIVE), "no keep-alive probes")
		assert.Equal(t, unix.IPPROTO_TCP, option(t, s.listeners[0].Listener, unix.SOL_SOCKET, unix.SO_PROTOCOL), "no Multipath TCP")
		if c.config.RecvBuffer > 0 { // the kernel doubles what is asked for
			assert.Equal(t, 2*c.config.RecvBuffer, option(t, nc, unix.SOL_SOCKET, unix.SO_RCVBUF))
			assert.Equal(t, 2*c.config.SendBuffer, option(t, nc, unix.SOL_SOCKET, unix.SO_SNDBUF))
		}
	}
}

func TestUnixConnectionsHaveTheBuffersThatWereAskedFor(t *testing.T) {
	s := start(t, models.Config{
		Network: "unix", Address: filepath.Join(t.TempDir(), "socket"), Service: models.Echo{},
		RecvBuffer: 20_000, SendBuffer: 30_000, NoDelay: models.Off,
	})
	dial(t, s)
	nc := accepted(t, s)
	assert.Equal(t, 40_000, option(t, nc, unix.SOL_SOCKET, unix.SO_RCVBUF))
	assert.Equal(t, 60_000, option(t, nc, unix.SOL_SOCKET, unix.SO_SNDBUF))
}

func TestBacklogIsAsLongAsAskedFor(t *testing.T) {
	for _, backlog := range []int{1, 7, 100} {
		s := start(t, models.Config{Service: models.Echo{}, Backlog: backlog})
		require.NoError(t, listen.Control(s.listeners[0].Listener, func(fd uintptr) error {
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			// On a listening socket tcp_diag reports the backlog's limit here.
			assert.EqualValues(t, backlog, info.Sacked)
			return err
		}))
		assert.Equal(t, "hello", exchange(t, dial(t, s), "hello"))
	}
}

func TestUnreadCountsWhatHasArrived(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(t.TempDir(), "socket")
		}
		l, err := net.Listen(network, address)
		require.NoError(t, err)
		ready, known := listen.Queued(l)
		assert.True(t, known)
		assert.False(t, ready, "nobody waits in the backlog")
		client, err := net.Dial(network, l.Addr().String())
		require.NoError(t, err)
		require.Eventually(t, func() bool { ready, _ := listen.Queued(l); return ready }, patience, time.Millisecond)
		nc, err := l.Accept()
		require.NoError(t, err)
		_, err = client.Write(make([]byte, 1000))
		require.NoError(t, err)
		require.Eventually(t, func() bool { n, known := listen.Unread(nc); return known && n == 1000 }, patience, time.Millisecond)
		require.NoError(t, client.Close())
		require.NoError(t, nc.Close())
		require.NoError(t, l.Close())
		ready, known = listen.Queued(l)
		assert.True(t, known)
		assert.False(t, ready, "a closed listener has no backlog")
	}
}

// descriptors lists what the process has open.
func descriptors(t *testing.T) (all, pipes int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, e := range entries {
		if target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%s", e.Name())); err == nil {
			all++
			if strings.HasPrefix(target, "pipe:") {
				pipes++
			}
		}
	}
	return all, pipes
}

// TestConnectionIsOneDescriptor finds an echo that is splice by accident: io.Copy
// between two TCP connections keeps a pipe, two descriptors, for each.
func TestConnectionIsOneDescriptor(t *testing.T) {
	s := start(t, models.Config{Service: models.Echo{}})
	all, pipes := descriptors(t)
	const conns = 20
	var clients []net.Conn
	for range conns {
		nc := dial(t, s)
		assert.Equal(t, "hello", exchange(t, nc, "hello"))
		clients = append(clients, nc)
	}
	allNow, pipesNow := descriptors(t)
	assert.Equal(t, all+2*conns, allNow, "one on each side")
	assert.Equal(t, pipes, pipesNow)
	for _, nc := range clients {
		require.NoError(t, nc.Close())
	}
	require.Eventually(t, func() bool { return s.Stats().Active == 0 }, patience, time.Millisecond)
	allNow, _ = descriptors(t)
	assert.Equal(t, all, allNow)
}
