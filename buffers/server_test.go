package buffers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/buffers"
	"netbench/models"
)

// serve runs a server in this process until the end of the test.
func serve(t *testing.T, name, service string, cfg models.Config) models.Server {
	t.Helper()
	keepsDescriptors(t)
	var err error
	cfg.Service, err = models.ParseService(service)
	require.NoError(t, err)
	factory := buffers.Models()[name]
	require.NotNil(t, factory, name)
	s, err := factory(cfg)
	require.NoError(t, err)
	served := serving(s)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-served, models.ErrServerClosed)
		require.Zero(t, s.Stats().Active)
	})
	return s
}

// serving serves and returns what Serve will return.
func serving(s models.Server) <-chan error {
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	return served
}

// dial connects to a server. Every operation has ten seconds.
func dial(t *testing.T, s models.Server) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// servers are the names of this package's servers with the service that each speaks.
func servers(prefix string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(buffers.Models())) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

func serviceOf(name string) string {
	switch prefix, _, _ := strings.Cut(name, "-"); prefix {
	case "read":
		return "echo"
	case "line":
		return "line"
	default:
		return "frame"
	}
}

// hello is an exchange that any of the servers answers.
func hello(name string) (request, reply []byte) {
	switch serviceOf(name) {
	case "line":
		return []byte("ping\n"), []byte("pong\n")
	case "frame":
		frame := append(binary.BigEndian.AppendUint32(nil, 5), "hello"...)
		return frame, frame
	}
	return []byte("hello"), []byte("hello")
}

// exchange makes one.
func exchange(t *testing.T, c net.Conn, name string) {
	t.Helper()
	request, reply := hello(name)
	_, err := c.Write(request)
	require.NoError(t, err)
	got := make([]byte, len(reply))
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, reply, got)
}

func TestThereIsAServerForEveryName(t *testing.T) {
	for _, name := range []string{buffers.ReadEach, buffers.ReadConn, buffers.ReadBlocked, buffers.FlushEach, buffers.FlushIdle, buffers.SmallJoined, buffers.SmallSplit} {
		assert.Contains(t, servers(""), name)
	}
}

func TestEveryReaderReturnsEveryByteInOrder(t *testing.T) {
	for _, name := range servers("read-") {
		for _, size := range []int{1, 700, 16 << 10} {
			t.Run(fmt.Sprintf("%s/buffer=%d", name, size), func(t *testing.T) {
				s := serve(t, name, "echo", models.Config{ReadBuffer: size})
				c := dial(t, s)
				random := rand.New(rand.NewPCG(1, uint64(size)))
				sent := make([]byte, 4096+min(size, 64)*4096)
				for i := range sent {
					sent[i] = byte(random.Uint32())
				}
				go func() {
					for rest := sent; len(rest) > 0; {
						n := min(len(rest), 1+random.IntN(9000))
						if _, err := c.Write(rest[:n]); err != nil {
							return // which the reader sees
						}
						rest = rest[n:]
					}
					_ = c.CloseWrite()
				}()
				hash := sha256.New()
				n, err := io.Copy(hash, onlyReader{c})
				require.NoError(t, err)
				assert.EqualValues(t, len(sent), n)
				want := sha256.Sum256(sent)
				assert.Equal(t, want[:], hash.Sum(nil))
				require.Eventually(t, func() bool { return s.Stats().Active == 0 }, 5*time.Second, time.Millisecond)
				stats := s.Stats()
				assert.EqualValues(t, len(sent), stats.BytesIn)
				assert.EqualValues(t, len(sent), stats.BytesOut)
				assert.Zero(t, stats.ConnErrors)
			})
		}
	}
}

// onlyReader hides what io.Copy would look for.
type onlyReader struct{ io.Reader }

func TestEveryServerDrainsOnShutdown(t *testing.T) {
	keepsDescriptors(t)
	var all sync.WaitGroup // and not parallel subtests, of which few would run at once
	for _, name := range servers("") {
		s := serveQuietly(t, name, models.Config{})
		all.Go(func() { drains(t, s, name) })
	}
	all.Wait()
}

