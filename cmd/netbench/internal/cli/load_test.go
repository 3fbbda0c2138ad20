package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/results"
)

// startModel serves in this process until the test ends, and returns the URL.
func startModel(t *testing.T, service string) string {
	t.Helper()
	svc, err := models.ParseService(service)
	require.NoError(t, err)
	server, err := Models()["goroutine"](models.Config{Service: svc})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- server.Serve() }()
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		assert.ErrorIs(t, <-done, models.ErrServerClosed)
	})
	return serverURL(server, svc)
}

// netbench runs a command line in this process.
func netbench(t *testing.T, ctx context.Context, args ...string) (exit int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	exit = Run(ctx, args, strings.NewReader(""), &stdout, &stderr)
	return exit, stdout.String(), stderr.String()
}

func TestLoadPrintsOneObjectWithEveryField(t *testing.T) {
	url := startModel(t, "http")
	exit, out, stderr := netbench(t, t.Context(), "load", "-json", "-mode", "open", "-rate", "3000", "-conns", "8",
		"-duration", "500ms", "-metrics", "counts", "-server-pid", strconv.Itoa(os.Getpid()), url)
	require.Equal(t, results.ExitGood, exit, stderr)
	var r map[string]any
	d := json.NewDecoder(strings.NewReader(out))
	require.NoError(t, d.Decode(&r))
	assert.False(t, d.More(), "one object")
	for _, field := range []string{
		"mode", "target", "conns", "duration_s", "requests", "rate", "errors", "bytes_in", "bytes_out",
		"latency_ns", "service_ns", "conn_wait_ns", "send_lag_ns", "generator_cpu", "little_residual", "limit", "valid", "reasons",
	} {
		assert.Contains(t, r, field)
	}
	assert.Equal(t, url, r["target"])
	assert.EqualValues(t, 1500, r["requests"])
	latency := r["latency_ns"].(map[string]any)
	for _, q := range []string{"p50", "p90", "p99", "max", "mean"} {
		assert.Contains(t, latency, q)
	}
	assert.NotContains(t, latency, "p999", "1,500 samples are too few for p99.9")
	for _, m := range []string{"rate", "latency", "cpu", "counts"} {
		assert.Contains(t, r["valid"], m)
	}
	for _, kind := range []string{"dial", "timeout", "reset", "short", "mismatch"} {
		assert.Contains(t, r["errors"], kind)
	}
}

func TestLoadPrintsATableForAPerson(t *testing.T) {
	for service, want := range map[string]string{"echo": "64 B", "line": "closed", "frame": "64 B", "http": "closed"} {
		exit, out, stderr := netbench(t, t.Context(), "load", "-conns", "4", "-duration", "100ms", "-metrics", "counts", startModel(t, service))
		assert.Equal(t, results.ExitGood, exit, stderr)
		for _, s := range []string{"4 connections", "requests", "latency", "p99.9", "generator CPU", "limit:", want} {
			assert.Contains(t, out, s, service)
		}
	}
}

func TestLoadWarnsOfSlowConnects(t *testing.T) {
	args := []string{"load", "-mode", "connect", "-conns", "2", "-duration", "300ms", "-metrics", "none"}
	exit, out, stderr := netbench(t, t.Context(), append(args, "-pause", "100ms", startModel(t, "echo"))...)
	require.Equal(t, results.ExitGood, exit, stderr)
	assert.Contains(t, out, "warning: ")
	assert.Contains(t, out, "cycles a second, fewer than 1000")
	assert.NotContains(t, out, "succeeded, fewer than")
	exit, out, stderr = netbench(t, t.Context(), append(args, startModel(t, "echo+wait=150ms"))...)
	require.Equal(t, results.ExitGood, exit, stderr)
	assert.Contains(t, out, "on average, more than 100ms")
}

