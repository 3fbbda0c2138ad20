package files_test

import (
	"bufio"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/zerocopy/files"
)

func TestAnUploadIsStoredAsItCameAndAnsweredWithItsHashes(t *testing.T) {
	s := serve(t, place{Config: files.Config{Buffer: 4096}})
	for name, content := range map[string]string{
		"empty":          "",
		"one byte":       "x",
		"a block":        noise(4096),
		"a bit more":     noise(4097),
		"a million":      noise(1_000_003),
		"like a form":    "\r\n--boundary\r\n\r\n--",
		"ünïcödé 文件.txt": "named",
	} {
		t.Run(name, func(t *testing.T) {
			reply, body := s.upload("/upload", name, content)
			require.Equal(t, http.StatusCreated, reply.StatusCode, body)
			assert.Equal(t, "application/json", reply.Header.Get("Content-Type"))
			var fields map[string]any
			require.NoError(t, json.Unmarshal([]byte(body), &fields))
			assert.Len(t, fields, 6)
			var got files.Stored
			require.NoError(t, json.Unmarshal([]byte(body), &got))
			sum, old := sha256.Sum256([]byte(content)), md5.Sum([]byte(content))
			assert.Equal(t, name, got.Filename)
			assert.EqualValues(t, len(content), got.Size)
			assert.Equal(t, hex.EncodeToString(sum[:]), got.SHA256)
			assert.Equal(t, hex.EncodeToString(old[:]), got.MD5)
			assert.Positive(t, got.UploadTime)
			assert.InEpsilon(t, float64(len(content))/got.UploadTime+1, got.Speed+1, 1e-6)
			onDisk, err := os.ReadFile(filepath.Join(s.dir, name))
			require.NoError(t, err)
			assert.True(t, string(onDisk) == content, "the file is not what was sent")

			location, err := reply.Location()
			require.NoError(t, err)
			_, again := s.do(http.MethodGet, location.RequestURI(), nil)
			assert.True(t, again == content, "the Location gives something else")
		})
	}
	assert.EqualValues(t, 7, s.service.Stats().Uploads)
}

