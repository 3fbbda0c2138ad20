package models

import (
	"fmt"
	"time"
)

// Limits of [HTTP] in bytes, unless told otherwise.
const (
	DefaultHTTPLine   = 4 << 10
	DefaultHTTPHeader = 8 << 10
	DefaultHTTPBody   = 1 << 20
)

// HTTPBytesMax is the largest N of the route /bytes/N.
const HTTPBytesMax = 1 << 20

// maxChunkLine is the longest line that gives a chunk's size, with its CRLF.
// Extensions, which nobody uses, are the only way to make one long.
const maxChunkLine = 1 << 10

// HTTP is an HTTP/1.1 server for HTTP/1.0 and HTTP/1.1 clients, with keep-alive
// and pipelining, by RFC 9110 and RFC 9112. Its routes:
//
//	/plaintext  GET, HEAD  Hello, World! as in TechEmpower's plaintext test
//	/           GET, HEAD  a short text
//	/echo       POST       the body of the request
//	/bytes/N    GET, HEAD  N bytes, 0 to HTTPBytesMax; byte i is i mod 251
//	/json       GET, HEAD, POST  what App answers; not there without one
//
// Other paths are 404, other methods 405. Queries are ignored.
//
// A session consumes a request when all of it has arrived, body included, and
// asks for it by Need: a model then knows a request that is still on its way
// by its unconsumed bytes, and the reply to /echo is one copy. The price is
// that a model buffers a request of MaxBody bytes whole. Bodies with a length
// and in chunks are understood; trailers are checked and dropped. A chunked
// body may take at most twice MaxBody on the wire, which is chunks of eight
// bytes or more.
//
// What could be understood differently by another server on the path is not
// guessed but refused, with 400 and the end of the connection: lines that end
// in LF alone, folded fields, spaces around a name, control characters, more
// than one or no Host, repeated, signed or listed Content-Length, and
// Content-Length beside Transfer-Encoding. One empty line before a request is
// skipped, as old clients send it.
//
// "Expect: 100-continue" is always answered by 100, even where the body has
// come already, so that the output does not depend on how the input was split.
type HTTP struct {
	Now       Clock // for Date; nil means time.Now
	MaxLine   int   // longest request line without its CRLF, beyond it 414; 0 means DefaultHTTPLine
	MaxHeader int   // longest head, from request line to empty line, and longest trailer section, beyond it 431; 16 bytes to 1 MiB, 0 means DefaultHTTPHeader
	MaxBody   int   // longest body, beyond it 413; at most 256 MiB; 0 means DefaultHTTPBody

	// App answers /json; nil for nobody. It has no part in the service's Name: a
	// service with one is made by who knows it, see RegisterService.
	App *HTTPApp
}

func (h HTTP) Name() string {
	name := "http"
	h = h.limited()
	if line := min(DefaultHTTPLine, h.MaxHeader-2); h.MaxLine != line {
		name += fmt.Sprintf("+line=%d", h.MaxLine)
	}
	if h.MaxHeader != DefaultHTTPHeader {
		name += fmt.Sprintf("+header=%d", h.MaxHeader)
	}
	if h.MaxBody != DefaultHTTPBody {
		name += fmt.Sprintf("+body=%d", h.MaxBody)
	}
	return name
}

// limited is h with its limits filled in and within their ranges. A request
// line that is longer than the head may be would be of no use.
func (h HTTP) limited() HTTP {
	h.MaxHeader = max(16, min(1<<20, orDefault(h.MaxHeader, DefaultHTTPHeader)))
	h.MaxLine = min(orDefault(h.MaxLine, DefaultHTTPLine), h.MaxHeader-2)
	h.MaxBody = min(256<<20, orDefault(h.MaxBody, DefaultHTTPBody))
	return h
}

// maxChunked is how many bytes the chunks of a body may take with their sizes.
func (h *HTTP) maxChunked() int { return 2*h.MaxBody + maxChunkLine }