func TestLoadExitsWith3IfARequestedMetricIsInvalid(t *testing.T) {
	url := startModel(t, "http")
	// Every reply is a 404: no request succeeds.
	bad := strings.TrimSuffix(url, "/plaintext") + "/nothing/here"
	exit, out, _ := netbench(t, t.Context(), "load", "-duration", "100ms", "-conns", "2", bad)
	assert.Equal(t, results.ExitUndecided, exit)
	assert.Contains(t, out, "INVALID")
	assert.Contains(t, out, "no request succeeded")
	exit, _, _ = netbench(t, t.Context(), "load", "-duration", "100ms", "-conns", "2", "-metrics", "none", bad)
	assert.Equal(t, results.ExitGood, exit, "nothing was requested")
}

func TestLoadKeepsWhatAnInterruptedRunMeasured(t *testing.T) {
	url := startModel(t, "echo")
	file := filepath.Join(t.TempDir(), "latency.hgrm")
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	exit, out, stderr := netbench(t, ctx, "load", "-duration", "30s", "-conns", "4", "-json", "-hgrm", file, url)
	assert.Equal(t, results.ExitUndecided, exit, stderr)
	var r struct {
		Requests    int64
		Interrupted bool
		Duration    float64 `json:"duration_s"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	assert.Positive(t, r.Requests)
	assert.True(t, r.Interrupted)
	assert.Less(t, r.Duration, 5.0)
	assert.NoFileExists(t, file)
	assert.FileExists(t, file+".partial")
}

func TestLoadWritesTheDistribution(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "latency.hgrm")
	exit, _, stderr := netbench(t, t.Context(), "load", "-duration", "100ms", "-metrics", "none", "-hgrm", file, startModel(t, "echo"))
	require.Equal(t, results.ExitGood, exit, stderr)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Regexp(t, regexp.MustCompile(`(?s)Value\s+Percentile\s+TotalCount.*#\[Mean`), string(b))
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, names, 1, "nothing half-written is left")
}

func TestLoadTellsBadInputInOneLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := "tcp://" + l.Addr().String()
	require.NoError(t, l.Close()) // nobody listens there any more
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no URL":             {nil, "no URL"},
		"unknown flag":       {[]string{"-speed", "9", closed}, "-speed"},
		"zero conns":         {[]string{"-conns", "0", closed}, "-conns is 0"},
		"negative conns":     {[]string{"-conns", "-3", closed}, "-conns is -3"},
		"zero duration":      {[]string{"-duration", "0", closed}, "-duration is 0s"},
		"zero size":          {[]string{"-size", "0", closed}, "-size is 0"},
		"zero pipeline":      {[]string{"-pipeline", "0", closed}, "-pipeline is 0"},
		"negative warmup":    {[]string{"-warmup", "-1s", closed}, "warmup"},
		"rate without open":  {[]string{"-rate", "10", closed}, "use -mode open"},
		"open without rate":  {[]string{"-mode", "open", closed}, "-rate"},
		"negative rate":      {[]string{"-mode", "open", "-rate", "-1", closed}, "-rate"},
		"unknown mode":       {[]string{"-mode", "wild", closed}, "wild"},
		"unknown arrivals":   {[]string{"-mode", "open", "-rate", "1", "-arrivals", "late", closed}, "late"},
		"unreachable":        {[]string{closed}, "is a server listening there?"},
		"unreachable, cycle": {[]string{"-mode", "connect", closed}, "is a server listening there?"},
		"no such socket":     {[]string{"unix:///nowhere/sock"}, "is a server listening there?"},
		"remote":             {[]string{"tcp://192.0.2.1:7"}, "-allow-remote"},
		"too many":           {[]string{"-conns", "9000000", "tcp://127.0.0.1:7"}, "generator processes may hold at most"},
		"no scheme":          {[]string{"127.0.0.1:7"}, "want tcp://"},
		"foreign scheme":     {[]string{"ftp://127.0.0.1:7"}, "unknown scheme"},
		"no port":            {[]string{"tcp://127.0.0.1"}, "lacks host or port"},
		"flag behind URL":    {[]string{closed, "-json"}, "flags go before it"},
		"method on echo":     {[]string{"-method", "POST", closed}, "http://"},
		"bad header":         {[]string{"-header", "nonsense", closed}, "-header"},
		"no body file":       {[]string{"-body", "@" + dir + "/none", closed}, "-body"},
		"no CPU":             {[]string{"-cpus", "x", closed}, "-cpus"},
		"no process":         {[]string{"-server-pid", "99999999", closed}, "-server-pid"},
		"arrivals of a loop": {[]string{"-arrivals", "poisson", closed}, "no effect in mode closed"},
		"pause of a loop":    {[]string{"-pause", "1s", closed}, "no effect in mode closed"},
		"size of a line":     {[]string{"-size", "99", "line://127.0.0.1:7"}, "no effect on line targets"},
		"size of a page":     {[]string{"-size", "99", "http://127.0.0.1:7"}, "no effect on http targets"},
		"two paths":          {[]string{"http://127.0.0.1:7/a", "http://127.0.0.1:8/b"}, "different paths"},
		"no threshold":       {[]string{"-max-steal", "0", closed}, "-max-steal is 0"},
		"unknown metric":     {[]string{"-metrics", "beauty", closed}, "beauty"},
		"cpu of whom":        {[]string{"-metrics", "cpu", closed}, "-server-pid"},
		"hgrm nowhere":       {[]string{"-hgrm", dir + "/none/x", closed}, "-hgrm"},
		"hgrm of a stream":   {[]string{"-mode", "stream", "-hgrm", dir + "/x", closed}, "no latencies"},
	} {
		t.Run(name, func(t *testing.T) {
			exit, out, stderr := netbench(t, t.Context(), append([]string{"load"}, tc.args...)...)
			assert.Equal(t, results.ExitBadInput, exit)
			assert.Empty(t, out)
			assert.Contains(t, stderr, tc.want)
			assert.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %s", stderr)
		})
	}
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, names, "nothing half-written is left")
}

func TestServeServesUntilInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	var stderr bytes.Buffer
	exit := make(chan int, 1)
	go func() {
		exit <- Run(ctx, []string{"serve", "-service", "line"}, strings.NewReader(""), w, &stderr)
		w.Close()
	}()
	line := make([]byte, 200)
	n, err := r.Read(line)
	require.NoError(t, err)
	url, _, _ := strings.Cut(string(line[:n]), " ")
	require.True(t, strings.HasPrefix(url, "line://127.0.0.1:"), url)
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "line://"))
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("ping\n"))
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
	n, err = c.Read(line)
	require.NoError(t, err)
	assert.Equal(t, "pong\n", string(line[:n]))
	cancel()
	n, err = r.Read(line)
	require.NoError(t, err)
	assert.Contains(t, string(line[:n]), "served 1 connections, 5 bytes in, 5 bytes out")
	assert.Equal(t, results.ExitGood, <-exit, "%s", &stderr)
}

func TestServeTellsBadInputInOneLine(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"model":   {[]string{"-model", "fast"}, `model "fast" is unknown (use goroutine`},
		"service": {[]string{"-service", "gopher"}, "gopher"},
		"address": {[]string{"-addr", "here"}, "Address"},
		"network": {[]string{"-network", "carrier pigeon"}, "Network"},
		"buffer":  {[]string{"-read-buffer", "-1"}, "ReadBuffer"},
		"rest":    {[]string{"now"}, `unexpected argument "now"`},
	} {
		t.Run(name, func(t *testing.T) {
			exit, out, stderr := netbench(t, t.Context(), append([]string{"serve"}, tc.args...)...)
			assert.Equal(t, results.ExitBadInput, exit)
			assert.Empty(t, out)
			assert.Contains(t, stderr, tc.want)
			assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
		})
	}
}
