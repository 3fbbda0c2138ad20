//go:build linux || freebsd

package goroutine

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// startShared serves with n listeners until the test ends.
func startShared(t *testing.T, n int, cfg models.Config) *server {
	t.Helper()
	cfg.Service, cfg.Listeners = models.Echo{}, n
	made, err := Factory(Options{Share: true})(cfg)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- made.Serve() }()
	t.Cleanup(func() {
		assert.NoError(t, made.Close())
		assert.ErrorIs(t, <-served, models.ErrServerClosed)
	})
	return made.(*server)
}

func TestSharingServerOpensAsManyListenersAsAskedFor(t *testing.T) {
	for asked, want := range map[int]int{0: runtime.GOMAXPROCS(0), 1: 1, 5: 5} {
		s := startShared(t, asked, models.Config{})
		assert.Len(t, s.PerListener(), want)
		for _, l := range s.listeners {
			assert.Equal(t, s.Addr(), l.Addr())
		}
	}
}

func TestConnectionsSpreadOverAllListeners(t *testing.T) {
	const listeners, conns = 4, 100
	s := startShared(t, listeners, models.Config{})
	for range conns {
		nc := dial(t, s)
		_, err := nc.Write([]byte("x"))
		require.NoError(t, err)
		_, err = nc.Read(make([]byte, 1))
		require.NoError(t, err)
	}
	var sum uint64
	for _, n := range s.PerListener() {
		// All but impossible under a uniform choice: 4 * 0.75^100.
		assert.Positive(t, n, "%v", s.PerListener())
		sum += n
	}
	assert.EqualValues(t, conns, sum)
	assert.EqualValues(t, conns, s.Stats().Accepted)
}

func TestTheLastSlotIsNotKeptByAListenerWithoutConnections(t *testing.T) {
	s := startShared(t, 8, models.Config{MaxConns: 1})
	for range 30 { // to any of the listeners, one after the other
		nc := dial(t, s)
		_, err := nc.Write([]byte("x"))
		require.NoError(t, err)
		_, err = nc.Read(make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, nc.Close())
	}
	require.Eventually(t, func() bool { return s.Stats().Active == 0 }, patience, time.Millisecond)
}

func TestAListenerBeyondUseEndsServe(t *testing.T) {
	for _, c := range []struct {
		name         string
		limit, queue int
		fail         func(*server, net.Conn)
	}{
		{"while all wait in Accept", models.NoLimit, 0, func(s *server, _ net.Conn) { s.listeners[1].close() }},
		{"while all wait for a connection", 1, 0, func(s *server, taken net.Conn) {
			s.listeners[1].close()
			_ = taken.Close() // with its slot the loop comes to Accept
		}},
		{"while all wait for a slot", 1, 30, func(s *server, _ net.Conn) { s.giveUp(net.ErrClosed) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			made, err := Factory(Options{Share: true})(models.Config{Service: models.Echo{}, Listeners: 3, MaxConns: c.limit})
			require.NoError(t, err)
			s := made.(*server)
			served := make(chan error, 1)
			go func() { served <- s.Serve() }()
			taken := dial(t, s)
			_, err = taken.Write([]byte("x"))
			require.NoError(t, err)
			_, err = taken.Read(make([]byte, 1))
			require.NoError(t, err)
			for range c.queue {
				dial(t, s)
			}
			c.fail(s, taken)
			select {
			case err := <-served:
				require.ErrorIs(t, err, net.ErrClosed)
			case <-time.After(patience):
				require.Fail(t, "Serve goes on with a listener that is beyond use")
			}
			require.NoError(t, s.Close())
		})
	}
}

func TestSharingNeedsTCP(t *testing.T) {
	_, err := Factory(Options{Share: true})(models.Config{Service: models.Echo{}, Network: "unix", Address: t.TempDir() + "/s"})
	require.ErrorIs(t, err, models.ErrUnsupported)
	var bad *models.ConfigError
	require.ErrorAs(t, err, &bad)
	assert.Equal(t, "Network", bad.Field)
}

func TestSteeringASingleListenerIsAnError(t *testing.T) {
	_, err := Factory(Options{Steer: true})(models.Config{Service: models.Echo{}})
	require.ErrorContains(t, err, "Share")
}
