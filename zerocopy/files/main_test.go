package files_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/proc"
	"netbench/zerocopy/files"
)

func TestMain(m *testing.M) {
	proc.Main(fileServer)
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// childInfo is what the service in a process of its own says when it is ready.
type childInfo struct{ Addr string }

// operations are what a test may ask of that process, beside serving.
var operations = map[string]func() (any, error){}

// childSpec says how it serves. A [files.Config] alone will do.
type childSpec struct {
	files.Config
	Hide bool // behind middleware that has Write alone, so that files are copied
}

// onlyWrite is such middleware. It passes deadlines on, as that of others does.
type onlyWrite struct{ http.ResponseWriter }

func (w onlyWrite) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// fileServer is a service in a process of its own.
var fileServer = proc.Role{Name: "file-server", Run: func(ctx context.Context, ch *proc.Channel, raw json.RawMessage) error {
	var spec childSpec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	service, err := files.New(spec.Config)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, service.Close())
	}
	for name, f := range operations {
		ch.Handle(name, func(context.Context, json.RawMessage) (any, error) { return f() })
	}
	var handler http.Handler = service
	if spec.Hide {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { service.ServeHTTP(onlyWrite{w}, r) })
	}
	server := files.NewServer(handler)
	server.ErrorLog = log.New(io.Discard, "", 0)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	if err := ch.Ready(childInfo{l.Addr().String()}); err != nil {
		return err
	}
	<-ctx.Done()
	err = server.Close()
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, service.Close())
}}

// startChild starts it.
func startChild(t testing.TB, c files.Config) (*proc.Child, string) {
	t.Helper()
	return startChildOf(t, childSpec{Config: c})
}

func startChildOf(t testing.TB, spec childSpec) (*proc.Child, string) {
	t.Helper()
	child, err := proc.Start(t.Context(), proc.Options{
		Role: fileServer.Name, Spec: spec, StartTimeout: time.Minute, Log: testLog{t},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, child.Kill()) })
	var info childInfo
	require.NoError(t, json.Unmarshal(child.Info(), &info))
	return child, info.Addr
}

// testLog is the log of a child.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("server: %s", p)
	return len(p), nil
}

// site is a service in this process.
type site struct {
	t       testing.TB
	dir     string
	addr    string
	service *files.Service
	client  *http.Client
}

// place is how a test wants its site; the zero value is an ordinary one.
type place struct {
	files.Config
	wrap   func(http.Handler) http.Handler
	listen func(net.Listener) net.Listener
}

// serve starts a site. When the test ends, nothing of it may be left: no temporary
// file, no descriptor.
func serve(t testing.TB, p place) *site {
	t.Helper()
	expectNoDescriptors(t)
	if p.Dir == "" {
		p.Dir = t.TempDir()
	}
	service, err := files.New(p.Config)
	require.NoError(t, err)
	var handler http.Handler = service
	if p.wrap != nil {
		handler = p.wrap(service)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = files.NewServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	addr := server.Listener.Addr().String()
	if p.listen != nil {
		server.Listener = p.listen(server.Listener)
	}
	server.Start()
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, service.Close())
		assert.Empty(t, hidden(t, p.Dir), "nothing is left of uploads")
	})
	return &site{t: t, dir: p.Dir, addr: addr, service: service, client: server.Client()}
}

// expectNoDescriptors fails the test if more descriptors are open at its end than now.
func expectNoDescriptors(t testing.TB) {
	if runtime.GOOS != "linux" {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // opens what the runtime needs for itself
	require.NoError(t, err)
	require.NoError(t, l.Close())
	count := func() int {
		there, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(there)
	}
	before := count()
	t.Cleanup(func() {
		assert.Eventually(t, func() bool { return count() <= before }, 10*time.Second, 5*time.Millisecond, "descriptors are left open")
	})
}

// hidden are the names in a directory that begin with a dot.
func hidden(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// put lays a file into the directory, as one that has been there for an hour.
func (s *site) put(name, content string) {
	s.t.Helper()
	path, then := filepath.Join(s.dir, name), time.Now().Add(-time.Hour)
	require.NoError(s.t, os.WriteFile(path, []byte(content), 0o600))
	require.NoError(s.t, os.Chtimes(path, then, then))
}

// do sends a request with headers (name, value, name, value) and reads the answer.
func (s *site) do(method, path string, body io.Reader, headers ...string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.addr+path, body)
	require.NoError(s.t, err)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	reply, err := s.client.Do(r)
	require.NoError(s.t, err)
	got, err := io.ReadAll(reply.Body)
	require.NoError(s.t, err)
	require.NoError(s.t, reply.Body.Close())
	return reply, string(got)
}

// upload sends one file.
func (s *site) upload(path, name, content string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	kind, body := form(s.t, file{name, content})
	return s.do(http.MethodPost, path, body, append([]string{"Content-Type", kind}, headers...)...)
}

// file is a file of a form.
type file struct{ name, content string }

// form is a form with files.
func form(t testing.TB, list ...file) (kind string, body *bytes.Buffer) {
	t.Helper()
	body = new(bytes.Buffer)
	w := multipart.NewWriter(body)
	for _, f := range list {
		part, err := w.CreateFormFile("file", f.name)
		require.NoError(t, err)
		_, err = io.WriteString(part, f.content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return w.FormDataContentType(), body
}

// refusal is an error as the service sends it.
type refusal struct {
	Status int    `json:"status"`
	Error  string `json:"error"`
}

// assertRefused checks that an answer is an error, and a proper one.
func assertRefused(t testing.TB, status int, says string, reply *http.Response, body string) {
	t.Helper()
	assert.Equal(t, status, reply.StatusCode, body)
	assert.Equal(t, "application/json", reply.Header.Get("Content-Type"))
	assert.Empty(t, reply.Header.Get("Content-Disposition"))
	var got refusal
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&got), body)
	assert.Equal(t, status, got.Status)
	assert.Contains(t, got.Error, says)
}

// noise is n bytes that are the same each time, and nowhere the same.
func noise(n int) string {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b) // never fails
	return string(b)
}

// beginUpload opens a connection and sends the beginning of an upload of size bytes.
// What is sent to it next is the file.
func beginUpload(t testing.TB, addr, name string, size int) (nc net.Conn, end string) {
	t.Helper()
	head := fmt.Sprintf("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=%q\r\n\r\n", name)
	end = "\r\n--b--\r\n"
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(time.Minute)))
	_, err = fmt.Fprintf(nc, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n%s",
		len(head)+size+len(end), head)
	require.NoError(t, err)
	return nc, end
}
