package files_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/zerocopy/files"
)

func pathEscape(name string) string { return url.PathEscape(name) }

// watching is a listener whose connections tell which readers they are given to
// send from.
type watching struct {
	net.Listener
	mu    *sync.Mutex
	files *int   // reads from a file itself
	other *int   // reads from anything else
	bytes *int64 // of files
}

type watchedConn struct {
	*net.TCPConn
	l watching
}

func (l watching) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watchedConn{nc.(*net.TCPConn), l}, nil
}

func (c *watchedConn) ReadFrom(src io.Reader) (int64, error) {
	n, err := c.TCPConn.ReadFrom(src)
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if limited, ok := src.(*io.LimitedReader); ok {
		if _, ok := limited.R.(*os.File); ok {
			*c.l.files++
			*c.l.bytes += n
			return n, err
		}
	}
	*c.l.other++
	return n, err
}

// The kernel gets the file itself, also through middleware: a wrapper on the way
// without ReadFrom would make each of these a copy.
func TestFilesReachTheConnectionAsFilesThroughMiddleware(t *testing.T) {
	var mu sync.Mutex
	var direct, other int
	var bytes int64
	answers := make(chan files.Answer, 2)
	s := serve(t, place{
		wrap: func(h http.Handler) http.Handler {
			return files.Record(files.Record(h, func(files.Answer) {}), func(a files.Answer) { answers <- a })
		},
		listen: func(l net.Listener) net.Listener { return watching{l, &mu, &direct, &other, &bytes} },
	})
	content := noise(1 << 20)
	s.put("a.bin", content)
	_, body := s.do(http.MethodGet, "/a.bin", nil)
	assert.True(t, body == content)
	whole := <-answers
	mu.Lock()
	assert.EqualValues(t, len(content)-512, bytes, "all but what net/http looks at")
	assert.Equal(t, (len(content)+files.DefaultBuffer-1)/files.DefaultBuffer, direct, "a block each")
	mu.Unlock()
	_, body = s.do(http.MethodGet, "/a.bin", nil, "Range", "bytes=100000-899999")
	assert.True(t, body == content[100000:900000])
	part := <-answers
	mu.Lock()
	assert.EqualValues(t, len(content)-512+800000-512, bytes)
	assert.Zero(t, other, "nothing was sent from anything else")
	mu.Unlock()
	assert.Equal(t, files.Answer{Method: "GET", Path: "/a.bin", Status: 200, Bytes: 1 << 20, Took: whole.Took}, whole)
	assert.Equal(t, files.Answer{Method: "GET", Path: "/a.bin", Status: 206, Bytes: 800000, Took: part.Took}, part)
}

func TestMiddlewareHidesNothing(t *testing.T) {
	var flushed, hijacked, plain bool
	handler := http.NewServeMux()
	handler.HandleFunc("/flush", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "now")
		w.(http.Flusher).Flush()
		flushed = http.NewResponseController(w).Flush() == nil
	})
	handler.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		nc, _, err := w.(http.Hijacker).Hijack()
		if hijacked = err == nil; hijacked {
			_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmine")
			nc.Close()
		}
	})
	handler.HandleFunc("/copy", func(w http.ResponseWriter, _ *http.Request) {
		n, err := io.Copy(w, strings.NewReader("copied"))
		plain = n == 6 && err == nil
	})
	s := serve(t, place{wrap: func(http.Handler) http.Handler { return files.Record(handler, func(files.Answer) {}) }})
	for path, want := range map[string]string{"/flush": "now", "/hijack": "mine", "/copy": "copied"} {
		_, body := s.do(http.MethodGet, path, nil)
		assert.Equal(t, want, body)
	}
	assert.True(t, flushed)
	assert.True(t, hijacked)
	assert.True(t, plain)
}

// Where there is no connection below, as in somebody's test, there is no sendfile and
// no deadline, and the bytes are the same.
func TestTheHandlerServesWithoutAConnection(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte(noise(300_000)), 0o600))
	service, err := files.New(files.Config{Dir: dir})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	http.StripPrefix("/prefix", service).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/prefix/a", nil))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.True(t, w.Body.String() == noise(300_000))
	require.NoError(t, service.Close())
	require.NoError(t, service.Close(), "again does nothing")

	w = httptest.NewRecorder()
	service.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/a", nil))
	assertRefused(t, http.StatusServiceUnavailable, "being stopped", w.Result(), w.Body.String())
}

