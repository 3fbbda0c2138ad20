package zerocopy

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/testenv"
)

// material makes a file that a server sends.
func material(t testing.TB, n int64) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "material")
	require.NoError(t, WriteMaterial(path, 1, n))
	return path
}

// serve starts a server in this process, which is closed with the test.
func serve(t testing.TB, config ServerConfig) (s *FileServer, addr string) {
	t.Helper()
	s, err := NewFileServer(config)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-served, models.ErrServerClosed)
		require.Zero(t, s.Stats().Active)
	})
	return s, s.Addr().String()
}

// dial makes a client, which is closed with the test.
func dial(t testing.TB, addr string) *FileClient {
	t.Helper()
	c, err := DialFileServer(t.Context(), addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestAClientGetsTheFileByTheWayItAsksFor(t *testing.T) {
	const n = 3<<20 + 5
	path := material(t, n)
	eachWay(t, func(t *testing.T, way Way) {
		s, addr := serve(t, ServerConfig{File: path})
		c := dial(t, addr)
		for _, part := range []int64{n, 1, 100_000, n} {
			sum, err := c.Hash(way, part)
			require.NoError(t, err)
			require.Equal(t, MaterialSum(1, part), sum)
			require.NoError(t, c.Fetch(way, part))
		}
		r, err := c.Report()
		require.NoError(t, err)
		assert.Equal(t, way.String(), r.Way)
		assert.Equal(t, uint64(8), r.Sends)
		assert.Equal(t, int64(2*(n+1+100_000+n)), r.Bytes)
		assert.Zero(t, r.FellBack)
		assert.Equal(t, way.Kind == KindZeroCopy, r.ZeroCopy != nil)
		stats := s.Stats()
		assert.Equal(t, uint64(1), stats.Accepted)
		assert.EqualValues(t, 1, stats.Active)
		assert.EqualValues(t, r.Bytes, stats.BytesOut)
		assert.Equal(t, uint64(8), s.Sends())
		require.NoError(t, c.Close())
		require.Eventually(t, func() bool { return s.Stats().Active == 0 }, patience, pollEvery)
		assert.Zero(t, s.Stats().ConnErrors, "%v", s.LastError())
	})
}

func TestARequestThatCannotBeMetIsAnsweredAndTheConnectionGoesOn(t *testing.T) {
	closesAll(t)
	const n = 100_000
	_, addr := serve(t, ServerConfig{File: material(t, n)})
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	in := bufio.NewReader(conn)
	ask := func(line string) string {
		_, err := io.WriteString(conn, line+"\n")
		require.NoError(t, err)
		answer, err := in.ReadString('\n')
		require.NoError(t, err)
		return answer
	}
	for _, c := range []struct{ line, answer string }{
		{"", "unknown request"},
		{"hello", "unknown request"},
		{"GET / HTTP/1.1\r", "unknown request"},
		{"report", "nothing was sent"},
		{"send tape 5", "unknown way"},
		{"send copy 0", "number of bytes"},
		{"send copy 99999999999999999999", "number of bytes"},
		{fmt.Sprintf("send copy %d", n+1), "of a file of 100000"},
		{"send copy-hidden 5", "sends by copy"},
		{"send buffer-0B 5", "buffer-0B"},
		{"\x00\xff", "unknown request"},
	} {
		answer := ask(c.line)
		assert.True(t, strings.HasPrefix(answer, "error "), "%q: %q", c.line, answer)
		assert.Contains(t, answer, c.answer, "%q", c.line)
	}
	require.Equal(t, "ok 5\n", ask("send copy 5"))
	got := make([]byte, 5)
	_, err = io.ReadFull(in, got)
	require.NoError(t, err)
	want := make([]byte, 5)
	_, _ = io.ReadFull(Material(1), want)
	assert.Equal(t, want, got)
}

func TestARefusalReachesTheCallerAsSuch(t *testing.T) {
	closesAll(t)
	_, addr := serve(t, ServerConfig{File: material(t, 100)})
	c := dial(t, addr)
	way := Way{KindBuffer, 10}
	var refused *RefusedError
	_, err := c.Report()
	require.ErrorAs(t, err, &refused)
	err = c.Fetch(way, 101)
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, "send buffer-10B 101", refused.Request)
	assert.Contains(t, refused.Reason, "of a file of 100")
	assert.NotContains(t, refused.Reason, "\n")
	require.ErrorAs(t, c.Fetch(Way{Kind: KindCopy}, 100), &refused, "another way on the same connection")
	require.NoError(t, c.Fetch(way, 100), "a refused client goes on")
}

func TestARequestWithoutAnEndClosesTheConnection(t *testing.T) {
	closesAll(t)
	s, addr := serve(t, ServerConfig{File: material(t, 100)})
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, strings.Repeat("x", maxRequest))
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(answer), "error the request is longer than 128 bytes")
	require.Eventually(t, func() bool { return s.Stats().ConnErrors == 1 }, patience, pollEvery)
}

func TestAnIdleClientIsLeft(t *testing.T) {
	closesAll(t)
	s, addr := serve(t, ServerConfig{File: material(t, 100), IdleTimeout: 20 * time.Millisecond})
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.Eventually(t, func() bool { return s.Stats().Active == 0 }, patience, pollEvery)
	assert.EqualValues(t, 1, s.Stats().IdleClosed)
}

