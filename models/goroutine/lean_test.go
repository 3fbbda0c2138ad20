//go:build unix

package goroutine

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// leanConn is a connection of a lean server that is not served by a goroutine,
// so that a test can look at it after each turn, and its peer.
func leanConn(t *testing.T, cfg models.Config) (*conn, net.Conn) {
	t.Helper()
	cfg, err := cfg.Validate()
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, peer.SetDeadline(time.Now().Add(patience)))
	nc, err := l.Accept()
	require.NoError(t, err)
	c := newConn(newServer(cfg, Options{Lean: true}, newPipeListener()), nc)
	c.begin()
	t.Cleanup(func() {
		_ = nc.Close() // a test may have closed either
		_ = peer.Close()
	})
	return c, peer
}

// idle lets a connection wait until there is nothing more to read.
func idle(t *testing.T, c *conn) {
	t.Helper()
	require.NoError(t, c.nc.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	for {
		how := c.turn()
		if how == timedOut {
			break
		}
		require.Equal(t, ongoing, how)
	}
	require.NoError(t, c.nc.SetReadDeadline(time.Now().Add(patience)))
}

func TestLeanConnectionHoldsNoBufferWhileItIsIdle(t *testing.T) {
	c, peer := leanConn(t, models.Config{Service: models.Frame{}, ReadBuffer: 1 << 10})
	holdsNothing := func() {
		t.Helper()
		assert.Nil(t, c.base)
		assert.Nil(t, c.large)
		assert.Nil(t, c.out)
		assert.Nil(t, c.buf)
	}
	idle(t, c)
	holdsNothing()
	for _, size := range []int{10, 1020, 1021, 50_000} {
		request := frame(size)
		_, err := peer.Write(request)
		require.NoError(t, err)
		idle(t, c)
		holdsNothing()
		reply := make([]byte, len(request))
		_, err = io.ReadFull(peer, reply)
		require.NoError(t, err)
		assert.Equal(t, request, reply)
	}
}

func TestLeanConnectionKeepsTheBeginningOfAMessage(t *testing.T) {
	c, peer := leanConn(t, models.Config{Service: models.Frame{}, ReadBuffer: 1 << 10})
	for _, size := range []int{100, 5000} {
		request := frame(size)
		half := len(request) / 2
		_, err := peer.Write(append(frame(3), request[:half]...))
		require.NoError(t, err)
		idle(t, c)
		assert.Equal(t, request[:half], c.buf[c.start:c.end])
		_, err = peer.Write(request[half:])
		require.NoError(t, err)
		idle(t, c)
		assert.Nil(t, c.base)
		assert.Nil(t, c.large)
		want := append(frame(3), request...)
		reply := make([]byte, len(want))
		_, err = io.ReadFull(peer, reply)
		require.NoError(t, err)
		assert.Equal(t, want, reply)
	}
}

func TestLeanConnectionLearnsOfTheEnd(t *testing.T) {
	c, peer := leanConn(t, models.Config{Service: models.Echo{}})
	_, err := peer.Write([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, peer.(*net.TCPConn).CloseWrite())
	how := ongoing
	for how == ongoing {
		how = c.turn()
	}
	assert.Equal(t, finished, how)
	got, reset := leanConn(t, models.Config{Service: models.Echo{}})
	require.NoError(t, reset.(*net.TCPConn).SetLinger(0))
	require.NoError(t, reset.Close())
	assert.Equal(t, failed, got.turn())
	require.NoError(t, got.nc.Close())
	assert.Equal(t, killed, got.turn())
}

func TestLeanExchangeAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget")
	}
	get := []byte("GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n")
	for name, tc := range map[string]struct {
		service models.Service
		message []byte
	}{
		"echo":                    {models.Echo{}, bytes.Repeat([]byte("x"), 1000)},
		"echo of a full buffer":   {models.Echo{}, bytes.Repeat([]byte("x"), 8192)},
		"frame":                   {models.Frame{}, frame(100)},
		"frame beyond the buffer": {models.Frame{}, frame(20_000)},
		"HTTP":                    {models.HTTP{}, get},
		"HTTP, pipelined":         {models.HTTP{}, bytes.Repeat(get, 16)},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := leanConn(t, models.Config{Service: tc.service})
			reply := make([]byte, 64<<10)
			exchange := func() {
				if c.base != nil { // as a wait for the next request does
					c.unborrow()
				}
				if _, err := peer.Write(tc.message); err != nil {
					t.Fatal(err)
				}
				wrote := c.bytesOut.Load()
				for was := c.consumed; c.consumed < was+int64(len(tc.message)); {
					if how := c.turn(); how != ongoing {
						t.Fatal(how)
					}
				}
				for owed := int(c.bytesOut.Load() - wrote); owed > 0; {
					n, err := peer.Read(reply)
					if err != nil {
						t.Fatal(err)
					}
					owed -= n
				}
			}
			for range 50 { // the pools fill, the guess settles
				exchange()
			}
			assert.InDelta(t, 0, testing.AllocsPerRun(200, exchange), 0.5)
		})
	}
}

func TestLeanServerAnswersThroughTheRuntimesPoller(t *testing.T) {
	made, err := Factory(Options{Lean: true})(models.Config{Service: models.Echo{}})
	require.NoError(t, err)
	s := made.(*server)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	assert.Equal(t, models.Stats{Model: "goroutine", Variant: "lean"}, s.Stats())
	nc := dial(t, s)
	request := bytes.Repeat([]byte("x"), 100)
	reply := make([]byte, len(request))
	exchange := func() {
		if _, err := nc.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(nc, reply); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		exchange()
	}
	if !raceDetector {
		// This counts what the server's goroutine allocates too: it waits for
		// each request and is woken.
		assert.InDelta(t, 0, testing.AllocsPerRun(500, exchange), 0.5)
	}
	require.NoError(t, s.Close())
	assert.ErrorIs(t, <-served, models.ErrServerClosed)
	assert.Zero(t, s.Stats().ConnErrors)
}

func TestVariantsThatContradictEachOtherAreRefused(t *testing.T) {
	_, err := Factory(Options{Lean: true, NaiveBuffers: true})(models.Config{Service: models.Echo{}})
	assert.ErrorContains(t, err, "Options.Lean and Options.NaiveBuffers exclude each other")
}