func TestANameInTheQueryGoesBeforeThatOfTheForm(t *testing.T) {
	s := serve(t, place{})
	reply, body := s.upload("/upload?name=a%22b%25.txt", "other.txt", "hello")
	require.Equal(t, http.StatusCreated, reply.StatusCode, body)
	_, err := os.Stat(filepath.Join(s.dir, "other.txt"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, got := s.do(http.MethodGet, "/a%22b%25.txt", nil)
	assert.Equal(t, "hello", got)
}

func TestAFileIsReplacedWholeAndItsReadersKeepTheOldOne(t *testing.T) {
	s := serve(t, place{})
	s.put("a", "old")
	reader, err := os.Open(filepath.Join(s.dir, "a"))
	require.NoError(t, err)
	defer reader.Close()
	before, _ := s.do(http.MethodHead, "/a", nil)
	reply, body := s.upload("/upload", "a", "new")
	require.Equal(t, http.StatusCreated, reply.StatusCode, body)
	old, err := io.ReadAll(reader)
	require.NoError(t, err)
	assert.Equal(t, "old", string(old))
	after, now := s.do(http.MethodGet, "/a", nil)
	assert.Equal(t, "new", now)
	assert.NotEqual(t, before.Header.Get("Etag"), after.Header.Get("Etag"), "same size, other file")
}

// The parser holds the headers of a part in memory: what a file may have must not be
// what they may have.
func TestAFormHasLittleBesideItsFile(t *testing.T) {
	s := serve(t, place{})
	const head = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n"
	much := strings.Repeat("x", 200<<10)
	for name, body := range map[string]string{
		"a header before":    "--b\r\nX: " + much + "\r\n\r\n\r\n" + head + "\r\nfile\r\n--b--",
		"a field before":     "--b\r\nContent-Disposition: form-data; name=\"g\"\r\n\r\n" + much + "\r\n" + head + "\r\nfile\r\n--b--",
		"a header of it":     head + "X: " + much + "\r\n\r\nfile\r\n--b--",
		"a header behind":    head + "\r\nfile\r\n--b\r\nX: " + much + "\r\n\r\n\r\n--b--",
		"behind the last":    head + "\r\nfile\r\n--b--\r\n" + much,
		"behind a large one": head + "\r\n" + noise(1<<20) + "\r\n--b--\r\n" + much,
	} {
		t.Run(name, func(t *testing.T) {
			reply, answer := s.do(http.MethodPost, "/upload", strings.NewReader(body), "Content-Type", "multipart/form-data; boundary=b")
			assertRefused(t, http.StatusRequestEntityTooLarge, "more than 65536 bytes beside the file", reply, answer)
			assert.Empty(t, hidden(t, s.dir))
		})
	}
	assert.Zero(t, s.service.Stats().Uploads)
}

func TestFieldsBesideTheFileAreSkipped(t *testing.T) {
	s := serve(t, place{})
	text := "--b\r\nContent-Disposition: form-data; name=\"comment\"\r\n\r\nhello\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"none\"; filename=\"\"\r\n\r\n\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=41\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"after\"\r\n\r\nbye\r\n--b--\r\nepilogue"
	reply, body := s.do(http.MethodPost, "/upload", strings.NewReader(text), "Content-Type", "multipart/form-data; boundary=b")
	require.Equal(t, http.StatusCreated, reply.StatusCode, body)
	_, got := s.do(http.MethodGet, "/a", nil)
	assert.Equal(t, "=41", got, "as it came, not decoded")
}

// badNames are what no file may be called, and what is said of them.
var badNames = map[string]string{
	"":                       "no name is given",
	".":                      "begins with a dot",
	"..":                     "begins with a dot",
	".hidden":                "begins with a dot",
	".netbench-upload-ABC":   "begins with a dot",
	"../up":                  "has a separator",
	"/etc/passwd":            "has a separator",
	"a/b":                    "has a separator",
	`a\b`:                    "has a separator",
	"nul\x00":                "control character (U+0000)",
	"line\nfeed":             "control character (U+000A)",
	"c1\u0085":               "control character (U+0085)",
	"bad\xff":                "not UTF-8",
	strings.Repeat("n", 300): "has 300 bytes (at most 255)",
}

func TestUploadsThatCannotBeAreRefusedAndLeaveNothing(t *testing.T) {
	s := serve(t, place{Config: files.Config{MaxSize: 1000, Buffer: 4096}})
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "folder"), 0o700))
	kind, one := form(t, file{"a", "x"})
	twoKind, two := form(t, file{"a", "x"}, file{"b", "y"})
	largeKind, large := form(t, file{"a", noise(1001)})
	hugeKind, huge := form(t, file{"a", noise(3 << 20)})
	fieldKind, field := form(t)
	const b = "multipart/form-data; boundary=b"
	const head = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n"
	folderKind, folder := form(t, file{"folder", "x"})
	for name, c := range map[string]struct {
		kind, body, origin string
		status             int
		says               string
	}{
		"no form":               {"text/plain", "x", "", http.StatusUnsupportedMediaType, "send multipart/form-data"},
		"no kind":               {"", "x", "", http.StatusUnsupportedMediaType, "send multipart/form-data"},
		"no boundary":           {"multipart/form-data", "x", "", http.StatusBadRequest, "no boundary"},
		"nothing":               {b, "", "", http.StatusBadRequest, "ends early"},
		"no parts":              {fieldKind, field.String(), "", http.StatusBadRequest, "has no file"},
		"two files":             {twoKind, two.String(), "", http.StatusBadRequest, "more than one file"},
		"no disposition":        {b, "--b\r\n\r\nx\r\n--b--", "", http.StatusBadRequest, "no proper Content-Disposition"},
		"a folder's name":       {folderKind, folder.String(), "", http.StatusConflict, "a directory has this name"},
		"too large":             {largeKind, large.String(), "", http.StatusRequestEntityTooLarge, "at most 1000 bytes"},
		"much too large":        {hugeKind, huge.String(), "", http.StatusRequestEntityTooLarge, "at most 1000 bytes"},
		"a head without an end": {b, "--b\r\nX: " + strings.Repeat("x", 2<<20), "", http.StatusRequestEntityTooLarge, "at most 1000 bytes"},
		"no end":                {b, head + "half", "", http.StatusBadRequest, "ends early"},
		"no end after the file": {b, head + "all\r\n--b", "", http.StatusBadRequest, "ends early"},
		"a head only":           {b, head, "", http.StatusBadRequest, "ends early"},
		"another page's upload": {kind, one.String(), "http://elsewhere.example", http.StatusForbidden, "another origin"},
		"a page without origin": {kind, one.String(), "null", http.StatusForbidden, "another origin"},
	} {
		t.Run(name, func(t *testing.T) {
			headers := []string{"Content-Type", c.kind}
			if c.origin != "" {
				headers = append(headers, "Origin", c.origin)
			}
			reply, body := s.do(http.MethodPost, "/upload", strings.NewReader(c.body), headers...)
			assertRefused(t, c.status, c.says, reply, body)
			assert.Empty(t, hidden(t, s.dir))
		})
	}
	for name, says := range badNames {
		t.Run("named "+says, func(t *testing.T) {
			kind, body := form(t, file{"fine", "x"})
			query := "/upload?name=" + escape(name)
			reply, answer := s.do(http.MethodPost, query, body, "Content-Type", kind)
			assertRefused(t, http.StatusBadRequest, says, reply, answer)
		})
	}
	for _, name := range []string{"..", "../up", "/etc/passwd"} {
		t.Run("in the form "+name, func(t *testing.T) {
			reply, body := s.upload("/upload", name, "x")
			assertRefused(t, http.StatusBadRequest, badNames[name], reply, body)
		})
	}
	there, err := os.ReadDir(s.dir)
	require.NoError(t, err)
	assert.Len(t, there, 1, "the folder alone")
	assert.Zero(t, s.service.Stats().Uploads)
}

