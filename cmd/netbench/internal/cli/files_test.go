package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/results"
)

// running is a files command in this process.
type running struct {
	t      *testing.T
	url    string
	lines  *bufio.Scanner // of its output, after the URL
	stop   context.CancelFunc
	exit   chan int
	stderr *bytes.Buffer // to be read after the end
}

func startFiles(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	r := &running{t: t, lines: bufio.NewScanner(out), stop: stop, exit: make(chan int, 1), stderr: new(bytes.Buffer)}
	go func() {
		code := Run(ctx, append([]string{"files", "-addr", "127.0.0.1:0"}, args...), strings.NewReader(""), in, r.stderr)
		in.Close()
		r.exit <- code
	}()
	t.Cleanup(stop)
	require.True(t, r.lines.Scan(), "it prints its URL")
	r.url, _, _ = strings.Cut(r.lines.Text(), "  (")
	require.Regexp(t, `^http://(127\.0\.0\.1|\[::\]):\d+/$`, r.url)
	return r
}

// end interrupts it and returns its last line and its exit code.
func (r *running) end() (string, int) {
	r.t.Helper()
	r.stop()
	var last string
	for r.lines.Scan() {
		last = r.lines.Text()
	}
	return last, <-r.exit
}

// form is a form with one file.
func form(t *testing.T, name, content string) (kind string, body *bytes.Buffer) {
	t.Helper()
	body = new(bytes.Buffer)
	w := multipart.NewWriter(body)
	part, err := w.CreateFormFile("file", name)
	require.NoError(t, err)
	_, err = io.WriteString(part, content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return w.FormDataContentType(), body
}

func TestFilesStoresAndGivesOutUntilItIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r := startFiles(t, "-dir", dir, "-log")
	kind, body := form(t, "a.txt", "hello")
	reply, err := client.Post(r.url+"upload", kind, body)
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	assert.Equal(t, http.StatusCreated, reply.StatusCode)
	reply, err = client.Get(r.url + "a.txt")
	require.NoError(t, err)
	got, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	assert.Equal(t, "hello", string(got))
	reply, err = client.Get(r.url + "b.txt")
	require.NoError(t, err)
	require.NoError(t, reply.Body.Close())
	assert.Equal(t, http.StatusNotFound, reply.StatusCode)

	last, exit := r.end()
	assert.Equal(t, results.ExitGood, exit, r.stderr.String())
	assert.Regexp(t, `^stored 1 files, gave out 1, \d+ bytes in, \d+ bytes out; 1 refused, 0 failed, 0 cut$`, last)
	assert.Regexp(t, `(?m)^POST "/upload" 201 \d+ bytes in `, r.stderr.String())
	assert.Regexp(t, `(?m)^GET "/a\.txt" 200 5 bytes in `, r.stderr.String())
	assert.Regexp(t, `(?m)^GET "/b\.txt" 404 \d+ bytes in `, r.stderr.String())
	onDisk, err := os.ReadFile(filepath.Join(dir, "a.txt"))
	require.NoError(t, err)
	assert.Equal(t, "hello", string(onDisk))
}

// An upload that does not end is cut when the time for draining is over, and leaves
// nothing behind.
func TestFilesCutsWhatDoesNotEndAndSaysSo(t *testing.T) {
	others := goleak.IgnoreCurrent()
	dir := t.TempDir()
	r := startFiles(t, "-dir", dir, "-drain", "50ms")
	nc, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/"))
	require.NoError(t, err)
	defer nc.Close()
	_, err = fmt.Fprint(nc, "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"+
		"Content-Type: multipart/form-data; boundary=b\r\n\r\n"+
		"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhalf")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		there, err := os.ReadDir(dir)
		return err == nil && len(there) == 1
	}, 10*time.Second, time.Millisecond, "the temporary file is there")
	_, exit := r.end()
	assert.Equal(t, results.ExitFailed, exit)
	assert.Contains(t, r.stderr.String(), "transfers were cut that had not ended within 50ms")
	there, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, there)
	// For half a second net/http keeps a connection that it ends with bytes unread.
	require.Eventually(t, func() bool { return goleak.Find(others) == nil }, 10*time.Second, 10*time.Millisecond)
}

// A page whose name was made to lead here is of the same origin for a browser.
func TestFilesOnThisHostAloneIsCalledByNoOtherName(t *testing.T) {
	for _, c := range []struct {
		args   string
		host   string
		status int
	}{
		{"", "evil.example", http.StatusMisdirectedRequest},
		{"", "localhost", http.StatusOK},
		{"-hosts files.example,mine.example", "evil.example", http.StatusMisdirectedRequest},
		{"-hosts files.example,mine.example", "mine.example", http.StatusOK},
		{"-hosts *", "evil.example", http.StatusOK},
		{"-addr 0.0.0.0:0", "some.example", http.StatusOK},
	} {
		t.Run(c.args+" "+c.host, func(t *testing.T) {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			run := startFiles(t, append([]string{"-dir", t.TempDir()}, strings.Fields(c.args)...)...)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, run.url+"list", nil)
			require.NoError(t, err)
			r.Host = c.host
			reply, err := client.Do(r)
			require.NoError(t, err)
			require.NoError(t, reply.Body.Close())
			assert.Equal(t, c.status, reply.StatusCode)
			_, exit := run.end()
			assert.Equal(t, results.ExitGood, exit)
		})
	}
}

func TestFilesRefusesBadInput(t *testing.T) {
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, c := range []struct{ args, says string }{
		{"", "no -dir is given"},
		{"-dir " + filepath.Join(dir, "none"), "no such file or directory"},
		{"-dir " + dir + " -buffer 1", "Buffer is 1 bytes (want 4096 to 16777216)"},
		{"-dir " + dir + " -buffer 0", "-buffer is 0 (want more than 0)"},
		{"-dir " + dir + " -max-size -1", "MaxSize is -1 bytes"},
		{"-dir " + dir + " -stall 0s", "-stall is 0s (want more than 0)"},
		{"-dir " + dir + " -drain -1s", "-drain is -1s (want 0 or more)"},
		{"-dir " + dir + " -addr bad", "missing port in address"},
		{"-dir " + dir + " -nope", "flag provided but not defined: -nope"},
		{"-dir " + dir + " -addr " + taken.Addr().String(), "address already in use"},
		{"-dir " + dir + " more", `unexpected argument "more"`},
	} {
		t.Run(c.args, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), 30*time.Second) // if it serves nevertheless
			defer stop()
			exit, out, stderr := netbench(t, ctx, append([]string{"files"}, strings.Fields(c.args)...)...)
			assert.Equal(t, results.ExitBadInput, exit)
			assert.Empty(t, out)
			assert.Contains(t, stderr, c.says)
			assert.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %q", stderr)
		})
	}
}
