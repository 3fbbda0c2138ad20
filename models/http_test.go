package models_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// replies reads the replies to requests of the given methods with net/http.
func replies(t *testing.T, output []byte, methods ...string) (replies []*http.Response, bodies []string) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(output))
	for _, method := range methods {
		reply, err := http.ReadResponse(r, &http.Request{Method: method})
		require.NoError(t, err)
		body, err := io.ReadAll(reply.Body)
		require.NoError(t, err)
		replies, bodies = append(replies, reply), append(bodies, string(body))
	}
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Empty(t, string(rest), "no bytes after the last reply")
	return replies, bodies
}

const hostLine = "Host: localhost\r\n"

func TestHTTPPlaintextIsAsTechEmpowerAsks(t *testing.T) {
	o := talk(t, models.HTTP{Now: fixed}, "GET /plaintext HTTP/1.1\r\n"+hostLine+"\r\n")
	assert.Equal(t, "HTTP/1.1 200 OK\r\nServer: netbench\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n"+
		"Date: Sun, 01 Mar 2026 12:00:00 GMT\r\n\r\nHello, World!", string(o.Output))
}

func pattern(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return string(b)
}

func TestHTTPAnswersItsRoutes(t *testing.T) {
	const about = "netbench: a laboratory for Go network servers\n"
	for _, c := range []struct {
		name, method, target, body string
		status                     int
		want                       string
	}{
		{"plaintext", "GET", "/plaintext", "", 200, "Hello, World!"},
		{"query", "GET", "/plaintext?queries=1", "", 200, "Hello, World!"},
		{"GET with a body", "GET", "/plaintext", "ignored", 200, "Hello, World!"},
		{"root", "GET", "/", "", 200, about},
		{"absolute form", "GET", "http://localhost:80/plaintext?x", "", 200, "Hello, World!"},
		{"absolute form, capitals", "GET", "HTTPS://localhost/plaintext", "", 200, "Hello, World!"},
		{"absolute form without a path", "GET", "http://localhost", "", 200, about},
		{"absolute form with a query only", "GET", "http://localhost?a/b", "", 200, about},
		{"echo", "POST", "/echo", "\x00netbench\r\n\r\n", 200, "\x00netbench\r\n\r\n"},
		{"echo of nothing", "POST", "/echo", "", 200, ""},
		{"echo of the largest body", "POST", "/echo", pattern(1 << 20), 200, pattern(1 << 20)},
		{"no bytes", "GET", "/bytes/0", "", 200, ""},
		{"a byte", "GET", "/bytes/1", "", 200, "\x00"},
		{"bytes", "GET", "/bytes/1000", "", 200, pattern(1000)},
		{"most bytes", "GET", "/bytes/1048576", "", 200, pattern(1 << 20)},
		{"too many bytes", "GET", "/bytes/1048577", "", 404, "Not Found\n"},
		{"far too many bytes", "GET", "/bytes/99999999999999999999", "", 404, "Not Found\n"},
		{"negative bytes", "GET", "/bytes/-1", "", 404, "Not Found\n"},
		{"bytes of no number", "GET", "/bytes/", "", 404, "Not Found\n"},
		{"unknown path", "GET", "/plaintext/", "", 404, "Not Found\n"},
		{"unknown path and method", "BREW", "/coffee", "", 404, "Not Found\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			request := c.method + " " + c.target + " HTTP/1.1\r\n" + hostLine
			if c.body != "" {
				request += "Content-Length: " + strconv.Itoa(len(c.body)) + "\r\n"
			}
			request += "\r\n" + c.body
			for _, method := range []string{c.method, "HEAD"} {
				input := request
				if c.method == "GET" {
					input = strings.Replace(request, "GET", method, 1)
				} else if method == "HEAD" {
					continue
				}
				o := talk(t, models.HTTP{Now: fixed}, input)
				got, bodies := replies(t, o.Output, method)
				assert.Equal(t, c.status, got[0].StatusCode)
				assert.EqualValues(t, len(c.want), got[0].ContentLength)
				assert.Equal(t, "netbench", got[0].Header.Get("Server"))
				assert.Equal(t, noon.Format(http.TimeFormat), got[0].Header.Get("Date"))
				if method == "HEAD" {
					assert.Empty(t, bodies[0])
				} else {
					assert.True(t, c.want == bodies[0], "body of %d bytes", len(bodies[0]))
				}
				assert.Equal(t, len(input), o.Consumed)
				assert.False(t, o.Closed, "%d leaves the connection open", c.status)
			}
		})
	}
}

