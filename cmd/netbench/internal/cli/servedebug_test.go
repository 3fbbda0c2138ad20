package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/results"
)

// said is what a command has printed so far.
type said struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// await returns the first group of the expression when it was printed.
func (s *said) await(t *testing.T, expression string) string {
	t.Helper()
	re := regexp.MustCompile(expression)
	require.Eventually(t, func() bool { return re.MatchString(s.String()) }, 20*time.Second, 5*time.Millisecond, "%s", expression)
	return re.FindStringSubmatch(s.String())[1]
}

func TestServeShowsItsProfilesAndTracesOfSlowSteps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "traces")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out, messages said
	exit := make(chan int, 1)
	go func() {
		exit <- Run(ctx, []string{"serve", "-addr", "127.0.0.1:0", "-service", "echo+wait=30ms",
			"-debug", "127.0.0.1:0", "-slow", "10ms", "-slow-dir", dir}, strings.NewReader(""), &out, &messages)
	}()
	addr := out.await(t, `^tcp://(\S+)`)
	url := out.await(t, `profiles: (http://127.0.0.1:\d+/debug/pprof/)`)
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	for path, begins := range map[string]string{
		"": "<html>", "goroutine?debug=1": "goroutine profile:", "heap": "\x1f\x8b", "mutex?debug=1": "--- mutex:",
		"trace?seconds=0.05": "", "profile?seconds=1": "\x1f\x8b",
	} {
		res, err := client.Get(url + path)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Equal(t, http.StatusOK, res.StatusCode, path)
		assert.True(t, strings.HasPrefix(string(body), begins), path)
	}

	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	_, err = io.WriteString(c, "hello")
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 5))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	file := messages.await(t, `work of echo\+wait=30ms took .*: go tool trace (\S+)`)
	_, err = os.Stat(file)
	assert.NoError(t, err)
	interrupt()
	assert.Equal(t, results.ExitGood, <-exit, messages.String())
	_, err = net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/debug/pprof/"))
	assert.Error(t, err, "the profiles end with the server")
}

func TestBadDebugFlagsAreOneLine(t *testing.T) {
	for args, says := range map[string]string{
		"-debug :6060":        "-debug :6060 can be reached by other hosts",
		"-debug 0.0.0.0:6060": "use 127.0.0.1:6060, or -debug-remote",
		"-debug nonsense":     "-debug: ",
		"-debug-remote":       "no effect without -debug",
		"-slow 0s":            "-slow is 0s",
		"-slow-dir x":         "no effect without -slow",
	} {
		exit, out, stderr := netbench(t, t.Context(), append([]string{"serve"}, strings.Fields(args)...)...)
		assert.Equal(t, results.ExitBadInput, exit, args)
		assert.Empty(t, out)
		assert.Contains(t, stderr, says)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	exit, _, stderr := netbench(t, t.Context(), "serve", "-slow", "1ms", "-slow-dir", file)
	assert.Equal(t, results.ExitBadInput, exit)
	assert.Contains(t, stderr, "not a directory")
	traces := filepath.Join(t.TempDir(), "traces")
	for _, args := range [][]string{{"-debug", "127.0.0.1:0"}, {"-slow", "1ms", "-slow-dir", traces}} {
		exit, out, stderr := netbench(t, t.Context(), append([]string{"serve", "-model", "prefork-goroutine", "-addr", "127.0.0.1:0"}, args...)...)
		assert.Equal(t, results.ExitBadInput, exit)
		assert.Empty(t, out)
		assert.Contains(t, stderr, "prefork-goroutine has several")
		assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
	exit, _, stderr = netbench(t, t.Context(), "serve", "-addr", "nonsense", "-slow", "1ms", "-slow-dir", traces)
	assert.Equal(t, results.ExitBadInput, exit)
	assert.Contains(t, stderr, `Config.Address is "nonsense"`)
	assert.NoDirExists(t, traces, "of a server that never was")
}

// unmakable is a service that this machine cannot make.
type unmakable struct{ models.Echo }

func (unmakable) Name() string                                  { return "unmakable" }
func (u unmakable) With(string, string) (models.Service, error) { return u, nil }
func (unmakable) Prepare() error                                { return errors.New("it cannot be made") }

// A machine that cannot make what the service needs refuses when all else has begun.
func TestAServiceThatCannotBePreparedEndsItsProfilesAndTraces(t *testing.T) {
	models.RegisterService("unmakable", func() models.Configurable { return unmakable{} })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String() // a free one
	require.NoError(t, l.Close())
	traces := filepath.Join(t.TempDir(), "traces")
	for range 2 { // the second finds nothing of the first
		exit, out, stderr := netbench(t, t.Context(), "serve", "-service", "unmakable", "-addr", "127.0.0.1:0",
			"-debug", addr, "-slow", "1ms", "-slow-dir", traces)
		assert.Equal(t, results.ExitBadInput, exit)
		assert.Empty(t, out)
		assert.Equal(t, "netbench serve: it cannot be made\n", stderr)
	}
	_, err = net.Dial("tcp", addr)
	assert.Error(t, err)
	assert.NoDirExists(t, traces)
}
