package goroutine

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// patience bounds what these tests wait for. It only bounds failures.
const patience = 20 * time.Second

// start serves on a real socket until the test ends.
func start(t *testing.T, cfg models.Config) *server {
	t.Helper()
	made, err := New(cfg)
	require.NoError(t, err)
	s := made.(*server)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		assert.NoError(t, s.Close())
		assert.ErrorIs(t, <-served, models.ErrServerClosed)
	})
	return s
}

func dial(t *testing.T, s models.Server) net.Conn {
	t.Helper()
	nc, err := net.DialTimeout(s.Addr().Network(), s.Addr().String(), patience)
	require.NoError(t, err)
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// expectAll reads until the end of the stream and demands exactly want.
func expectAll(t *testing.T, nc net.Conn, want string) {
	t.Helper()
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	assert.Equal(t, want, string(got))
}

func TestFactoryRefusesWhatTheModelCannotDo(t *testing.T) {
	_, err := New(models.Config{Service: models.Echo{}, Listeners: 4})
	require.ErrorIs(t, err, models.ErrUnsupported)
	var bad *models.ConfigError
	require.ErrorAs(t, err, &bad)
	assert.Equal(t, "Listeners", bad.Field)
	assert.Contains(t, err.Error(), "reuseport")

	_, err = New(models.Config{})
	require.ErrorAs(t, err, &bad)
	assert.Equal(t, "Service", bad.Field)
}

func TestStatsNameModelAndVariant(t *testing.T) {
	for naive, variant := range map[bool]string{false: "", true: "naive"} {
		s, err := Factory(Options{NaiveBuffers: naive})(models.Config{Service: models.Echo{}})
		require.NoError(t, err)
		assert.Equal(t, models.Stats{Model: "goroutine", Variant: variant}, s.Stats())
		require.NoError(t, s.Close())
	}
}

func TestUnixSocketLeftBehindIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	require.NoError(t, err)
	left.SetUnlinkOnClose(false)
	require.NoError(t, left.Close())
	require.FileExists(t, path)

	s := start(t, models.Config{Network: "unix", Address: path, Service: models.Echo{}})
	assert.Equal(t, "hello", exchange(t, dial(t, s), "hello"))
	require.NoError(t, s.Close())
	assert.NoFileExists(t, path)
}

func TestUnixSocketInUseIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	s := start(t, models.Config{Network: "unix", Address: path, Service: models.Echo{}})
	_, err := New(models.Config{Network: "unix", Address: path, Service: models.Echo{}})
	require.ErrorContains(t, err, "somebody listens")
	assert.Equal(t, "hello", exchange(t, dial(t, s), "hello"), "who listens there goes on")
}

func TestFileAtUnixAddressIsNotRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	require.NoError(t, os.WriteFile(path, []byte("data"), 0o600))
	_, err := New(models.Config{Network: "unix", Address: path, Service: models.Echo{}})
	require.ErrorContains(t, err, "no socket")
	assert.FileExists(t, path)
}

func TestShutdownAnswersTheBacklogBeyondMaxConns(t *testing.T) {
	s := start(t, models.Config{Service: models.Frame{}, MaxConns: 1})
	first := dial(t, s)
	request := string(frame(100))
	assert.Equal(t, request, exchange(t, first, request))
	var waiting []net.Conn
	for range 5 {
		nc := dial(t, s)
		_, err := io.WriteString(nc, request)
		require.NoError(t, err)
		waiting = append(waiting, nc)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(ctx) }()
	expectAll(t, first, "")
	require.NoError(t, first.Close())
	for _, nc := range waiting {
		expectAll(t, nc, request)
		require.NoError(t, nc.Close())
	}
	require.NoError(t, <-done)
	assert.Equal(t, uint64(6), s.Stats().Accepted)
	_, err := net.DialTimeout("tcp", s.Addr().String(), patience)
	assert.Error(t, err, "nobody listens any more")
}

func TestShutdownIsNotHeldUpByAPeerThatGoesOnSending(t *testing.T) {
	s := start(t, models.Config{Service: models.Frame{}})
	nc := dial(t, s)
	request := frame(1000)
	stopped := make(chan struct{})
	go func() { // sends as fast as it can
		defer close(stopped)
		for {
			if _, err := nc.Write(request); err != nil {
				return
			}
		}
	}()
	go func() { _, _ = io.Copy(io.Discard, nc) }()
	require.Eventually(t, func() bool { return s.Stats().BytesOut > 1<<20 }, patience, time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
	assert.Zero(t, s.Stats().BytesOut%1004, "whole frames are answered")
	<-stopped
}

func TestShutdownReturnsTheContextsErrorAndClosesTheRest(t *testing.T) {
	s := start(t, models.Config{Service: models.Frame{}, IdleTimeout: models.NoLimit})
	nc := dial(t, s)
	_, err := nc.Write(frame(100)[:50])
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.Stats().BytesIn == 50 }, patience, time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(ctx) }()
	require.Eventually(t, s.draining.Load, patience, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	assert.Zero(t, s.Stats().Active)
	assert.Zero(t, s.Stats().ConnErrors, "what the server closes itself is no error")
	require.NoError(t, s.Shutdown(ctx), "now nothing is left")
}

func TestShutdownWithoutServeFreesTheAddress(t *testing.T) {
	s, err := New(models.Config{Service: models.Echo{}})
	require.NoError(t, err)
	require.NoError(t, s.Shutdown(context.Background()))
	assert.ErrorIs(t, s.Serve(), models.ErrServerClosed)
	again, err := New(models.Config{Service: models.Echo{}, Address: s.Addr().String()})
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

func TestIPv6IsServed(t *testing.T) {
	probe, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on this host: %v", err)
	}
	require.NoError(t, probe.Close())
	s := start(t, models.Config{Network: "tcp6", Service: models.Echo{}})
	assert.Equal(t, "hello", exchange(t, dial(t, s), "hello"))
}