func TestHTTPNamesTheMethodsOfARoute(t *testing.T) {
	for _, c := range []struct{ line, allow string }{
		{"POST /plaintext", "GET, HEAD"},
		{"DELETE /", "GET, HEAD"},
		{"get /", "GET, HEAD"},
		{"PUT /bytes/5", "GET, HEAD"},
		{"GET /echo", "POST"},
		{"HEAD /echo", "POST"},
		{"OPTIONS *", "GET, HEAD, POST"},
		{"CONNECT localhost:443", "GET, HEAD, POST"},
	} {
		o := talk(t, models.HTTP{Now: fixed}, c.line+" HTTP/1.1\r\n"+hostLine+"\r\n")
		got, _ := replies(t, o.Output, strings.Fields(c.line)[0])
		assert.Equal(t, 405, got[0].StatusCode, c.line)
		assert.Equal(t, c.allow, got[0].Header.Get("Allow"), c.line)
		assert.False(t, o.Closed, c.line)
	}
}

func TestHTTPKeepsOrClosesTheConnectionAsAsked(t *testing.T) {
	for _, c := range []struct {
		version, fields string
		closed          bool
		says            string // the reply's Connection
	}{
		{"1.1", "", false, ""},
		{"1.1", "Connection: close\r\n", true, "close"},
		{"1.1", "Connection: foo, CLOSE ,bar\r\n", true, "close"},
		{"1.1", "Connection: foo\r\nConnection: close\r\n", true, "close"},
		{"1.1", "Connection: keep-alive\r\n", false, ""},
		{"1.1", "Connection: keep-alive, close\r\n", true, "close"},
		{"1.1", "Connection: closed\r\n", false, ""},
		{"1.9", "", false, ""},
		{"1.0", "", true, "close"},
		{"1.0", "Connection: Keep-Alive\r\n", false, "keep-alive"},
		{"1.0", "Connection: keep-alive, close\r\n", true, "close"},
	} {
		request := "GET /plaintext HTTP/" + c.version + "\r\n" + hostLine + c.fields + "\r\n"
		o := talk(t, models.HTTP{Now: fixed}, request+request)
		n := 2
		if c.closed {
			n = 1
		}
		assert.Equal(t, c.closed, o.Closed, "%s %q", c.version, c.fields)
		assert.Equal(t, n*len(request), o.Consumed, "nothing is answered after the end")
		got, _ := replies(t, o.Output, []string{"GET", "GET"}[:n]...)
		assert.Equal(t, 1, bytes.Count(o.Output[:len(o.Output)/n], []byte("200 OK")))
		want := ""
		if c.says != "" {
			want = "Connection: " + c.says + "\r\n"
		}
		assert.Equal(t, want != "", bytes.Contains(o.Output, []byte("Connection:")), "%s %q", c.version, c.fields)
		assert.Contains(t, string(o.Output), want)
		assert.Equal(t, 200, got[0].StatusCode)
	}
}

func TestHTTPAnswersPipelinedRequestsInOrder(t *testing.T) {
	var input strings.Builder
	var methods, want []string
	for i := range 30 {
		switch i % 3 {
		case 0:
			input.WriteString("GET /bytes/" + strconv.Itoa(i) + " HTTP/1.1\r\n" + hostLine + "\r\n")
			methods, want = append(methods, "GET"), append(want, pattern(i))
		case 1:
			body := strings.Repeat("b", i)
			input.WriteString("POST /echo HTTP/1.1\r\n" + hostLine + "Content-Length: " + strconv.Itoa(i) + "\r\n\r\n" + body)
			methods, want = append(methods, "POST"), append(want, body)
		case 2:
			input.WriteString("POST /echo HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
			methods, want = append(methods, "POST"), append(want, "abc")
		}
	}
	o := talk(t, models.HTTP{Now: fixed}, input.String())
	_, bodies := replies(t, o.Output, methods...)
	assert.Equal(t, want, bodies)
	assert.Equal(t, 30, o.Steps, "one step for each request")
}

func TestHTTPDecodesChunks(t *testing.T) {
	for _, c := range []struct{ name, chunks, want string }{
		{"none", "0\r\n\r\n", ""},
		{"one", "5\r\nhello\r\n0\r\n\r\n", "hello"},
		{"several", "1\r\na\r\n2\r\nbc\r\n0A\r\n0123456789\r\n00\r\n\r\n", "abc0123456789"},
		{"hexadecimal in both cases", "a\r\n0123456789\r\nB\r\nabcdefghijk\r\n0\r\n\r\n", "0123456789abcdefghijk"},
		{"leading zeros", "000000000000000001\r\na\r\n0\r\n\r\n", "a"},
		{"data that looks like framing", "9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n\r\n"},
		{"extensions", "1;a=b\r\nx\r\n1 ; c=\"d e\"\r\ny\r\n0;last\r\n\r\n", "xy"},
		{"trailers", "1\r\nx\r\n0\r\nA: b\r\nContent-Length: 5\r\n\r\n", "x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			input := "POST /echo HTTP/1.1\r\n" + hostLine + "transfer-encoding:\tChunked \r\n\r\n" + c.chunks
			o := talk(t, models.HTTP{Now: fixed}, input+"GET / HTTP/1.1\r\n"+hostLine+"\r\n")
			got, bodies := replies(t, o.Output, "POST", "GET")
			assert.Equal(t, 200, got[0].StatusCode)
			assert.Equal(t, c.want, bodies[0])
			assert.Equal(t, 200, got[1].StatusCode, "the next request starts where the body ends")
		})
	}
}

