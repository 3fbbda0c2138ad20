package listen

import (
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"netbench/internal/cpu"
	"netbench/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(t *testing.T, network, address string) models.Config {
	t.Helper()
	cfg, err := models.Config{Network: network, Address: address, Service: models.Echo{}}.Validate()
	require.NoError(t, err)
	return cfg
}

func closeAll(t *testing.T, listeners []Listener) {
	t.Helper()
	for _, l := range listeners {
		assert.NoError(t, l.Close())
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

func TestSharedListenersHaveOneAddressOfTheFamilyAskedFor(t *testing.T) {
	before := descriptors(t)
	for _, c := range []struct{ network, address, want string }{
		{"tcp", "127.0.0.1:0", "127.0.0.1"},
		{"tcp", "localhost:0", "127.0.0.1"},
		{"tcp", ":0", "::"},
		{"tcp", "0.0.0.0:0", "::"}, // as net.Listen does
		{"tcp4", ":0", "0.0.0.0"},
		{"tcp6", ":0", "::"},
		{"tcp6", "[::1]:0", "::1"},
	} {
		all, err := Shared(config(t, c.network, c.address), Options{Model: "m"}, 3)
		require.NoError(t, err, "%v", c)
		single, err := net.Listen(c.network, c.address)
		require.NoError(t, err)
		assert.Equal(t, single.Addr().(*net.TCPAddr).IP.String(), all[0].Addr().(*net.TCPAddr).IP.String(), "%v: like package net", c)
		require.NoError(t, single.Close())
		for _, l := range all {
			assert.Equal(t, all[0].Addr(), l.Addr())
			assert.Equal(t, c.want, l.Addr().(*net.TCPAddr).IP.String(), "%v", c)
		}
		closeAll(t, all)
	}
	assert.Equal(t, before, descriptors(t))
}

func TestAnAddressThatIsSharedCannotBeHeld(t *testing.T) {
	before := descriptors(t)
	first, err := Shared(config(t, "", ""), Options{Model: "m"}, 2)
	require.NoError(t, err)
	cfg := config(t, "tcp", first[0].Addr().String())
	joined, err := Shared(cfg, Options{Model: "m"}, 2)
	require.NoError(t, err)
	_, err = Hold(cfg, "m")
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	assert.Contains(t, err.Error(), cfg.Address)
	closeAll(t, append(first, joined...))
	held, err := Hold(cfg, "m")
	require.NoError(t, err)
	require.NoError(t, held.Close())
	assert.Equal(t, before, descriptors(t))
}

func TestAHeldAddressIsRefusedToStrangersAndSharedByOurListeners(t *testing.T) {
	for _, c := range []struct{ network, address string }{{"tcp", "127.0.0.1:0"}, {"tcp", ":0"}, {"tcp6", "[::1]:0"}} {
		held, err := Hold(config(t, c.network, c.address), "m")
		require.NoError(t, err)
		cfg := held.Config(config(t, c.network, c.address))
		assert.Equal(t, held.Addr().String(), cfg.Address)

		_, err = net.Listen(cfg.Network, cfg.Address)
		require.ErrorIs(t, err, syscall.EADDRINUSE, "%v: a stranger", c)
		_, err = Hold(cfg, "m")
		require.ErrorIs(t, err, syscall.EADDRINUSE, "%v: another holder", c)

		ours, err := Open(cfg, Options{Model: "m", Share: true})
		require.NoError(t, err)
		assert.Equal(t, held.Addr().String(), ours.Addr().String())
		// What is bound and does not listen gets no connections.
		for range 50 {
			nc, err := net.DialTimeout("tcp", ours.Addr().String(), 5*time.Second)
			require.NoError(t, err)
			require.NoError(t, nc.Close())
		}
		require.NoError(t, ours.Close())
		_, err = net.Listen(cfg.Network, cfg.Address)
		require.ErrorIs(t, err, syscall.EADDRINUSE, "%v: a stranger, between two of ours", c)
		require.NoError(t, held.Close())
		free, err := net.Listen(cfg.Network, cfg.Address)
		require.NoError(t, err)
		require.NoError(t, free.Close())
	}
}

func TestSteeredListenersAskForOneCPUEach(t *testing.T) {
	cpus, err := cpu.Thread(os.Getpid())
	require.NoError(t, err)
	n := len(cpus) + 1
	steered, err := Shared(config(t, "", ""), Options{Model: "m", Steer: true}, n)
	require.NoError(t, err)
	defer closeAll(t, steered)
	for i, l := range steered {
		require.NoError(t, Control(l, func(fd uintptr) error {
			got, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_INCOMING_CPU)
			assert.Equal(t, cpus[i%len(cpus)], got, "listener %d", i)
			return err
		}))
	}
}

func TestAWaiterSeesTheBacklogAndTakesNothingFromIt(t *testing.T) {
	before := descriptors(t)
	l, err := Open(config(t, "", ""), Options{Model: "m"})
	require.NoError(t, err)
	w, err := NewWaiter(l)
	require.NoError(t, err)
	waited := make(chan error)
	go func() { waited <- w.Wait() }()
	select {
	case err := <-waited:
		require.Fail(t, "the backlog is empty", "%v", err)
	case <-time.After(20 * time.Millisecond):
	}
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, <-waited)
	require.NoError(t, w.Wait(), "it is there still")
	nc, err := l.Accept()
	require.NoError(t, err)
	go func() { waited <- w.Wait() }()
	w.Wake()
	require.ErrorIs(t, <-waited, os.ErrDeadlineExceeded)
	require.ErrorIs(t, w.Wait(), os.ErrDeadlineExceeded)
	for _, c := range []interface{ Close() error }{w, nc, client, l} {
		require.NoError(t, c.Close())
	}
	assert.Equal(t, before, descriptors(t))
}
