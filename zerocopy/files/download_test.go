package files_test

import (
	"bufio"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/zerocopy/files"
)

func TestRangesAreAnsweredAsTheRFCHasIt(t *testing.T) {
	s := serve(t, place{Config: files.Config{Buffer: 4096}})
	s.put("digits.txt", "0123456789")
	s.put("empty.txt", "")
	const not = http.StatusRequestedRangeNotSatisfiable
	for _, c := range []struct {
		file, header string
		status       int
		body, about  string // Content-Range
	}{
		{"digits", "bytes=0-3", http.StatusPartialContent, "0123", "bytes 0-3/10"},
		{"digits", "bytes=4-4", http.StatusPartialContent, "4", "bytes 4-4/10"},
		{"digits", "bytes=7-", http.StatusPartialContent, "789", "bytes 7-9/10"},
		{"digits", "bytes=-3", http.StatusPartialContent, "789", "bytes 7-9/10"},
		{"digits", "bytes=-30", http.StatusPartialContent, "0123456789", "bytes 0-9/10"},
		{"digits", "bytes=5-100", http.StatusPartialContent, "56789", "bytes 5-9/10"},
		{"digits", "bytes=5-" + strings.Repeat("9", 30), http.StatusPartialContent, "56789", "bytes 5-9/10"},
		{"digits", "bytes=-" + strings.Repeat("9", 30), http.StatusPartialContent, "0123456789", "bytes 0-9/10"},
		{"digits", "bytes=0000000000000000000000002-2", http.StatusPartialContent, "2", "bytes 2-2/10"},
		{"digits", "bytes=,1-1,", http.StatusPartialContent, "1", "bytes 1-1/10"},
		{"digits", "bytes=1-1,20-", http.StatusPartialContent, "1", "bytes 1-1/10"},
		{"digits", "bytes=1-1,-0", http.StatusPartialContent, "1", "bytes 1-1/10"},
		{"digits", "BYTES=0-0", http.StatusPartialContent, "0", "bytes 0-0/10"},
		{"digits", "lines=0-3", http.StatusOK, "0123456789", ""},
		{"digits", "bytes", http.StatusOK, "0123456789", ""},
		{"digits", "bytes=10-", not, "", "bytes */10"},
		{"digits", "bytes=-0", not, "", "bytes */10"},
		{"digits", "bytes=" + strings.Repeat("9", 30) + "-", not, "", "bytes */10"},
		{"digits", "bytes=5-2", not, "", "bytes */10"},
		{"digits", "bytes=a-b", not, "", "bytes */10"},
		{"digits", "bytes=-", not, "", "bytes */10"},
		{"digits", "bytes=--5", not, "", "bytes */10"},
		{"digits", "bytes=+1-2", not, "", "bytes */10"},
		{"digits", "bytes=5", not, "", "bytes */10"},
		{"digits", "bytes=", not, "", "bytes */10"},
		{"digits", "bytes=0-0" + strings.Repeat(",0-0", 64), not, "", "bytes */10"},
		{"empty", "bytes=0-", http.StatusOK, "", ""},
		{"empty", "bytes=-5", http.StatusOK, "", ""},
		{"empty", "bytes=-0", http.StatusOK, "", ""},
	} {
		t.Run(c.file+" "+c.header, func(t *testing.T) {
			reply, body := s.do(http.MethodGet, "/"+c.file+".txt", nil, "Range", c.header)
			assert.Equal(t, c.about, reply.Header.Get("Content-Range"))
			if c.status >= 400 {
				assertRefused(t, c.status, "the file has 10 bytes", reply, body)
				assert.Empty(t, reply.Header.Get("Etag"))
				return
			}
			assert.Equal(t, c.status, reply.StatusCode)
			assert.Equal(t, c.body, body)
			assert.Equal(t, strconv.Itoa(len(c.body)), reply.Header.Get("Content-Length"))
			assert.Equal(t, "bytes", reply.Header.Get("Accept-Ranges"))
		})
	}
}

