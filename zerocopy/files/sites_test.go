package files_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/zerocopy/files"
)

// call is an exchange in which the client calls the service by a name.
func (s *site) call(host, method, path string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.addr+path, nil)
	require.NoError(s.t, err)
	r.Host = host
	reply, err := s.client.Do(r)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { reply.Body.Close() })
	return reply
}

// A page of another site whose name was made to lead here is of the same origin for
// the browser; its requests differ from those of this site in the Host alone.
func TestAServiceWithNamesIsCalledByNoOther(t *testing.T) {
	s := serve(t, place{Config: files.Config{Hosts: []string{"Files.example"}}})
	s.put("a", "hello")
	for host, status := range map[string]int{
		"files.example": http.StatusOK, "FILES.example.:8080": http.StatusOK, "127.0.0.1": http.StatusOK, "127.0.0.1:80": http.StatusOK,
		"192.0.2.7:8080": http.StatusOK, "[::1]": http.StatusOK, "[2001:db8::1]:80": http.StatusOK, "localhost:8080": http.StatusOK, "app.localhost": http.StatusOK,
		"evil.example": http.StatusMisdirectedRequest, "evil.example:8080": http.StatusMisdirectedRequest, "files.example.evil.example": http.StatusMisdirectedRequest,
		"evilfiles.example": http.StatusMisdirectedRequest, "127.0.0.1.evil.example": http.StatusMisdirectedRequest, "notlocalhost": http.StatusMisdirectedRequest,
	} {
		for _, path := range []string{"/", "/a", "/list", "/download?file=a"} {
			assert.Equal(t, status, s.call(host, http.MethodGet, path).StatusCode, "%s as %s", path, host)
		}
	}
	kind, body := form(t, file{"b", "x"})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.addr+"/upload", body)
	require.NoError(t, err)
	r.Host = "evil.example"
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Origin", "http://evil.example")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	reply, err := s.client.Do(r)
	require.NoError(t, err)
	defer reply.Body.Close()
	assert.Equal(t, http.StatusMisdirectedRequest, reply.StatusCode)
	_, list := s.do(http.MethodGet, "/list", nil)
	assert.NotContains(t, list, `"b"`)
}

func TestAServiceWithoutNamesIsCalledByAny(t *testing.T) {
	s := serve(t, place{})
	assert.Equal(t, http.StatusOK, s.call("files.example", http.MethodGet, "/list").StatusCode)
}

func TestPagesOfOthersCanNeitherEmbedNorReadWhatIsHere(t *testing.T) {
	s := serve(t, place{})
	s.put("a.js", "var secret = 1")
	for _, path := range []string{"/a.js", "/download?file=a.js", "/list", "/", "/-/page.js", "/none"} {
		reply, _ := s.do(http.MethodGet, path, nil, "Origin", "http://elsewhere.example")
		assert.Equal(t, "same-origin", reply.Header.Get("Cross-Origin-Resource-Policy"), path)
		assert.Equal(t, "nosniff", reply.Header.Get("X-Content-Type-Options"), path)
		assert.Empty(t, reply.Header.Get("Access-Control-Allow-Origin"), path)
	}
}

// A query of which a part is dropped would store the file under another name.
func TestAQueryThatCannotBeReadIsRefused(t *testing.T) {
	s := serve(t, place{})
	for _, query := range []string{"name=a;b", "name=%zz", "name=a%", "x=%&name=a"} {
		reply, body := s.upload("/upload?"+query, "other", "hello")
		assertRefused(t, http.StatusBadRequest, "the query cannot be read", reply, body)
	}
	for _, query := range []string{"file=a;b", "file=100%"} {
		reply, body := s.do(http.MethodGet, "/download?"+query, nil)
		assertRefused(t, http.StatusBadRequest, "the query cannot be read", reply, body)
	}
	assert.Zero(t, s.service.Stats().Uploads)
}
