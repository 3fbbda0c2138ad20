package load

import (
	"bytes"
)

// httpPhase is the part of a reply that comes next.
type httpPhase uint8

const (
	httpHead       httpPhase = iota // status line and header
	httpBody                        // remaining bytes of a body of known length
	httpChunkSize                   // line with the size of a chunk
	httpChunkData                   // remaining bytes of a chunk
	httpChunkEnd                    // line break behind a chunk
	httpTrailer                     // trailer lines, up to an empty one
	httpUntilClose                  // body that ends with the stream
)

// httpReply parses the replies on one connection (RFC 9112), however they are
// split into reads. Its zero value awaits a reply.
type httpReply struct {
	phase     httpPhase
	last      bool // the server closes after this reply
	status    int
	remaining int64
	carry     []byte // beginning of a head or line that came in part
}

// maxHead bounds a reply's header, and a chunk's size line, in bytes.
const maxHead = 64 << 10

func (h *httpReply) reset() {
	*h = httpReply{carry: h.carry[:0]}
}

// receive takes input up to the end of one reply at most. Malformed input is a
// mismatch.
func (h *httpReply) receive(b []byte, head bool) (int, outcome) {
	total := 0
	for {
		n, ok := 0, true
		switch h.phase {
		case httpHead:
			n, ok = h.takeHead(b, head)
		case httpBody, httpChunkData:
			n = int(min(int64(len(b)), h.remaining))
			if h.remaining -= int64(n); h.remaining == 0 {
				if h.phase == httpChunkData {
					h.phase = httpChunkEnd
				} else {
					h.phase = httpHead
					return total + n, h.finish()
				}
			}
		case httpChunkSize, httpChunkEnd, httpTrailer:
			var line []byte
			var whole bool
			line, n, whole, ok = h.takeLine(b)
			if whole && ok {
				var end bool
				end, ok = h.chunkLine(line)
				h.carry = h.carry[:0]
				if ok && end {
					return total + n, h.finish()
				}
			}
		case httpUntilClose:
			n = len(b)
		}
		if !ok {
			return total, mismatch
		}
		total += n
		b = b[n:]
		if h.phase == httpBody && h.remaining == 0 { // an empty body, or none
			h.phase = httpHead
			return total, h.finish()
		}
		if len(b) == 0 {
			return total, more
		}
	}
}

// finish leaves h ready for the next reply.
func (h *httpReply) finish() outcome {
	last, bad := h.last, h.status >= 400
	h.reset()
	switch {
	case last && bad:
		return doneLastBad
	case last:
		return doneLast
	case bad:
		return doneBad
	}
	return done
}

var endOfHead = []byte("\r\n\r\n")

// takeHead consumes a header, or what there is of it.
func (h *httpReply) takeHead(b []byte, head bool) (n int, ok bool) {
	if len(h.carry) == 0 {
		if i := bytes.Index(b, endOfHead); i >= 0 {
			return i + 4, i+4 <= maxHead && h.parseHead(b[:i+2], head)
		}
		h.carry = append(h.carry, b...)
		return len(b), len(b) <= maxHead
	}
	before := len(h.carry)
	from := max(0, before-3)
	h.carry = append(h.carry, b[:min(len(b), maxHead)]...)
	i := bytes.Index(h.carry[from:], endOfHead)
	if i < 0 {
		return len(b), len(h.carry) <= maxHead
	}
	end := from + i + 4
	ok = end <= maxHead && h.parseHead(h.carry[:end-2], head)
	h.carry = h.carry[:0]
	return end - before, ok
}