func TestNewRefusesWhatItCannotServe(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(plain, nil, 0o600))
	for name, c := range map[string]struct {
		config files.Config
		says   string
	}{
		"no directory":      {files.Config{}, "no Dir is given"},
		"a missing one":     {files.Config{Dir: filepath.Join(dir, "none")}, "none: "},
		"a file":            {files.Config{Dir: plain}, "file: "},
		"a negative size":   {files.Config{Dir: dir, MaxSize: -1}, "MaxSize is -1 bytes"},
		"a small buffer":    {files.Config{Dir: dir, Buffer: 100}, "Buffer is 100 bytes (want 4096 to 16777216)"},
		"a large buffer":    {files.Config{Dir: dir, Buffer: 1 << 30}, "Buffer is 1073741824 bytes"},
		"a negative limit":  {files.Config{Dir: dir, Stall: -time.Second}, "Stall is -1s"},
		"an endless upload": {files.Config{Dir: dir, MaxSize: 1<<63 - 1}, "MaxSize is"},
	} {
		t.Run(name, func(t *testing.T) {
			expectNoDescriptors(t)
			_, err := files.New(c.config)
			assert.ErrorContains(t, err, c.says)
		})
	}
}

func TestThePageUsesNothingFromElsewhere(t *testing.T) {
	s := serve(t, place{})
	reply, page := s.do(http.MethodGet, "/", nil)
	assert.Equal(t, "text/html; charset=utf-8", reply.Header.Get("Content-Type"))
	assert.Contains(t, reply.Header.Get("Content-Security-Policy"), "default-src 'none'")
	for path, kind := range map[string]string{"/-/page.js": "text/javascript; charset=utf-8", "/-/page.css": "text/css; charset=utf-8"} {
		reply, text := s.do(http.MethodGet, path, nil)
		assert.Equal(t, http.StatusOK, reply.StatusCode)
		assert.Equal(t, kind, reply.Header.Get("Content-Type"))
		assert.Contains(t, page, path[1:])
		page += text
	}
	assert.NotContains(t, page, "//"+"cdn")
	assert.NotRegexp(t, `https?://`, page)
	assert.NotContains(t, page, "innerHTML")
}

// A service in another process may still write to its temporary files.
func TestAServiceLeavesTheUploadsOfAnotherAlone(t *testing.T) {
	dir := t.TempDir()
	_, addr := startChild(t, files.Config{Dir: dir})
	nc, end := beginUpload(t, addr, "a", 5)
	_, err := io.WriteString(nc, "hel")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(hidden(t, dir)) == 1 }, 10*time.Second, time.Millisecond)
	second, err := files.New(files.Config{Dir: dir})
	require.NoError(t, err)
	defer second.Close()
	assert.Len(t, hidden(t, dir), 1)
	_, err = io.WriteString(nc, "lo"+end)
	require.NoError(t, err)
	reply, err := http.ReadResponse(bufio.NewReader(nc), nil)
	require.NoError(t, err)
	defer reply.Body.Close()
	assert.Equal(t, http.StatusCreated, reply.StatusCode)
}

func TestAKillInTheMiddleLeavesNoVisibleFileAndTheNextStartNothing(t *testing.T) {
	dir := t.TempDir()
	child, addr := startChild(t, files.Config{Dir: dir})
	nc, _ := beginUpload(t, addr, "a", 1<<20)
	_, err := io.WriteString(nc, noise(1<<19))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(hidden(t, dir)) == 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, child.Kill())
	there, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, there, 1)
	assert.True(t, strings.HasPrefix(there[0].Name(), ".netbench-upload-"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".of-somebody-else"), nil, 0o600))

	s, err := files.New(files.Config{Dir: dir})
	require.NoError(t, err)
	defer s.Close()
	assert.Equal(t, []string{".of-somebody-else"}, hidden(t, dir))
}
