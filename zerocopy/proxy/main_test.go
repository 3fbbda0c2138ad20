package proxy_test

import (
	"maps"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/load"
	"netbench/models"
	"netbench/models/goroutine"
	"netbench/testenv"
	"netbench/zerocopy/proxy"
)

func TestMain(m *testing.M) {
	factories := goroutine.Models()
	maps.Copy(factories, proxy.Models())
	testenv.Main(factories, load.Role())
	goleak.VerifyTestMain(m)
}

// patience bounds every exchange of a test.
const patience = 20 * time.Second

// everyWay runs a test for each way that the platform has.
func everyWay(t *testing.T, test func(t *testing.T, w proxy.Way)) {
	for _, w := range proxy.Ways() {
		t.Run("way="+string(w), func(t *testing.T) { test(t, w) })
	}
}

// upstream calls handle for each connection that it gets, in a goroutine, until the
// test ends. It returns its address.
func upstream(t testing.TB, handle func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []*net.TCPConn
	over := false
	running.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			if over {
				_ = c.Close()
			}
			mu.Unlock()
			running.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		over = true
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// echo returns what it gets.
func echo(c *net.TCPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if _, werr := c.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// start runs a proxy in this process until the test ends.
func start(t testing.TB, cfg models.Config, w proxy.Way, upstream string) *proxy.Server {
	t.Helper()
	cfg.Service = models.Echo{}
	p, err := proxy.New(cfg, proxy.Options{Way: w, Upstream: upstream})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- p.Serve() }()
	t.Cleanup(func() {
		assert.NoError(t, p.Close())
		assert.ErrorIs(t, <-served, models.ErrServerClosed)
		assert.Zero(t, p.Pipes().Open, "pipes are left")
		assert.Zero(t, p.Stats().Active)
	})
	return p
}

// dial connects to a proxy until the test ends.
func dial(t testing.TB, p *proxy.Server) *net.TCPConn {
	t.Helper()
	return dialTo(t, p.Addr().String())
}

func dialTo(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return c.(*net.TCPConn)
}

// exchange sends a message and expects it back.
func exchange(t testing.TB, c *net.TCPConn, message []byte) {
	t.Helper()
	_, err := c.Write(message)
	require.NoError(t, err)
	got := make([]byte, len(message))
	for n := 0; n < len(got); {
		m, err := c.Read(got[n:])
		require.NoError(t, err, "after %d of %d bytes", n, len(got))
		n += m
	}
	require.True(t, string(message) == string(got), "what came back is not what was sent")
}

// backend is a server that echoes, in a process of its own on the generator's CPUs.
func backend(t testing.TB) string {
	t.Helper()
	place, err := testenv.Place()
	require.NoError(t, err)
	s, err := testenv.StartServer(t.Context(), testenv.ServerSpec{
		Model: goroutine.Name, Service: "echo", CPUs: place.Generator, StartTimeout: time.Minute,
		Config: models.Config{ReadBuffer: proxy.Piece},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Kill()) })
	return s.Addr()
}
