package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scripted answers each request with the same bytes, and hangs up afterwards if
// told so. It counts connections and requests.
type scripted struct {
	reply  string
	hangUp bool

	accepted, requests atomic.Int64
}

func (s *scripted) serve(c net.Conn) {
	s.accepted.Add(1)
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		s.requests.Add(1)
		if _, err := io.WriteString(c, s.reply); err != nil {
			return
		}
		if s.hangUp {
			// An orderly end: whoever closes with bytes unread resets.
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, r)
			return
		}
	}
}

// assertAccepted checks how many connections came: each that the server closed
// behind a reply is replaced, and nothing else is.
func (s *scripted) assertAccepted(t *testing.T, want int64) {
	t.Helper()
	require.Eventually(t, func() bool { return s.accepted.Load() >= want }, 10*time.Second, time.Millisecond)
	assert.Equal(t, want, s.accepted.Load())
}

// httpCases are replies of every framing that HTTP/1 has (RFC 9112, section 6).
var httpCases = []struct {
	name   string
	method string // default GET
	reply  string
	hangUp bool
}{
	{"length", "", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false},
	{"empty body", "", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
	{"redirection", "", "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", false},
	{"chunked", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1A;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", false},
	{"chunked with trailer", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\nExpires: never\r\n\r\n", false},
	{"head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", false},
	{"head chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false},
	{"no content", "", "HTTP/1.1 204 No Content\r\n\r\n", false},
	{"not modified", "", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n", false},
	{"interim replies", "", "HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false},
	{"close", "", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", true},
	{"close among options", "", "HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 5\r\n\r\nhello", true},
	{"close chunked", "", "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", true},
	{"until close", "", "HTTP/1.1 200 OK\r\n\r\nhello", true},
	{"until close, empty", "", "HTTP/1.1 200 OK\r\n\r\n", true},
	{"1.0", "", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", true},
	{"1.0 until close", "", "HTTP/1.0 200 OK\r\n\r\nhello", true},
	{"1.0 kept alive", "", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", false},
}

func TestHTTPRepliesOfEveryFramingAreUnderstood(t *testing.T) {
	for _, c := range httpCases {
		for _, mode := range []Mode{Closed, Open, Connect, Idle} {
			t.Run(c.name+"/"+string(mode), func(t *testing.T) {
				eachEngine(t, func(t *testing.T, kind EngineKind) {
					s := &scripted{reply: c.reply, hangUp: c.hangUp}
					p := bounded(mode)
					p.Targets, p.Engine, p.Method = []Target{serve(t, HTTPProtocol, s.serve)}, kind, c.method
					r := run(t, p)
					checkGoodRun(t, p, r)
					assert.Equal(t, r.Requests*int64(len(c.reply)), r.BytesIn)
					assert.Equal(t, r.Requests, s.requests.Load())
					if c.hangUp && mode != Connect {
						s.assertAccepted(t, r.Requests+int64(p.Conns))
					}
				})
			})
		}
	}
}

func TestHTTPStatusOf400AndAboveIsAnErrorAndNoSuccess(t *testing.T) {
	for _, c := range []struct {
		status string
		hangUp bool
	}{
		{"400 Bad Request", false}, {"404 Not Found", false}, {"500 Internal Server Error", false}, {"503 Service Unavailable", true},
	} {
		for _, mode := range []Mode{Closed, Open, Connect} {
			t.Run(c.status+"/"+string(mode), func(t *testing.T) {
				eachEngine(t, func(t *testing.T, kind EngineKind) {
					s := &scripted{reply: "HTTP/1.1 " + c.status + "\r\nContent-Length: 2\r\n\r\nno", hangUp: c.hangUp}
					if c.hangUp {
						s.reply = "HTTP/1.1 " + c.status + "\r\n\r\nno" // until the stream ends
					}
					p := bounded(mode)
					p.Targets, p.Engine = []Target{serve(t, HTTPProtocol, s.serve)}, kind
					r := run(t, p)
					asked := p.Requests
					if mode == Open {
						asked = int64(p.Rate * p.Duration.Seconds())
					}
					assert.Equal(t, map[string]int64{"status": asked}, failures(r))
					assert.Zero(t, r.Requests)
					assert.Zero(t, r.Success)
					assert.Zero(t, r.Lost, "the connection is as good as before")
					assert.Equal(t, Valid{}, r.Valid)
					assert.Contains(t, r.FirstError, "400 or above")
				})
			})
		}
	}
}

func TestFailuresAmongSuccessesAreToldApart(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		var n atomic.Int64
		target := serve(t, HTTPProtocol, func(c net.Conn) {
			r := bufio.NewReader(c)
			for {
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				status := 200
				if n.Add(1)%4 == 0 {
					status = 500
				}
				if _, err := fmt.Fprintf(c, "HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status); err != nil {
					return
				}
			}
		})
		p := bounded(Closed)
		p.Targets, p.Engine = []Target{target}, kind
		r := run(t, p)
		assert.Equal(t, map[string]int64{"status": 25}, failures(r))
		assert.EqualValues(t, 75, r.Requests)
		assert.InDelta(t, 0.75, r.Success, 1e-9)
		assert.Equal(t, r.Requests, r.Service.Count, "failures have no place among latencies")
		assert.True(t, r.Valid.Counts)
		assert.False(t, r.Valid.Rate)
		assert.False(t, r.Valid.Latency)
	})
}

func TestRequestsPipelinedBehindTheLastReplyAreShort(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		s := &scripted{reply: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", hangUp: true}
		p := bounded(Closed)
		p.Targets, p.Engine, p.Pipeline, p.Conns, p.Requests = []Target{serve(t, HTTPProtocol, s.serve)}, kind, 4, 1, 40
		r := run(t, p)
		assert.EqualValues(t, 10, r.Requests)
		assert.Equal(t, map[string]int64{"short": 30}, failures(r))
		assert.Zero(t, r.Lost)
		s.assertAccepted(t, 11)
	})
}

func TestConnectionsClosedAtTheEndOfTheWarmupServeTheRun(t *testing.T) {
	for _, mode := range []Mode{Closed, Open} {
		t.Run(string(mode), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind EngineKind) {
				s := &scripted{reply: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", hangUp: true}
				p := bounded(mode)
				p.Targets, p.Engine, p.Warmup = []Target{serve(t, HTTPProtocol, s.serve)}, kind, 50*time.Millisecond
				checkGoodRun(t, p, run(t, p))
			})
		})
	}
}

func TestAServerThatIsGoneWhenItIsToBeDialledAgainIsLost(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		done := make(chan struct{})
		s := &scripted{reply: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", hangUp: true}
		go func() {
			defer close(done)
			for range 3 {
				c, err := l.Accept()
				if err != nil {
					return
				}
				if s.accepted.Load() == 2 {
					l.Close()
				}
				s.serve(c)
				c.Close()
			}
		}()
		p := bounded(Closed)
		p.Targets = []Target{{Protocol: HTTPProtocol, Network: "tcp", Address: l.Addr().String(), Host: "h", Path: "/"}}
		p.Engine, p.Conns = kind, 1
		r := run(t, p)
		<-done
		assert.EqualValues(t, 3, r.Requests)
		assert.Equal(t, map[string]int64{"dial": 1}, failures(r))
		assert.EqualValues(t, 1, r.Lost)
		assert.Contains(t, r.FirstError, "connect to "+l.Addr().String())
	})
}

func TestHTTPRequestCarriesMethodHeaderAndBody(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		type seen struct {
			method, uri, host, body string
			header                  http.Header
		}
		got := make(chan seen, 100)
		target := serve(t, HTTPProtocol, func(c net.Conn) {
			r := bufio.NewReader(c)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				body, err := io.ReadAll(req.Body)
				if err != nil {
					return
				}
				got <- seen{req.Method, req.RequestURI, req.Host, string(body), req.Header}
				if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
					return
				}
			}
		})
		target.Path, target.Host = "/items?id=7", "shop.test:80"
		p := bounded(Closed)
		p.Targets, p.Engine, p.Requests = []Target{target}, kind, 10
		p.Method, p.Body = "POST", []byte(strings.Repeat("x", 10_000))
		p.Header = http.Header{"Content-Type": {"text/plain"}, "X-Many": {"1", "2"}}
		checkGoodRun(t, p, run(t, p))
		close(got)
		n := 0
		for s := range got {
			n++
			assert.Equal(t, "POST", s.method)
			assert.Equal(t, "/items?id=7", s.uri)
			assert.Equal(t, "shop.test:80", s.host)
			assert.Equal(t, string(p.Body), s.body)
			assert.Equal(t, "10000", s.header.Get("Content-Length"))
			assert.Equal(t, "text/plain", s.header.Get("Content-Type"))
			assert.Equal(t, []string{"1", "2"}, s.header["X-Many"])
		}
		assert.Equal(t, 10, n)
	})
}
