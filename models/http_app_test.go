package models_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// counting answers with how many requests there were, and the body in upper case.
func counting() models.HTTPHandler {
	n := byte('0')
	return func(body, out []byte) []byte {
		n++
		return append(append(out, n), bytes.ToUpper(body)...)
	}
}

func TestHTTPGivesJSONToItsApp(t *testing.T) {
	s := models.HTTP{App: &models.HTTPApp{Open: counting, Reply: 2 << 20}}
	assert.GreaterOrEqual(t, s.Limits().Reply, 2<<20)
	session := s.Open()
	out := []byte("what is owed")
	for _, c := range []struct{ request, body string }{
		{"GET /json HTTP/1.1\r\nHost: x\r\n\r\n", "1"},
		{"POST /json?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "2ABC"},
		{"POST /json HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n", "3DEF"},
		{"HEAD /json HTTP/1.1\r\nHost: x\r\n\r\n", ""},
	} {
		consumed, reply, next := session.Step([]byte(c.request), out)
		require.Equal(t, len(c.request), consumed)
		assert.Equal(t, models.Continue, next.Op)
		require.True(t, bytes.HasPrefix(reply, out), "what was in the buffer stays")
		method, _, _ := strings.Cut(c.request, " ")
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(reply[len(out):])), &http.Request{Method: method})
		require.NoError(t, err)
		assert.Equal(t, 200, r.StatusCode)
		assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		assert.Equal(t, c.body, string(body))
		if method == "HEAD" {
			assert.EqualValues(t, 1, r.ContentLength, "that of the answer to GET")
		}
	}
	_, reply, _ := session.Step([]byte("PUT /json HTTP/1.1\r\nHost: x\r\n\r\n"), nil)
	assert.Contains(t, string(reply), "405 Method Not Allowed")
	assert.Contains(t, string(reply), "Allow: GET, HEAD, POST")
}

func TestHTTPHasNoJSONWithoutAnApp(t *testing.T) {
	_, reply, _ := models.HTTP{}.Open().Step([]byte("GET /json HTTP/1.1\r\nHost: x\r\n\r\n"), nil)
	assert.Contains(t, string(reply), "404 Not Found")
}

func TestAnAppCostsNoAllocation(t *testing.T) {
	s := models.HTTP{App: &models.HTTPApp{Open: counting}}.Open()
	request, room := []byte("GET /json HTTP/1.1\r\nHost: x\r\n\r\n"), make([]byte, 0, 1<<10)
	s.Step(request, room) // the date is written once a second
	assert.Less(t, testing.AllocsPerRun(200, func() { s.Step(request, room) }), 1.0)
}

// registeredEcho is a service of another package.
type registeredEcho struct {
	models.Echo
	Times    string
	prepared *int
}

func (r registeredEcho) Name() string {
	if r.Times == "" {
		return "test-echo"
	}
	return "test-echo+times=" + r.Times
}

func (r registeredEcho) With(key, value string) (models.Service, error) {
	if key != "times" {
		return nil, io.ErrUnexpectedEOF
	}
	r.Times = value
	return r, nil
}

func (r registeredEcho) Prepare() error { *r.prepared++; return nil }

func TestARegisteredServiceIsParsedWithItsOptions(t *testing.T) {
	prepared := 0
	models.RegisterService("test-echo", func() models.Configurable { return registeredEcho{prepared: &prepared} })
	assert.Contains(t, models.ServiceNames(), "test-echo")
	for _, name := range []string{"test-echo", "test-echo+times=3", "test-echo+times=3+spin=1+wait=1ms"} {
		s, err := models.ParseService(name)
		require.NoError(t, err)
		assert.Equal(t, name, s.Name())
	}
	assert.Zero(t, prepared, "parsing a name prepares nothing")
	s, err := models.ParseService("test-echo+spin=1+wait=1ms")
	require.NoError(t, err)
	require.NoError(t, models.Prepare(s))
	assert.Equal(t, 1, prepared, "under what it is wrapped in")
	require.NoError(t, models.Prepare(models.Echo{}), "most need nothing")

	_, err = models.ParseService("test-echo+other=3")
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Panics(t, func() { models.RegisterService("http", nil) })
}
