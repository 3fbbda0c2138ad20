package floor_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/cc"
	"netbench/internal/needs"
	"netbench/load"
	"netbench/models"
	"netbench/models/floor"
	"netbench/testenv"
)

const patience = 20 * time.Second

// build compiles a model, or skips the test where it cannot run.
func build(t *testing.T, name string) string {
	t.Helper()
	if name == floor.Uring {
		needUring(t)
	}
	program, err := floor.Build(t.Context(), name)
	if errors.Is(err, cc.ErrNoCompiler) {
		needs.Skip(t, needs.CC, err)
	}
	require.NoError(t, err)
	return program
}

// needUring skips the test where the kernel has no io_uring, or forbids it.
func needUring(t *testing.T) {
	t.Helper()
	params := make([]byte, 120) // struct io_uring_params, all zero
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 8, uintptr(unsafe.Pointer(&params[0])), 0)
	if errno != 0 {
		needs.Skip(t, needs.Uring, errno)
	}
	require.NoError(t, unix.Close(int(fd)))
}

// start starts a server that has to be gone, in order, when the test ends.
func start(t *testing.T, name string, config models.Config) *testenv.Server {
	t.Helper()
	s, err := testenv.StartServer(t.Context(), testenv.ServerSpec{
		Model: name, Program: build(t, name), Service: "echo", Config: config, StartTimeout: time.Minute,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, s.Stop(ctx))
	})
	return s
}

// each runs a test for every model.
func each(t *testing.T, test func(t *testing.T, name string)) {
	for _, name := range floor.Names() {
		t.Run(name, func(t *testing.T) { test(t, name) })
	}
}

func dial(t *testing.T, s *testenv.Server) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	return nc.(*net.TCPConn)
}

// exchange sends a text and demands it back.
func exchange(t *testing.T, nc net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(nc, text)
	require.NoError(t, err)
	reply := make([]byte, len(text))
	_, err = io.ReadFull(nc, reply)
	require.NoError(t, err)
	require.Equal(t, text, string(reply))
}

// snapshot asks a server what it has done.
func snapshot(t *testing.T, s *testenv.Server) testenv.Snapshot {
	t.Helper()
	snap, err := s.Stats(t.Context())
	require.NoError(t, err)
	return snap
}

// eventually waits until the server's counters are as wanted.
func eventually(t *testing.T, s *testenv.Server, wanted func(models.Stats) bool, about string) {
	t.Helper()
	require.Eventually(t, func() bool { return wanted(snapshot(t, s).Server) }, patience, 5*time.Millisecond, about)
}

func TestEchoReturnsEveryByteUnderEveryKindOfLoad(t *testing.T) {
	for name, p := range map[string]load.Plan{
		"64 B":             {Conns: 20, Size: 64, Requests: 4000},
		"1 KiB":            {Conns: 20, Size: 1 << 10, Requests: 4000},
		"16 KiB":           {Conns: 20, Size: 16 << 10, Requests: 1000},
		"1 MiB stream":     {Mode: load.Stream, Conns: 4, Size: 1 << 20, Requests: 64},
		"pipelined":        {Conns: 10, Size: 100, Pipeline: 64, Requests: 20_000},
		"pipelined 16 KiB": {Conns: 4, Size: 16 << 10, Pipeline: 16, Requests: 1000},
		"connect":          {Mode: load.Connect, Conns: 10, Requests: 300, Pause: time.Millisecond},
		"1000 connections": {Conns: 1000, Size: 64, Requests: 5000},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, model string) {
				s := start(t, model, models.Config{Loops: 2})
				target, err := load.ParseTarget(t.Context(), "tcp://"+s.Addr())
				require.NoError(t, err)
				p.Targets, p.Duration, p.Seed = []load.Target{target}, patience, 7
				r, err := load.Run(t.Context(), p)
				require.NoError(t, err)
				assert.Equal(t, p.Requests, r.Answered)
				assert.Zero(t, r.Lost)
				for kind, n := range r.Errors {
					assert.Zero(t, n, kind)
				}
				eventually(t, s, func(st models.Stats) bool { return st.Active == 0 }, "all have gone")
				stats := snapshot(t, s).Server
				assert.EqualValues(t, r.BytesOut, stats.BytesIn)
				assert.Equal(t, stats.BytesIn, stats.BytesOut)
				assert.Zero(t, stats.ConnErrors)
			})
		})
	}
}

func TestHalfCloseGetsAllBytesAndThenTheEndOfTheStream(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		s := start(t, model, models.Config{Loops: 1})
		for _, size := range []int{0, 1, 5000, 3 << 20} {
			nc := dial(t, s)
			sent := bytes.Repeat([]byte("half-close "), size/11+1)[:size]
			go func() {
				_, _ = nc.Write(sent)
				_ = nc.CloseWrite()
			}()
			got, err := io.ReadAll(nc)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(sent, got), "%d of %d bytes", len(got), size)
		}
	})
}

func TestReadBuffersOfEverySizeServe(t *testing.T) {
	each(t, func(t *testing.T, model string) {
		for _, size := range []int{1, 7, 4096, 1 << 20, 16 << 20} {
			s := start(t, model, models.Config{Loops: 1, ReadBuffer: size})
			nc := dial(t, s)
			sent := bytes.Repeat([]byte("0123456789"), 10_000)
			go func() {
				_, _ = nc.Write(sent)
				_ = nc.CloseWrite()
			}()
			got, err := io.ReadAll(nc)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(sent, got), "%d of %d bytes with a buffer of %d", len(got), len(sent), size)
		}
	})
}

func TestEveryAddressOfTCPIsListenedOn(t *testing.T) {
	type place struct{ network, address string }
	places := map[place]string{
		{"", ""}:                "127.0.0.1:",
		{"tcp4", "localhost:0"}: "127.0.0.1:",
		{"tcp4", "127.0.0.2:0"}: "127.0.0.2:",
		{"tcp4", ":0"}:          "0.0.0.0:",
		{"tcp", "127.0.0.1:0"}:  "127.0.0.1:",
	}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		l.Close()
		places[place{"tcp6", ""}] = "[::1]:"
		places[place{"tcp", "[::1]:0"}] = "[::1]:"
	}
	for p, want := range places {
		t.Run(p.network+" "+p.address, func(t *testing.T) {
			each(t, func(t *testing.T, model string) {
				s := start(t, model, models.Config{Loops: 1, Network: p.network, Address: p.address})
				assert.Contains(t, s.Addr(), want)
				assert.Equal(t, "tcp", s.Network())
				exchange(t, dial(t, s), "hello")
			})
		})
	}
}
