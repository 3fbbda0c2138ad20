package models

import (
	"bytes"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// httpMethod is a method that makes a difference; any other is methodOther.
type httpMethod uint8

const (
	methodOther httpMethod = iota
	methodGet
	methodHead
	methodPost
	methodOptions
	methodConnect
)

type httpRoute uint8

const (
	routeNone      httpRoute = iota // 404
	routePlaintext                  // /plaintext
	routeRoot                       // /
	routeEcho                       // /echo
	routeBytes                      // /bytes/N
	routeApp                        // /json
	routeServer                     // the server itself, not a path on it
)

// findRoute finds what a request target names: a path, a URL whose path counts,
// or, for two methods, something that is no path.
func (r *httpRequest) findRoute(target []byte) verdict {
	path := target
	if target[0] != '/' {
		switch {
		case r.method == methodConnect, r.method == methodOptions && string(target) == "*":
			r.route = routeServer
			return onward
		case len(target) > 7 && is(target[:7], "http://"):
			path = target[7:]
		case len(target) > 8 && is(target[:8], "https://"):
			path = target[8:]
		default:
			return 400
		}
		i := bytes.IndexAny(path, "/?")
		if i < 0 {
			i = len(path)
		}
		if i == 0 || !all(path[:i], classHost) {
			return 400
		}
		path = path[i:]
	}
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	switch {
	case string(path) == "/plaintext":
		r.route = routePlaintext
	case len(path) == 0, string(path) == "/":
		r.route = routeRoot
	case string(path) == "/echo":
		r.route = routeEcho
	case string(path) == "/json":
		r.route = routeApp
	case len(path) > 7 && string(path[:7]) == "/bytes/":
		if n, ok := parseCount(path[7:]); ok {
			r.route, r.n = routeBytes, n
		}
	}
	return onward
}

// parseCount reads a number from 0 to HTTPBytesMax.
func parseCount(b []byte) (n int, ok bool) {
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		if n = n*10 + int(c-'0'); n > HTTPBytesMax {
			return 0, false
		}
	}
	return n, true
}

// allow is the value of Allow for a route.
func (route httpRoute) allow() string {
	switch route {
	case routeEcho:
		return "POST"
	case routeServer, routeApp:
		return "GET, HEAD, POST"
	}
	return "GET, HEAD"
}

// reply appends the reply to a whole request, which is at the start of in.
func (r *httpRequest) reply(now time.Time, app HTTPHandler, in, out []byte) []byte {
	if r.route == routeNone || r.route == routeApp && app == nil {
		return r.refuse(now, http.StatusNotFound, out)
	}
	allowed := r.method == methodGet || r.method == methodHead
	switch r.route {
	case routeEcho:
		allowed = r.method == methodPost
	case routeApp:
		allowed = allowed || r.method == methodPost
	}
	if r.route == routeServer || !allowed {
		return r.refuse(now, http.StatusMethodNotAllowed, out)
	}
	const (
		text   = "HTTP/1.1 200 OK\r\nServer: netbench\r\nContent-Type: text/plain\r\nContent-Length: "
		octets = "HTTP/1.1 200 OK\r\nServer: netbench\r\nContent-Type: application/octet-stream\r\nContent-Length: "

		hello = "Hello, World!"
		about = "netbench: a laboratory for Go network servers\n"
	)
	switch r.route {
	case routePlaintext:
		out = append(out, text+"13"...)
		out = r.endReplyHead(now, out)
		if r.method != methodHead {
			out = append(out, hello...)
		}
	case routeRoot:
		out = append(out, text...)
		out = strconv.AppendInt(out, int64(len(about)), 10)
		out = r.endReplyHead(now, out)
		if r.method != methodHead {
			out = append(out, about...)
		}
	case routeBytes:
		out = append(out, octets...)
		out = strconv.AppendInt(out, int64(r.n), 10)
		out = r.endReplyHead(now, out)
		if r.method != methodHead {
			out = appendPattern(out, r.n)
		}
	case routeEcho:
		out = append(out, octets...)
		out = strconv.AppendInt(out, int64(r.length), 10)
		out = r.endReplyHead(now, out)
		if r.chunked {
			out = appendChunks(out, in[r.head:])
		} else {
			out = append(out, in[r.head:r.head+r.length]...)
		}
	case routeApp:
		out = r.appReply(now, app, in, out)
	}
	return out
}

// refuse appends a reply whose body names the status.
func (r *httpRequest) refuse(now time.Time, status int, out []byte) []byte {
	text := http.StatusText(status)
	out = append(out, "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(status), 10)
	out = append(out, ' ')
	out = append(out, text...)
	out = append(out, "\r\nServer: netbench\r\nContent-Type: text/plain"...)
	if status == http.StatusMethodNotAllowed {
		out = append(out, "\r\nAllow: "...)
		out = append(out, r.route.allow()...)
	}
	out = append(out, "\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(text)+1), 10)
	out = r.endReplyHead(now, out)
	if r.method != methodHead {
		out = append(out, text...)
		out = append(out, '\n')
	}
	return out
}

// endReplyHead appends the fields that every reply ends with, and the empty line. An
// HTTP/1.0 client learns that the connection stays; for HTTP/1.1 that is usual.
func (r *httpRequest) endReplyHead(now time.Time, out []byte) []byte {
	out = append(out, "\r\nDate: "...)
	out = append(out, dateAt(now)...)
	switch {
	case r.close:
		return append(out, "\r\nConnection: close\r\n\r\n"...)
	case r.minor == 0:
		return append(out, "\r\nConnection: keep-alive\r\n\r\n"...)
	}
	return append(out, "\r\n\r\n"...)
}

// datedSecond is a second, and how Date writes it.
type datedSecond struct {
	second int64
	text   string
}

// lastDate saves writing the same date for every request of a second. It is kept
// for all services together, and is right for every clock, since what it holds
// follows from the second alone.
var lastDate atomic.Pointer[datedSecond]

func dateAt(now time.Time) string {
	second := now.Unix()
	last := lastDate.Load()
	if last == nil || last.second != second {
		last = &datedSecond{second, now.UTC().Format(http.TimeFormat)}
		lastDate.Store(last)
	}
	return last.text
}

// pattern is what /bytes/N repeats. Its period is a prime, so that bytes which
// ended up a power of two away from their place are noticed.
var pattern = func() []byte {
	b := make([]byte, 251*64)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}()

func appendPattern(out []byte, n int) []byte {
	for n > len(pattern) {
		out = append(out, pattern...)
		n -= len(pattern)
	}
	return append(out, pattern[:n]...)
}
