package models

import (
	"strconv"
	"time"
)

// HTTPApp is application code that [HTTP] asks for its answers to /json. It is how
// a server gets work and memory of its own and still runs on every model.
type HTTPApp struct {
	// Open returns what answers on one new connection. It may be called by several
	// goroutines at once; what it returns is used by one at a time.
	Open func() HTTPHandler

	// Reply is the most bytes that a handler appends.
	Reply int
}

// HTTPHandler appends the JSON that answers a request to out, and returns it. body
// is the request's, empty if it has none. It must keep neither of the two, must not
// block, and its answer depends on the requests of its connection only, as
// [Session] demands.
type HTTPHandler func(body, out []byte) []byte

func (a *HTTPApp) limit() int {
	if a == nil {
		return 0
	}
	return a.Reply
}

func (a *HTTPApp) open() HTTPHandler {
	if a == nil {
		return nil
	}
	return a.Open()
}

// appReply has the handler write its answer to where it will be, and then moves it
// behind a head that tells its length: one copy and no buffer beside the model's.
func (r *httpRequest) appReply(now time.Time, app HTTPHandler, in, out []byte) []byte {
	body := in[r.head : r.head+r.bodyLength()]
	if r.chunked {
		body = appendChunks(nil, in[r.head:])
	}
	start := len(out)
	out = app(body, out)
	length := len(out) - start

	var room [512]byte
	head := append(room[:0], "HTTP/1.1 200 OK\r\nServer: netbench\r\nContent-Type: application/json\r\nContent-Length: "...)
	head = strconv.AppendInt(head, int64(length), 10)
	head = r.endReplyHead(now, head)
	if r.method == methodHead {
		return append(out[:start], head...)
	}
	out = append(out, head...)
	copy(out[start+len(head):], out[start:start+length])
	copy(out[start:], head)
	return out
}

// bodyLength is the length of a body that is not in chunks.
func (r *httpRequest) bodyLength() int {
	if r.chunked {
		return 0
	}
	return r.length
}