func TestHTTPAsksForAWholeBody(t *testing.T) {
	session := models.HTTP{Now: fixed}.Open()
	head := "POST /echo HTTP/1.1\r\n" + hostLine + "Content-Length: 5000\r\n\r\n"
	consumed, out, next := session.Step([]byte(head), nil)
	assert.Zero(t, consumed)
	assert.Empty(t, out)
	assert.Equal(t, models.Next{Need: len(head) + 5000}, next)

	session = models.HTTP{Now: fixed}.Open()
	head = "POST /echo HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: chunked\r\n\r\n100\r\n"
	_, _, next = session.Step([]byte(head), nil)
	assert.Equal(t, models.Next{Need: len(head) + 256 + 2}, next)
}

func TestHTTPAnswersAnExpectationBeforeTheBody(t *testing.T) {
	const head = "POST /echo HTTP/1.1\r\n" + hostLine + "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
	const hundred = "HTTP/1.1 100 Continue\r\n\r\n"
	session := models.HTTP{Now: fixed}.Open()
	consumed, out, next := session.Step([]byte(head), nil)
	assert.Zero(t, consumed, "a request in part stays with the model")
	assert.Equal(t, hundred, string(out))
	assert.Equal(t, models.Next{Need: len(head) + 2}, next)
	consumed, out, _ = session.Step([]byte(head+"ok"), nil)
	assert.Equal(t, len(head)+2, consumed)
	_, bodies := replies(t, out, "POST")
	assert.Equal(t, "ok", bodies[0])

	for _, c := range []struct {
		name, input string
		continues   bool
		status      int
		closed      bool
	}{
		{"body at hand", head + "ok", true, 200, false},
		{"chunks", "POST /echo HTTP/1.1\r\n" + hostLine + "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true, 200, false},
		{"no body", "GET / HTTP/1.1\r\n" + hostLine + "Expect: 100-continue\r\n\r\n", false, 200, false},
		{"HTTP/1.0", "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", false, 200, false},
		{"body too long", "POST /echo HTTP/1.1\r\n" + hostLine + "Expect: 100-continue\r\nContent-Length: 1048577\r\n\r\n", false, 413, true},
		{"something else", "POST /echo HTTP/1.1\r\n" + hostLine + "Expect: cake\r\nContent-Length: 1\r\n\r\n", false, 417, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := talk(t, models.HTTP{Now: fixed}, c.input)
			final, continues := strings.CutPrefix(string(o.Output), hundred)
			assert.Equal(t, c.continues, continues)
			got, _ := replies(t, []byte(final), "POST")
			assert.Equal(t, c.status, got[0].StatusCode)
			assert.Equal(t, c.closed, o.Closed)
		})
	}
}

func TestHTTPSkipsOneEmptyLineBeforeARequest(t *testing.T) {
	const request = "GET /plaintext HTTP/1.1\r\n" + hostLine + "\r\n"
	o := talk(t, models.HTTP{Now: fixed}, "\r\n"+request+"\r\n"+request)
	got, _ := replies(t, o.Output, "GET", "GET")
	assert.Equal(t, 200, got[1].StatusCode)
	o = talk(t, models.HTTP{Now: fixed}, "\r\n\r\n"+request)
	got, _ = replies(t, o.Output, "GET")
	assert.Equal(t, 400, got[0].StatusCode)
	assert.True(t, o.Closed)
}

func TestHTTPDateFollowsTheClock(t *testing.T) {
	now := noon
	session := models.HTTP{Now: func() time.Time { return now }}.Open()
	request := []byte("GET /plaintext HTTP/1.1\r\n" + hostLine + "\r\n")
	for _, step := range []time.Duration{0, 999 * time.Millisecond, time.Millisecond, -time.Hour, 24 * time.Hour} {
		now = now.Add(step)
		_, out, _ := session.Step(request, nil)
		got, _ := replies(t, out, "GET")
		assert.Equal(t, now.Format(http.TimeFormat), got[0].Header.Get("Date"))
	}
	east := models.HTTP{Now: func() time.Time { return noon.In(time.FixedZone("", 3600)) }}
	assert.Contains(t, string(talk(t, east, string(request)).Output), "Date: Sun, 01 Mar 2026 12:00:00 GMT\r\n")
}

func TestHTTPPlaintextAllocatesNothing(t *testing.T) {
	session := models.HTTP{Now: fixed}.Open()
	request := []byte("GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: text/plain\r\nConnection: keep-alive\r\n\r\n")
	out := make([]byte, 0, 512)
	allocs := testing.AllocsPerRun(1000, func() {
		consumed, reply, next := session.Step(request, out)
		if consumed != len(request) || len(reply) == 0 || next.Op != models.Continue {
			panic("not answered")
		}
	})
	assert.Zero(t, allocs)
}