func TestSeveralRangesComeAsParts(t *testing.T) {
	s := serve(t, place{Config: files.Config{Buffer: 4096}})
	content := noise(1 << 20)
	s.put("a.bin", content)
	reply, body := s.do(http.MethodGet, "/a.bin", nil, "Range", "bytes=0-9,100000-299999,-5")
	require.Equal(t, http.StatusPartialContent, reply.StatusCode)
	assert.Equal(t, strconv.Itoa(len(body)), reply.Header.Get("Content-Length"))
	kind, params, err := mime.ParseMediaType(reply.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/byteranges", kind)
	parts := multipart.NewReader(strings.NewReader(body), params["boundary"])
	for _, want := range []struct{ about, bytes string }{
		{"bytes 0-9/1048576", content[:10]},
		{"bytes 100000-299999/1048576", content[100000:300000]},
		{"bytes 1048571-1048575/1048576", content[len(content)-5:]},
	} {
		part, err := parts.NextPart()
		require.NoError(t, err)
		assert.Equal(t, want.about, part.Header.Get("Content-Range"))
		got, err := io.ReadAll(part)
		require.NoError(t, err)
		assert.True(t, string(got) == want.bytes, "other bytes in %s", want.about)
	}
	_, err = parts.NextPart()
	assert.ErrorIs(t, err, io.EOF)
}

func TestConditionsAreChecked(t *testing.T) {
	s := serve(t, place{})
	s.put("a.txt", "0123456789")
	reply, _ := s.do(http.MethodGet, "/a.txt", nil)
	tag, changed := reply.Header.Get("Etag"), reply.Header.Get("Last-Modified")
	require.Regexp(t, `^"[^"]+"$`, tag, "strong")
	require.NotEmpty(t, changed)
	const part, whole, same, failed = http.StatusPartialContent, http.StatusOK, http.StatusNotModified, http.StatusPreconditionFailed
	for _, c := range []struct {
		what    string
		status  int
		headers []string
	}{
		{"still the same", part, []string{"Range", "bytes=1-2", "If-Range", tag}},
		{"same date", part, []string{"Range", "bytes=1-2", "If-Range", changed}},
		{"another state", whole, []string{"Range", "bytes=1-2", "If-Range", `"other"`}},
		{"weak does not do", whole, []string{"Range", "bytes=1-2", "If-Range", "W/" + tag}},
		{"another state, and a range that lies", whole, []string{"Range", "bytes=-0", "If-Range", `"other"`}},
		{"known", same, []string{"If-None-Match", tag}},
		{"known, weakly", same, []string{"If-None-Match", `"x", W/` + tag}},
		{"known, and a range that lies", same, []string{"If-None-Match", tag, "Range", "bytes=99-"}},
		{"anything known", same, []string{"If-None-Match", "*"}},
		{"unknown", whole, []string{"If-None-Match", `"x"`}},
		{"unknown tag goes before the date", whole, []string{"If-None-Match", `"x"`, "If-Modified-Since", changed}},
		{"known by date", same, []string{"If-Modified-Since", changed}},
		{"matches", whole, []string{"If-Match", tag}},
		{"does not match", failed, []string{"If-Match", `"x"`}},
		{"unchanged since", whole, []string{"If-Unmodified-Since", changed}},
		{"changed since", failed, []string{"If-Unmodified-Since", "Mon, 02 Jan 2006 15:04:05 GMT"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			reply, body := s.do(http.MethodGet, "/a.txt", nil, c.headers...)
			require.Equal(t, c.status, reply.StatusCode)
			switch c.status {
			case part:
				assert.Equal(t, "12", body)
			case whole:
				assert.Equal(t, "0123456789", body)
			case same:
				assert.Empty(t, body)
				assert.Equal(t, tag, reply.Header.Get("Etag"))
			case failed:
				assertRefused(t, failed, "not in the state", reply, body)
			}
		})
	}
}

// A client may hold the first half of a file that was replaced within the second of
// its date; the date is still the same.
func TestADateThatIsTooYoungResumesNothing(t *testing.T) {
	s := serve(t, place{})
	s.put("a.txt", "0123456789")
	for name, c := range map[string]struct {
		changed time.Duration // after now
		dated   bool
	}{"old": {-10 * time.Second, true}, "young": {0, false}, "in the future": {time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			changed := time.Now().Add(c.changed)
			require.NoError(t, os.Chtimes(filepath.Join(s.dir, "a.txt"), changed, changed))
			date := changed.UTC().Format(http.TimeFormat)
			status, want, header := http.StatusOK, "0123456789", ""
			if c.dated {
				status, want, header = http.StatusPartialContent, "12", date
			}
			reply, body := s.do(http.MethodGet, "/a.txt", nil, "Range", "bytes=1-2", "If-Range", date)
			assert.Equal(t, status, reply.StatusCode)
			assert.Equal(t, want, body)
			assert.Equal(t, header, reply.Header.Get("Last-Modified"))
			reply, body = s.do(http.MethodGet, "/a.txt", nil, "Range", "bytes=1-2", "If-Range", reply.Header.Get("Etag"))
			assert.Equal(t, http.StatusPartialContent, reply.StatusCode, "the entity tag is as good as ever")
			assert.Equal(t, "12", body)
			reply, body = s.do(http.MethodGet, "/a.txt", nil, "Range", "bytes=1-2")
			assert.Equal(t, http.StatusPartialContent, reply.StatusCode, "without a condition, too")
			assert.Equal(t, "12", body)
		})
	}
}