// Limits: the largest request is a head, chunks, and trailers; the longest
// reply is that to /bytes/N, after a 100.
func (h HTTP) Limits() Limits {
	h = h.limited()
	return Limits{
		Request: h.MaxHeader + h.maxChunked() + h.MaxHeader,
		Reply:   max(HTTPBytesMax, h.App.limit()) + 512,
	}
}

func (h HTTP) Open() Session {
	if h.Now == nil {
		h.Now = time.Now
	}
	return &httpSession{limits: h.limited(), app: h.App.open()}
}

// httpSession reads a request piece by piece. Nothing is consumed before the
// request is whole, so positions count from the start of the input and stay
// valid from one step to the next.
//
// Each decision is made at the end of a line or of a chunk, or where a limit is
// reached, whichever comes first, and Need never points beyond the next such
// place. That is what makes the output independent of splits.
type httpSession struct {
	limits  HTTP
	app     HTTPHandler // nil without an App
	phase   httpPhase
	skipped bool // an empty line before the request was skipped
	pos     int  // start of the piece that is looked at
	scanned int  // from there to here is no LF
	req     httpRequest
}

// httpPhase is the piece of a request that is expected next.
type httpPhase uint8

const (
	atRequestLine httpPhase = iota
	atFields
	atBody
	atChunkSize
	atChunkEnd
	atTrailer
)

// httpRequest is what is known of the request that is being read.
type httpRequest struct {
	method httpMethod
	route  httpRoute
	minor  uint8 // of HTTP/1.minor, 0 or 1
	hosts  uint8 // number of Host fields, up to 2

	chunked       bool // Transfer-Encoding names chunked, last
	otherCoding   bool // and it names another coding
	close         bool // Connection: close
	keepAlive     bool // Connection: keep-alive
	expect        bool // Expect: 100-continue
	expectUnknown bool // Expect: something else

	n       int // N of /bytes/N
	length  int // Content-Length, or what the chunks so far amount to
	lengths int // number of Content-Length fields, up to 2
	head    int // size of the head
	trailer int // where the trailer section starts
}

// verdict is what reading a piece came to: one of these, or a status from 400
// on that ends the connection.
type verdict int

const (
	onward   verdict = iota // go on with the next piece
	wait                    // the piece is not whole
	skip                    // an empty line came before the request
	interim                 // the head is whole, and the client waits for a 100
	complete                // the request is whole
)

func (s *httpSession) Step(in, out []byte) (int, []byte, Next) {
	for {
		var v verdict
		need := len(in) + 1
		switch s.phase {
		case atRequestLine:
			v = s.readRequestLine(in)
		case atFields:
			v = s.readFields(in)
		case atBody:
			need = s.req.head + s.req.length
			v = s.readBody(in)
		case atChunkSize:
			v = s.readChunkSize(in)
		case atChunkEnd:
			need = s.pos + 2
			v = s.readChunkEnd(in)
		case atTrailer:
			v = s.readTrailer(in)
		}
		switch v {
		case onward:
		case wait:
			return 0, out, Next{Need: need}
		case skip:
			s.pos, s.scanned, s.skipped = 0, 0, true
			return 2, out, Next{}
		case interim:
			out = append(out, "HTTP/1.1 100 Continue\r\n\r\n"...)
		case complete:
			return s.answer(in, out)
		default:
			return s.refuse(int(v), out)
		}
	}
}

// answer replies to the request that ends at pos, and makes ready for another.
func (s *httpSession) answer(in, out []byte) (int, []byte, Next) {
	r := &s.req
	consumed := s.pos
	r.close = r.close || r.minor == 0 && !r.keepAlive
	out = r.reply(s.limits.Now(), s.app, in, out)
	next := Next{}
	if r.close {
		next.Op = Close
	}
	s.phase, s.skipped, s.pos, s.scanned = atRequestLine, false, 0, 0
	s.req = httpRequest{}
	return consumed, out, next
}

// refuse replies with an error after which nothing can be understood.
func (s *httpSession) refuse(status int, out []byte) (int, []byte, Next) {
	s.req.close = true
	return s.pos, s.req.refuse(s.limits.Now(), status, out), Next{Op: Close}
}