// drains shuts a server down that has a connection which is idle and one with requests.
func drains(t *testing.T, s models.Server, name string) {
	request, reply := hello(name)
	var idle, busy net.Conn
	for _, c := range []*net.Conn{&idle, &busy} {
		nc, err := net.Dial("tcp", s.Addr().String())
		if !assert.NoError(t, err, name) {
			return
		}
		defer nc.Close()
		assert.NoError(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
		_, err = nc.Write(request)
		assert.NoError(t, err, name)
		got := make([]byte, len(reply))
		_, err = io.ReadFull(nc, got)
		assert.NoError(t, err, name)
		assert.Equal(t, reply, got, name)
		*c = nc
	}
	_, err := busy.Write(bytes.Repeat(request, 3))
	assert.NoError(t, err, name)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	assert.NoError(t, s.Shutdown(ctx), name)
	got, err := io.ReadAll(busy)
	assert.NoError(t, err, "%s: the peer sees the end of the stream and no reset", name)
	assert.Equal(t, bytes.Repeat(reply, 3), got, name)
	got, err = io.ReadAll(idle)
	assert.NoError(t, err, name)
	assert.Empty(t, got, name)
	_, err = net.Dial("tcp", s.Addr().String())
	assert.Error(t, err, name)
	stats := s.Stats()
	assert.Zero(t, stats.Active, name)
	assert.Zero(t, stats.IdleClosed, name)
	assert.Zero(t, stats.ConnErrors, name)
	assert.NoError(t, s.Shutdown(ctx), "%s: again", name)
}

func TestCloseEndsConnectionsAtOnce(t *testing.T) {
	for _, name := range servers("") {
		t.Run(name, func(t *testing.T) {
			s := serve(t, name, serviceOf(name), models.Config{})
			c := dial(t, s)
			exchange(t, c, name)
			require.NoError(t, s.Close())
			_, err := io.ReadAll(c)
			assert.NotErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.Zero(t, s.Stats().Active)
		})
	}
}

func TestOnlySilenceClosesAConnection(t *testing.T) {
	var all sync.WaitGroup // and not parallel subtests, of which few would run at once
	for _, name := range servers("") {
		s := serveQuietly(t, name, models.Config{IdleTimeout: silenceLimit})
		all.Go(func() { assert.NoError(t, closesAtSilence(s, name), name) })
	}
	all.Wait()
}

const silenceLimit = 300 * time.Millisecond

// closesAtSilence returns an error if a server closes a connection that is in use, or not
// one that is not.
func closesAtSilence(s models.Server, name string) error {
	// On a machine that has other work this client may be silent for too long unwillingly,
	// which shows nothing.
	for attempt := uint64(1); attempt <= 20; attempt++ {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		last, silence, err := talk(c, name, 3*silenceLimit, silenceLimit/10)
		if silence >= silenceLimit {
			continue
		}
		if err != nil {
			return fmt.Errorf("after %v of silence: %w", silence, err)
		}
		if _, err := io.ReadAll(c); err != nil {
			return fmt.Errorf("a silent connection: %w", err)
		}
		if took := time.Since(last); took < silenceLimit {
			return fmt.Errorf("closed after %v of silence", took)
		}
		for end := time.Now().Add(5 * time.Second); s.Stats().IdleClosed != attempt; {
			if time.Now().After(end) {
				return fmt.Errorf("of %d idle connections %d are counted", attempt, s.Stats().IdleClosed)
			}
			<-time.After(time.Millisecond)
		}
		return nil
	}
	return errors.New("this machine is too busy")
}

// talk makes exchanges with pauses between them. It returns when the last of them began,
// and the longest time between the beginning of one and the end of the next.
func talk(c net.Conn, name string, span, pause time.Duration) (last time.Time, silence time.Duration, err error) {
	request, reply := hello(name)
	got := make([]byte, len(reply))
	began := time.Now()
	for last = began; time.Since(began) < span; {
		now := time.Now()
		if _, err = c.Write(request); err == nil {
			_, err = io.ReadFull(c, got)
		}
		silence, last = max(silence, time.Since(last)), now
		if err != nil {
			return last, silence, err
		}
		between := time.NewTimer(pause)
		<-between.C
	}
	return last, silence, nil
}

// serveQuietly is serve for tests that run beside each other, whose descriptors cannot
// be told apart.
func serveQuietly(t *testing.T, name string, cfg models.Config) models.Server {
	t.Helper()
	var err error
	cfg.Service, err = models.ParseService(serviceOf(name))
	require.NoError(t, err)
	s, err := buffers.Models()[name](cfg)
	require.NoError(t, err)
	served := serving(s)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-served, models.ErrServerClosed)
	})
	return s
}

func TestConnectionsBeyondTheLimitWaitOrAreRejected(t *testing.T) {
	name := buffers.ReadConn
	t.Run("wait", func(t *testing.T) {
		s := serve(t, name, "echo", models.Config{MaxConns: 1})
		first, second := dial(t, s), dial(t, s)
		exchange(t, first, name)
		_, err := second.Write([]byte("hello"))
		require.NoError(t, err)
		assert.EqualValues(t, 1, s.Stats().Accepted)
		require.NoError(t, first.Close())
		got := make([]byte, 5)
		_, err = io.ReadFull(second, got)
		require.NoError(t, err)
		assert.EqualValues(t, 2, s.Stats().Accepted)
	})
	t.Run("reject", func(t *testing.T) {
		s := serve(t, name, "echo", models.Config{MaxConns: 1, OnLimit: models.Reject})
		first, second := dial(t, s), dial(t, s)
		exchange(t, first, name)
		got, err := io.ReadAll(second)
		require.NoError(t, err)
		assert.Empty(t, got)
		assert.EqualValues(t, 1, s.Stats().Rejected)
		exchange(t, first, name)
	})
}

func TestAServerRefusesWhatItWouldIgnore(t *testing.T) {
	echo, line := models.Service(models.Echo{}), models.Service(models.Line{})
	spin, err := models.ParseService("echo+spin=10")
	require.NoError(t, err)
	for want, cfg := range map[string]models.Config{
		`Service is "line`:      {Service: line},
		`Service is "echo+spin`: {Service: spin},
		"Listeners":             {Service: echo, Listeners: 2},
		"Backlog":               {Service: echo, Backlog: 5},
		"RecvBuffer":            {Service: echo, RecvBuffer: 4096},
		"SendBuffer":            {Service: echo, SendBuffer: 4096},
		`Network is "unix"`:     {Service: echo, Network: "unix", Address: "/tmp/never-made"},
		"ReadBuffer":            {Service: echo, ReadBuffer: -1},
	} {
		_, err := buffers.Models()[buffers.ReadConn](cfg)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "want ", "what to do")
	}
	_, err = buffers.Models()[buffers.FlushIdle](models.Config{Service: models.Line{Max: 64 << 10}})
	assert.ErrorContains(t, err, "want at most 16384")
}