func TestHEADSaysWhatGETWouldAndSendsNothing(t *testing.T) {
	s := serve(t, place{})
	s.put("a.txt", "0123456789")
	for _, path := range []string{"/a.txt", "/download?file=a.txt", "/list", "/", "/-/page.js"} {
		want, body := s.do(http.MethodGet, path, nil)
		reply, none := s.do(http.MethodHead, path, nil, "Range", "bytes=0-3")
		assert.Equal(t, http.StatusOK, reply.StatusCode, path)
		assert.Empty(t, none)
		assert.Equal(t, strconv.Itoa(len(body)), reply.Header.Get("Content-Length"))
		for _, name := range []string{"Content-Type", "Content-Disposition", "Etag", "Last-Modified", "Accept-Ranges"} {
			assert.Equal(t, want.Header.Get(name), reply.Header.Get(name), "%s %s", path, name)
		}
	}
	reply, none := s.do(http.MethodHead, "/none", nil)
	assert.Equal(t, http.StatusNotFound, reply.StatusCode)
	assert.Empty(t, none)
}

func TestEveryNameSurvivesTheWayThroughTheHeader(t *testing.T) {
	s := serve(t, place{})
	for _, name := range []string{
		"plain.txt", "two words", `quo"te`, "semi;colon", "per%cent", "per%22cent", "comma,equals=", "'single'",
		"naïve €.txt", "文件", "🙂", "-dash", "~tilde", "upload", "download", "list", "a+b&c#d?e",
		"<img src=x onerror=alert(1)>", "utf-8''x", strings.Repeat("ü", 127),
	} {
		t.Run(name, func(t *testing.T) {
			if strings.ContainsAny(name, `<>"?`) && filepath.Separator == '\\' {
				t.Skip("Windows has no such names")
			}
			s.put(name, name)
			reply, body := s.do(http.MethodGet, "/download?file="+escape(name), nil)
			require.Equal(t, http.StatusOK, reply.StatusCode, body)
			assert.Equal(t, name, body)
			header := reply.Header.Get("Content-Disposition")
			for i := range len(header) {
				require.True(t, header[i] >= ' ' && header[i] < 0x7f, "ASCII alone: %q", header)
			}
			kind, params, err := mime.ParseMediaType(header)
			require.NoError(t, err, header)
			assert.Equal(t, "attachment", kind)
			assert.Equal(t, name, params["filename"], header)
			assert.Equal(t, "nosniff", reply.Header.Get("X-Content-Type-Options"))
			assert.Equal(t, "sandbox", reply.Header.Get("Content-Security-Policy"))
		})
	}
	reply, _ := s.do(http.MethodGet, "/plain.txt", nil)
	assert.Equal(t, `inline; filename="plain.txt"`, reply.Header.Get("Content-Disposition"))
	reply, _ = s.do(http.MethodGet, "/two%20words", nil)
	assert.Equal(t, "application/octet-stream", reply.Header.Get("Content-Type"), "no guess")
}