func TestOtherMethodsAreRefused(t *testing.T) {
	s := serve(t, place{})
	for _, c := range []struct{ method, path, allow string }{
		{http.MethodGet, "/upload", "POST"},
		{http.MethodPut, "/upload", "POST"},
		{http.MethodPost, "/download?file=a", "GET, HEAD"},
		{http.MethodDelete, "/a", "GET, HEAD"},
		{http.MethodPost, "/", "GET, HEAD"},
	} {
		reply, body := s.do(c.method, c.path, nil)
		assertRefused(t, http.StatusMethodNotAllowed, "use "+c.allow, reply, body)
		assert.Equal(t, c.allow, reply.Header.Get("Allow"))
	}
}

// Many a client, browsers too, looks for an answer when it has sent everything.
func TestAClientThatSendsAllBeforeItReadsGetsTheRefusal(t *testing.T) {
	s := serve(t, place{Config: files.Config{MaxSize: 1000}})
	for name, c := range map[string]struct {
		path, kind string
		status     int
		says       string
	}{
		"too large": {"/upload", "multipart/form-data; boundary=b", http.StatusRequestEntityTooLarge, "too large"},
		"no form":   {"/upload", "text/plain", http.StatusUnsupportedMediaType, "no form"},
		"no upload": {"/list", "text/plain", http.StatusMethodNotAllowed, "use GET"},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := net.Dial("tcp", s.addr)
			require.NoError(t, err)
			defer nc.Close()
			require.NoError(t, nc.SetDeadline(time.Now().Add(time.Minute)))
			const size = 32 << 20 // more than connections hold by themselves
			_, err = fmt.Fprintf(nc, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nContent-Type: %s\r\n\r\n", c.path, size, c.kind)
			require.NoError(t, err)
			_, err = io.Copy(nc, strings.NewReader(noise(size)))
			require.NoError(t, err)
			reply, err := http.ReadResponse(bufio.NewReader(nc), nil)
			require.NoError(t, err)
			body, err := io.ReadAll(reply.Body)
			require.NoError(t, err)
			assertRefused(t, c.status, c.says, reply, string(body))
			assert.True(t, reply.Close)
		})
	}
}

func TestAnUploadThatBreaksOffLeavesNothing(t *testing.T) {
	s := serve(t, place{Config: files.Config{Buffer: 4096}})
	t.Run("half closed", func(t *testing.T) {
		nc, _ := beginUpload(t, s.addr, "a", 1<<20)
		_, err := io.WriteString(nc, noise(1<<19))
		require.NoError(t, err)
		require.NoError(t, nc.(*net.TCPConn).CloseWrite())
		reply, err := http.ReadResponse(bufio.NewReader(nc), nil)
		require.NoError(t, err)
		body, err := io.ReadAll(reply.Body)
		require.NoError(t, err)
		assertRefused(t, http.StatusBadRequest, "ends early", reply, string(body))
	})
	t.Run("gone", func(t *testing.T) {
		nc, _ := beginUpload(t, s.addr, "a", 1<<20)
		_, err := io.WriteString(nc, noise(1<<19))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return len(hidden(t, s.dir)) == 1 }, 10*time.Second, time.Millisecond)
		require.NoError(t, nc.Close())
		require.Eventually(t, func() bool { return len(hidden(t, s.dir)) == 0 }, 10*time.Second, time.Millisecond)
	})
	_, err := os.Stat(filepath.Join(s.dir, "a"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestAnUploadUnderWayIsInvisible(t *testing.T) {
	s := serve(t, place{})
	nc, end := beginUpload(t, s.addr, "a", 5)
	_, err := io.WriteString(nc, "hel")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(hidden(t, s.dir)) == 1 }, 10*time.Second, time.Millisecond)
	_, list := s.do(http.MethodGet, "/list", nil)
	assert.Contains(t, list, `"files":[]`)
	reply, body := s.do(http.MethodGet, "/download?file="+hidden(t, s.dir)[0], nil)
	assertRefused(t, http.StatusBadRequest, "begins with a dot", reply, body)
	reply, body = s.do(http.MethodGet, "/a", nil)
	assertRefused(t, http.StatusNotFound, "no such file", reply, body)
	_, err = io.WriteString(nc, "lo"+end)
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(nc), nil)
	require.NoError(t, err)
	defer answer.Body.Close()
	assert.Equal(t, http.StatusCreated, answer.StatusCode)
	_, body = s.do(http.MethodGet, "/a", nil)
	assert.Equal(t, "hello", body)
}
