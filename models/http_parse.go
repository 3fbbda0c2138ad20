package models

import "bytes"

// Classes of bytes, from the grammars of RFC 9110 and RFC 3986.
const (
	classToken  = 1 << iota // method and field name
	classValue              // field value
	classTarget             // request target
	classHost               // host and port
)

var byteClass = func() (class [256]uint8) {
	mark := func(bits uint8, set string) {
		for i := range len(set) {
			class[set[i]] |= bits
		}
	}
	const alnum = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	mark(classToken, alnum+"!#$%&'*+-.^_`|~")
	mark(classHost, alnum+"-._~%!$&'()*+,;=:[]")
	for b := range 256 {
		if b > ' ' && b != 0x7f || b == ' ' || b == '\t' {
			class[b] |= classValue
		}
		if b > ' ' && b < 0x7f {
			class[b] |= classTarget
		}
	}
	return class
}()

// all tells whether every byte of b is of the class.
func all(b []byte, class uint8) bool {
	for _, c := range b {
		if byteClass[c]&class == 0 {
			return false
		}
	}
	return true
}

// readLine finds the line at pos, which with its CRLF must end before limit, and
// moves pos behind it. Where the limit is reached first, the verdict is over.
func (s *httpSession) readLine(in []byte, limit int, over verdict) ([]byte, verdict) {
	window := in[:min(len(in), limit)]
	i := bytes.IndexByte(window[s.scanned:], '\n')
	if i < 0 {
		s.scanned = len(window)
		if len(window) < limit {
			return nil, wait
		}
		s.pos = limit
		return nil, over
	}
	start, end := s.pos, s.scanned+i
	s.pos, s.scanned = end+1, end+1
	if end == start || in[end-1] != '\r' {
		return nil, 400
	}
	return in[start : end-1], onward
}

func (s *httpSession) readRequestLine(in []byte) verdict {
	line, v := s.readLine(in, s.limits.MaxLine+2, 414)
	if v != onward {
		return v
	}
	if len(line) == 0 {
		if s.skipped {
			return 400
		}
		return skip
	}
	s.phase = atFields
	return s.req.parseLine(line)
}

// parseLine takes a request line apart: method SP target SP version.
func (r *httpRequest) parseLine(line []byte) verdict {
	i := bytes.IndexByte(line, ' ')
	if i <= 0 || !all(line[:i], classToken) {
		return 400
	}
	switch string(line[:i]) {
	case "GET":
		r.method = methodGet
	case "HEAD":
		r.method = methodHead
	case "POST":
		r.method = methodPost
	case "OPTIONS":
		r.method = methodOptions
	case "CONNECT":
		r.method = methodConnect
	}
	line = line[i+1:]
	i = bytes.IndexByte(line, ' ')
	if i <= 0 || !all(line[:i], classTarget) {
		return 400
	}
	target, version := line[:i], line[i+1:]
	if len(version) != len("HTTP/1.1") || string(version[:5]) != "HTTP/" || version[6] != '.' ||
		!isDigit(version[5]) || !isDigit(version[7]) {
		return 400
	}
	if version[5] != '1' {
		return 505
	}
	if version[7] != '0' {
		r.minor = 1 // a later 1.x is understood as the latest that is known
	}
	return r.findRoute(target)
}

func (s *httpSession) readFields(in []byte) verdict {
	for {
		line, v := s.readLine(in, s.limits.MaxHeader, 431)
		if v != onward {
			return v
		}
		if len(line) == 0 {
			return s.endHead()
		}
		if v = s.req.parseField(line); v != onward {
			return v
		}
	}
}

// splitField takes a field line apart: name ":" OWS value OWS.
func splitField(line []byte) (name, value []byte, ok bool) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 || !all(line[:i], classToken) {
		return nil, nil, false
	}
	value = trimOWS(line[i+1:])
	return line[:i], value, all(value, classValue)
}

func (r *httpRequest) parseField(line []byte) verdict {
	name, value, ok := splitField(line)
	if !ok {
		return 400
	}
	switch {
	case is(name, "host"):
		r.hosts = min(r.hosts+1, 2)
		if !all(value, classHost) {
			return 400
		}
	case is(name, "content-length"):
		r.lengths = min(r.lengths+1, 2)
		return r.parseLength(value)
	case is(name, "transfer-encoding"):
		return r.parseCodings(value)
	case is(name, "connection"):
		for item, rest, more := cutItem(value); ; item, rest, more = cutItem(rest) {
			r.close = r.close || is(item, "close")
			r.keepAlive = r.keepAlive || is(item, "keep-alive")
			if !more {
				break
			}
		}
	case is(name, "expect"):
		if is(value, "100-continue") {
			r.expect = true
		} else {
			r.expectUnknown = true
		}
	}
	return onward
}

// parseLength takes digits only; a number beyond every limit stays beyond.
func (r *httpRequest) parseLength(value []byte) verdict {
	if len(value) == 0 {
		return 400
	}
	var n int64
	for _, c := range value {
		if !isDigit(c) {
			return 400
		}
		n = min(n*10+int64(c-'0'), 1<<30)
	}
	r.length = int(n)
	return onward
}

// parseCodings reads the list of a Transfer-Encoding. Chunked must come last,
// and once; else nobody knows where the body ends.
func (r *httpRequest) parseCodings(value []byte) verdict {
	for item, rest, more := cutItem(value); ; item, rest, more = cutItem(rest) {
		if len(item) == 0 || r.chunked {
			return 400
		}
		if is(item, "chunked") {
			r.chunked = true
		} else {
			r.otherCoding = true
		}
		if !more {
			return onward
		}
	}
}

// endHead decides, at the empty line, what follows the head.
func (s *httpSession) endHead() verdict {
	r := &s.req
	r.head = s.pos
	coded := r.chunked || r.otherCoding
	switch {
	case r.hosts > 1 || r.hosts == 0 && r.minor > 0:
		return 400
	case r.lengths > 1 || r.lengths == 1 && coded:
		return 400
	case coded && r.minor == 0:
		return 400 // HTTP/1.0 knows no codings, so somebody on the path may not
	case r.otherCoding:
		return 501
	case r.length > s.limits.MaxBody:
		return 413
	case r.expectUnknown:
		return 417
	case r.chunked:
		s.phase = atChunkSize
	case r.length > 0:
		s.phase = atBody
	default:
		return complete
	}
	if r.expect && r.minor > 0 {
		return interim
	}
	return onward
}

func (s *httpSession) readBody(in []byte) verdict {
	end := s.req.head + s.req.length
	if len(in) < end {
		return wait
	}
	s.pos = end
	return complete
}

// is compares a token to a lower-case name without regard to case. A byte
// that differs from a letter of the name in the case bit only is that letter;
// for "-" and digits it would be a control character, which no token has.
func is(token []byte, name string) bool {
	if len(token) != len(name) {
		return false
	}
	for i := range len(name) {
		if token[i]|0x20 != name[i] {
			return false
		}
	}
	return true
}

// cutItem cuts the first item off a comma-separated list.
func cutItem(list []byte) (item, rest []byte, more bool) {
	item, rest, more = bytes.Cut(list, []byte{','})
	return trimOWS(item), rest, more
}

func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
