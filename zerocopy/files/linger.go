package files

import (
	"io"
	"net/http"
	"time"
)

// longestLinger is how long the rest of a body is taken that nobody wants.
const longestLinger = 5 * time.Second

// expectBody notes that the request has a body. Until [exchange.bodyIsRead] the
// connection is one to be closed after the answer: another request on it would
// stand behind the rest. HTTP/2 ends each stream by itself.
func (x *exchange) expectBody() {
	if x.r.Body == nil || x.r.Body == http.NoBody || x.r.ProtoMajor != 1 {
		return
	}
	x.unread = true
	// Without this net/http would wait for the rest before it sends the answer.
	x.w.Header().Set("Connection", "close")
}

// bodyIsRead notes that the body was read to its end.
func (x *exchange) bodyIsRead() {
	if x.unread {
		x.unread = false
		x.w.Header().Del("Connection")
	}
}

// linger sends the answer and then takes what a client still sends, for a while. A
// connection that is closed with bytes unread is reset, and a client that is still
// sending may then never see the answer, which says why it should not (RFC 9112,
// section 9.6).
func (x *exchange) linger() {
	if !x.unread {
		return
	}
	limit := min(x.config.Stall, longestLinger)
	x.readBy(limit) // also for net/http, which reads some of the rest in any case
	if x.control.Flush() != nil {
		return
	}
	x.readBy(limit)
	_, _ = io.Copy(io.Discard, x.r.Body) // however it ends, the connection does
}
