package goroutine

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// TestHTTPServesTheStandardClient uses net/http as a client that nobody here has
// written, with all that it does of its own accord.
func TestHTTPServesTheStandardClient(t *testing.T) {
	s := start(t, models.Config{Service: models.HTTP{}})
	transport := &http.Transport{ExpectContinueTimeout: patience}
	client := &http.Client{Transport: transport, Timeout: patience}
	defer transport.CloseIdleConnections()
	url := "http://" + s.Addr().String()
	large := strings.Repeat("0123456789abcdef", 1<<16)

	for _, c := range []struct {
		name   string
		make   func() (*http.Request, error)
		status int
		want   string
	}{
		{"GET", func() (*http.Request, error) { return http.NewRequest("GET", url+"/plaintext", nil) }, 200, "Hello, World!"},
		{"HEAD", func() (*http.Request, error) { return http.NewRequest("HEAD", url+"/bytes/1000", nil) }, 200, ""},
		{"POST", func() (*http.Request, error) { return http.NewRequest("POST", url+"/echo", strings.NewReader(large)) }, 200, large},
		{"POST in chunks", func() (*http.Request, error) {
			return http.NewRequest("POST", url+"/echo", io.MultiReader(strings.NewReader(large)))
		}, 200, large},
		{"POST that waits for a 100", func() (*http.Request, error) {
			r, err := http.NewRequest("POST", url+"/echo", strings.NewReader("after all"))
			r.Header.Set("Expect", "100-continue")
			return r, err
		}, 200, "after all"},
		{"trailers", func() (*http.Request, error) {
			r, err := http.NewRequest("POST", url+"/echo", io.MultiReader(strings.NewReader("body")))
			r.Trailer = http.Header{"X-Sum": {"5"}}
			return r, err
		}, 200, "body"},
		{"unknown path", func() (*http.Request, error) { return http.NewRequest("GET", url+"/nowhere", nil) }, 404, "Not Found\n"},
		{"another GET", func() (*http.Request, error) { return http.NewRequest("GET", url+"/bytes/3", nil) }, 200, "\x00\x01\x02"},
	} {
		r, err := c.make()
		require.NoError(t, err)
		reused := false
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
		}))
		reply, err := client.Do(r)
		require.NoError(t, err, c.name)
		body, err := io.ReadAll(reply.Body)
		require.NoError(t, err, c.name)
		require.NoError(t, reply.Body.Close())
		assert.Equal(t, c.status, reply.StatusCode, c.name)
		assert.True(t, c.want == string(body), "%s: body of %d bytes", c.name, len(body))
		assert.Equal(t, "netbench", reply.Header.Get("Server"))
		date, err := http.ParseTime(reply.Header.Get("Date"))
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now(), date, time.Minute)
		assert.Equal(t, c.name != "GET", reused, "%s: one connection for all", c.name)
	}
	assert.Equal(t, uint64(1), s.Stats().Accepted)
}

func TestHTTPRefusalArrivesThoughTheRequestIsNotRead(t *testing.T) {
	s := start(t, models.Config{Service: models.HTTP{MaxBody: 100}})
	nc := dial(t, s)
	request := "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
	_, err := io.WriteString(nc, request)
	require.NoError(t, err)
	_, err = nc.Write(bytes.Repeat([]byte("x"), 1_000_000))
	require.NoError(t, err)
	reply, err := http.ReadResponse(bufio.NewReader(nc), nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, reply.Body)
	require.NoError(t, err, "the end, no reset")
	assert.Equal(t, 413, reply.StatusCode)
	assert.True(t, reply.Close)
}

func TestHTTP10ClientGetsTheEndOfTheStream(t *testing.T) {
	s := start(t, models.Config{Service: models.HTTP{}})
	nc := dial(t, s)
	_, err := io.WriteString(nc, "GET /plaintext HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	all, err := io.ReadAll(nc)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(string(all), "\r\nConnection: close\r\n\r\nHello, World!"))
}