// parseHead reads a status line and header lines, each with its CRLF.
func (h *httpReply) parseHead(b []byte, head bool) bool {
	// HTTP/1.1 200
	if len(b) < 14 || string(b[:7]) != "HTTP/1." || b[8] != ' ' {
		return false
	}
	h.status = 0
	for _, c := range b[9:12] {
		if c < '0' || c > '9' {
			return false
		}
		h.status = h.status*10 + int(c-'0')
	}
	old := b[7] == '0' // HTTP/1.0, which closes if nothing else is said
	closes, keeps := false, false
	length, chunked := int64(-1), false
	b = b[bytes.IndexByte(b, '\n')+1:]
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 1 || b[i-1] != '\r' {
			return false
		}
		line := b[:i-1]
		b = b[i+1:]
		if len(line) == 0 {
			return false
		}
		// Only three fields matter here; their first letters rule the rest out.
		switch line[0] | 0x20 {
		case 'c':
			if v, found := field(line, "content-length"); found {
				n, ok := parseLength(v)
				if !ok || length >= 0 && length != n {
					return false
				}
				length = n
			} else if v, found := field(line, "connection"); found {
				closes, keeps = connectionOptions(v, closes, keeps)
			}
		case 't':
			if v, found := field(line, "transfer-encoding"); found {
				chunked = len(v) >= 7 && bytes.EqualFold(v[len(v)-7:], []byte("chunked"))
			}
		}
	}
	h.last = closes || old && !keeps // RFC 9112, section 9.3
	switch {
	case h.status/100 == 1 && h.status != 101: // interim: the reply is still to come
		h.status, h.phase = 0, httpHead
	case head || h.status == 204 || h.status == 304:
		h.phase, h.remaining = httpBody, 0
	case chunked:
		h.phase = httpChunkSize
	case length >= 0:
		h.phase, h.remaining = httpBody, length
	default:
		h.phase, h.last = httpUntilClose, true
	}
	return true
}

// field returns the value of a header line if it is of that name, which is in
// lower case.
func field(line []byte, name string) ([]byte, bool) {
	if len(line) <= len(name) || line[len(name)] != ':' {
		return nil, false
	}
	for i := range len(name) {
		c := line[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return nil, false
		}
	}
	return bytes.Trim(line[len(name)+1:], " \t"), true
}

// connectionOptions adds the options of one Connection field to those before.
func connectionOptions(v []byte, closes, keeps bool) (bool, bool) {
	for len(v) > 0 {
		option, rest, _ := bytes.Cut(v, []byte(","))
		v = rest
		switch option = bytes.Trim(option, " \t"); {
		case bytes.EqualFold(option, []byte("close")):
			closes = true
		case bytes.EqualFold(option, []byte("keep-alive")):
			keeps = true
		}
	}
	return closes, keeps
}

func parseLength(v []byte) (int64, bool) {
	if len(v) == 0 || len(v) > 15 {
		return 0, false
	}
	var n int64
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// takeLine returns a whole line without its line break, or keeps what there is
// of it.
func (h *httpReply) takeLine(b []byte) (line []byte, n int, whole, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		h.carry = append(h.carry, b...)
		return nil, len(b), false, len(h.carry) <= maxHead
	}
	line = b[:i]
	if len(h.carry) > 0 {
		h.carry = append(h.carry, line...)
		line = h.carry
	}
	return bytes.TrimSuffix(line, []byte("\r")), i + 1, true, len(line) <= maxHead
}

// chunkLine acts on a line between chunks; end means the reply is complete.
func (h *httpReply) chunkLine(line []byte) (end, ok bool) {
	switch h.phase {
	case httpChunkEnd:
		h.phase = httpChunkSize
		return false, len(line) == 0
	case httpTrailer:
		return len(line) == 0, true
	}
	size, _, _ := bytes.Cut(line, []byte(";"))
	size = bytes.TrimRight(size, " \t")
	if len(size) == 0 || len(size) > 15 {
		return false, false
	}
	h.remaining = 0
	for _, c := range size {
		var d byte
		switch {
		case '0' <= c && c <= '9':
			d = c - '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			d = c | 0x20 - 'a' + 10
		default:
			return false, false
		}
		h.remaining = h.remaining<<4 | int64(d)
	}
	if h.remaining == 0 {
		h.phase = httpTrailer
	} else {
		h.phase = httpChunkData
	}
	return false, true
}