func TestShutdownSendsWhatWasAskedForAndDoesNotWaitForIdleClients(t *testing.T) {
	const n = 4 << 20
	path := material(t, n)
	eachWay(t, func(t *testing.T, way Way) {
		s, addr := serve(t, ServerConfig{File: path, SendBuffer: 64 << 10})
		idle, busy := dial(t, addr), dial(t, addr)
		require.NoError(t, idle.Fetch(way, 1))
		line, err := busy.ask(request{verbSend, way, n}, patience)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("ok %d", n), line)
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(t.Context()) }()
		_, err = idle.conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		got, err := io.ReadAll(busy.in)
		require.NoError(t, err)
		assert.Equal(t, MaterialSum(1, n), sha256.Sum256(got))
		require.NoError(t, <-down)
		assert.Zero(t, s.Stats().ConnErrors, "%v", s.LastError())
	})
}

func TestAFileThatShrinksUnderTheServerCutsTheAnswer(t *testing.T) {
	const n = 4 << 20
	eachWay(t, func(t *testing.T, way Way) {
		path := material(t, n)
		s, addr := serve(t, ServerConfig{File: path, SendBuffer: 64 << 10})
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(64<<10))
		c := newFileClient(conn)
		line, err := c.ask(request{verbSend, way, n}, patience)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("ok %d", n), line)
		require.NoError(t, os.Truncate(path, n/2))
		got, err := io.ReadAll(c.in)
		require.NoError(t, err)
		assert.Less(t, len(got), n)
		require.Eventually(t, func() bool { return s.Stats().ConnErrors == 1 }, patience, pollEvery)
		assert.ErrorIs(t, s.LastError(), ErrShrank)
		// The next one is served what is left.
		sum, err := dial(t, addr).Hash(way, n/2)
		require.NoError(t, err)
		assert.Equal(t, MaterialSum(1, n/2), sum)
	})
}

func TestCloseDoesNotWaitForClientsThatDoNotRead(t *testing.T) {
	path := material(t, 16<<20)
	eachWay(t, func(t *testing.T, way Way) {
		s, addr := serve(t, ServerConfig{File: path, SendBuffer: 64 << 10})
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(64<<10))
		_, err = newFileClient(conn).ask(request{verbSend, way, 16 << 20}, patience)
		require.NoError(t, err)
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		select {
		case err := <-closed:
			require.NoError(t, err)
		case <-time.After(patience):
			require.FailNow(t, "Close waits for the client")
		}
		assert.Zero(t, s.Stats().Active)
		assert.NoError(t, s.LastError())
		assert.Zero(t, s.Stats().ConnErrors, "ended by the server, which is no failure")
	})
}

func TestWhatCannotBeServedIsRefused(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o644))
	good := material(t, 1)
	for _, config := range []ServerConfig{
		{}, {File: filepath.Join(dir, "missing")}, {File: dir}, {File: empty}, {File: "a\x00b"},
		{File: good, SendBuffer: -1}, {File: good, IdleTimeout: -1}, {File: good, Pacing: -1}, {File: good, Congestion: "tape"},
	} {
		_, err := NewFileServer(config)
		assert.Error(t, err, "%+v", config)
	}
}

func TestAServerInAProcessOfItsOwnIsMeasuredAndEnds(t *testing.T) {
	closesAll(t)
	const n = 4 << 20
	p, err := StartFileServer(t.Context(), ServerConfig{File: material(t, n)}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Kill()) })
	c := dial(t, p.Addr())
	way := Way{KindBuffer, 32 << 10}
	sum, err := c.Hash(way, n)
	require.NoError(t, err)
	require.Equal(t, MaterialSum(1, n), sum)
	before, err := blockedCPU(p)
	if err == nil { // Linux
		for range 10 {
			require.NoError(t, c.Fetch(way, n))
		}
		after, err := blockedCPU(p)
		require.NoError(t, err)
		assert.Greater(t, after, before)
	}
	snapshot, err := p.Stats(t.Context())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, snapshot.Server.BytesOut, uint64(n))
	assert.EqualValues(t, 1, snapshot.Server.Active)
	require.NoError(t, c.Close())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, p.Stop(ctx))
	_, err = DialFileServer(t.Context(), p.Addr())
	require.Error(t, err)
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	closesAll(t)
	_, err := StartFileServer(t.Context(), ServerConfig{File: filepath.Join(t.TempDir(), "missing")}, nil)
	require.ErrorContains(t, err, "missing")
	_, err = testenv.StartServer(t.Context(), testenv.ServerSpec{Model: Model, Service: "echo", StartTimeout: startLimit})
	require.ErrorContains(t, err, envConfig)
}

func TestMaterialIsTheSameHoweverItIsRead(t *testing.T) {
	want, err := io.ReadAll(io.LimitReader(Material(9), 10_000))
	require.NoError(t, err)
	r := Material(9)
	var got []byte
	for n := 1; len(got) < 10_000; n = n%37 + 1 {
		part := make([]byte, min(n, 10_000-len(got)))
		_, err := io.ReadFull(r, part)
		require.NoError(t, err)
		got = append(got, part...)
	}
	same(t, want, got)
	path := material(t, 10)
	require.Error(t, WriteMaterial(path, 1, 10), "there is a file already")
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Len(t, kept, 10)
}