func TestWhatIsNoFileHereIsNotGivenOut(t *testing.T) {
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	s := serve(t, place{})
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "folder"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, ".netbench-upload-ABC"), nil, 0o600))
	defer os.Remove(filepath.Join(s.dir, ".netbench-upload-ABC"))
	s.put("inside", "inside")
	for name, to := range map[string]string{
		"absolute": filepath.Join(outside, "secret"), "relative": "../" + filepath.Base(outside) + "/secret",
		"up": "..", "loop": "loop", "within": "inside", "nowhere": "nothing",
	} {
		if err := os.Symlink(to, filepath.Join(s.dir, name)); err != nil {
			t.Skip("no symbolic links:", err)
		}
	}
	for name, says := range badNames {
		for _, path := range []string{"/download?file=" + escape(name), "/" + pathEscape(name)} {
			if name == "" && path == "/" {
				continue // the page
			}
			reply, body := s.do(http.MethodGet, path, nil)
			assertRefused(t, http.StatusBadRequest, says, reply, body)
		}
	}
	for name, says := range map[string]string{
		"missing": "no such file", "folder": "a directory", "absolute": "no such file", "relative": "no such file",
		"up": "no such file", "loop": "no such file", "nowhere": "no such file",
	} {
		reply, body := s.do(http.MethodGet, "/"+name, nil)
		assertRefused(t, http.StatusNotFound, says, reply, body)
		assert.NotContains(t, body, s.dir, "no path of this host")
	}
	reply, body := s.do(http.MethodGet, "/download", nil)
	assertRefused(t, http.StatusBadRequest, "no file is named", reply, body)
	_, body = s.do(http.MethodGet, "/within", nil)
	assert.Equal(t, "inside", body)

	_, list := s.do(http.MethodGet, "/list", nil)
	for _, name := range []string{"secret", "folder", "absolute", "relative", "up", "loop", "nowhere", ".netbench"} {
		assert.NotContains(t, list, `"`+name, "in the list")
	}
	assert.Regexp(t, `^\{"files":\[\{"name":"inside","size":6,"modified":"[^"]+Z"\},\{"name":"within","size":6,`, list)
}

// A file that becomes shorter while it is sent ends the connection: what the header
// has promised cannot come.
func TestAFileThatShrinksUnderADownloadEndsTheConnection(t *testing.T) {
	s := serve(t, place{Config: files.Config{Buffer: 4096}, listen: small})
	path := filepath.Join(s.dir, "a")
	s.put("a", "")
	require.NoError(t, os.Truncate(path, 64<<20))
	nc := get(t, s.addr, "/a")
	reply, err := http.ReadResponse(bufio.NewReader(nc), nil)
	require.NoError(t, err)
	defer reply.Body.Close()
	_, err = io.CopyN(io.Discard, reply.Body, 1<<20)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, 1<<20))
	_, err = io.Copy(io.Discard, reply.Body)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Eventually(t, func() bool { return s.service.Stats().Cut == 1 }, 10*time.Second, time.Millisecond)
	assert.Zero(t, s.service.Stats().Downloads)
}

func TestADownloadResumedAfterACutEqualsTheOriginal(t *testing.T) {
	s := serve(t, place{})
	content := noise(8 << 20)
	s.put("a.bin", content)
	nc := get(t, s.addr, "/a.bin")
	reply, err := http.ReadResponse(bufio.NewReader(nc), nil)
	require.NoError(t, err)
	got := make([]byte, 3<<20)
	_, err = io.ReadFull(reply.Body, got)
	require.NoError(t, err)
	require.NoError(t, nc.Close())

	rest := []string{"Range", "bytes=" + strconv.Itoa(len(got)) + "-", "If-Range", reply.Header.Get("Etag")}
	resumed, body := s.do(http.MethodGet, "/a.bin", nil, rest...)
	require.Equal(t, http.StatusPartialContent, resumed.StatusCode)
	assert.True(t, string(got)+body == content, "not the original")

	_, answer := s.upload("/upload", "a.bin", noise(8<<20)) // the same bytes, but another file
	require.Contains(t, answer, `"size":8388608`)
	again, body := s.do(http.MethodGet, "/a.bin", nil, rest...)
	assert.Equal(t, http.StatusOK, again.StatusCode, "no part of another file is appended")
	assert.True(t, body == content)
}
