package files_test

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/zerocopy/files"
)

// handler is a service without a server, in an empty directory.
func handler(f *testing.F, c files.Config) (h http.Handler, dir string) {
	f.Helper()
	c.Dir = f.TempDir()
	service, err := files.New(c)
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, service.Close()) })
	return service, c.Dir
}

// Whatever is asked for, a part is what its Content-Range says of the file.
func FuzzAPartIsWhatItSaysItIs(f *testing.F) {
	for _, header := range []string{
		"bytes=0-3", "bytes=-3", "bytes=7-", "bytes=0-1,4-5,-1", "bytes=10-", "bytes=-0", "bytes=5-2", "bytes=,1-1,",
		"bytes=99999999999999999999-", "lines=1-2", "bytes", "bytes=0-0,0-0,0-0,0-0", "bytes = 1 - 2", "bytes=1-2;3-4",
	} {
		f.Add(header)
	}
	const content = "0123456789"
	h, dir := handler(f, files.Config{})
	require.NoError(f, os.WriteFile(filepath.Join(dir, "a"), []byte(content), 0o600))
	f.Fuzz(func(t *testing.T, header string) {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/a", nil)
		r.Header.Set("Range", header)
		h.ServeHTTP(w, r)
		check := func(about, body string) {
			var first, last, size int
			_, err := fmt.Sscanf(about, "bytes %d-%d/%d", &first, &last, &size)
			require.NoError(t, err, about)
			require.Equal(t, len(content), size)
			require.True(t, 0 <= first && first <= last && last < size, about)
			require.Equal(t, content[first:last+1], body)
		}
		reply := w.Result()
		switch reply.StatusCode {
		case http.StatusOK:
			require.Equal(t, content, w.Body.String())
		case http.StatusRequestedRangeNotSatisfiable:
			assertRefused(t, reply.StatusCode, "the file has 10 bytes", reply, w.Body.String())
		case http.StatusPartialContent:
			kind, params, err := mime.ParseMediaType(reply.Header.Get("Content-Type"))
			require.NoError(t, err)
			if kind != "multipart/byteranges" {
				check(reply.Header.Get("Content-Range"), w.Body.String())
				return
			}
			parts := multipart.NewReader(w.Body, params["boundary"])
			for {
				part, err := parts.NextPart()
				if err == io.EOF {
					return
				}
				require.NoError(t, err)
				body, err := io.ReadAll(part)
				require.NoError(t, err)
				check(part.Header.Get("Content-Range"), string(body))
			}
		default:
			t.Fatalf("answered with %d", reply.StatusCode)
		}
	})
}

// A name is refused, or it is one file of the directory that comes back under it.
func FuzzANameIsRefusedOrComesBack(f *testing.F) {
	if runtime.GOOS != "linux" {
		f.Skip("other file systems refuse more names, or write them another way")
	}
	for name := range badNames {
		f.Add(name)
	}
	for _, name := range []string{"plain.txt", `quo"te`, "per%22cent", "ü 文件 🙂", "semi;colon=", "'", "%00", "CON", "a:b", "\u202e"} {
		f.Add(name)
	}
	h, dir := handler(f, files.Config{})
	f.Fuzz(func(t *testing.T, name string) {
		kind, body := form(t, file{"unused", name})
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/upload?name="+escape(name), body)
		r.Header.Set("Content-Type", kind)
		h.ServeHTTP(w, r)
		there, err := os.ReadDir(dir)
		require.NoError(t, err)
		if w.Code == http.StatusBadRequest {
			assert.Empty(t, there)
			assert.Error(t, files.CheckName(name))
			return
		}
		require.Equal(t, http.StatusCreated, w.Code, w.Body.String())
		require.Len(t, there, 1)
		assert.Equal(t, name, there[0].Name())
		w = httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/download?file="+escape(name), nil))
		require.Equal(t, http.StatusOK, w.Code)
		assert.Equal(t, name, w.Body.String())
		_, params, err := mime.ParseMediaType(w.Header().Get("Content-Disposition"))
		require.NoError(t, err, w.Header().Get("Content-Disposition"))
		assert.Equal(t, name, params["filename"])
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
	})
}

// Whatever a form is, it is stored whole or refused, and nothing is left of it.
func FuzzAFormIsStoredOrRefused(f *testing.F) {
	const head = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n"
	for _, body := range []string{
		"", "--b--", head, head + "x\r\n--b--\r\n", head + "x\r\n--b", head + "x\r\n" + head + "y\r\n--b--",
		"--b\r\n\r\n\r\n--b--", head + strings.Repeat("x", 5000) + "\r\n--b--", "--b\nContent-Disposition: form-data; filename=a\n\nx\n--b--\n",
	} {
		f.Add(body)
	}
	h, dir := handler(f, files.Config{MaxSize: 1000, Buffer: 4096})
	f.Fuzz(func(t *testing.T, body string) {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/upload", strings.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		h.ServeHTTP(w, r)
		there, err := os.ReadDir(dir)
		require.NoError(t, err)
		if w.Code != http.StatusCreated {
			assertRefused(t, w.Code, "", w.Result(), w.Body.String())
			require.Less(t, w.Code, 500)
			assert.Empty(t, there)
			return
		}
		require.Len(t, there, 1)
		stored, err := os.ReadFile(filepath.Join(dir, there[0].Name()))
		require.NoError(t, err)
		assert.Contains(t, body, string(stored))
		require.LessOrEqual(t, len(stored), 1000)
		require.NoError(t, os.Remove(filepath.Join(dir, there[0].Name())))
	})
}
