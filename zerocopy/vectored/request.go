package vectored

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
)

// maxHead is the longest head of a request, in bytes.
const maxHead = 8 << 10

// request is what is asked for.
type request struct {
	size, parts int
	last        bool // the client wants the connection closed afterwards
}

// refusal is a request that is answered by a status, after which the connection ends.
type refusal struct {
	status int
	why    string
}

func (r refusal) Error() string { return http.StatusText(r.status) + ": " + r.why }

// errPartial says that the head of the request is not whole yet.
var errPartial = errors.New("vectored: the request is not whole")

var (
	lineBreak = []byte("\r\n")
	endOfHead = []byte("\r\n\r\n")
)

// parse reads the request that in begins with. n is its length. The error is
// errPartial or a refusal.
func parse(in []byte) (r request, n int, err error) {
	end := bytes.Index(in[:min(len(in), maxHead)], endOfHead)
	if end < 0 {
		if len(in) >= maxHead {
			return r, 0, refusal{http.StatusRequestHeaderFieldsTooLarge, "the head is longer than " + strconv.Itoa(maxHead) + " bytes"}
		}
		return r, 0, errPartial
	}
	line, fields, _ := bytes.Cut(in[:end+2], lineBreak)
	if r, err = parseLine(line); err != nil {
		return r, 0, err
	}
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, lineBreak)
		name, value, ok := bytes.Cut(field, []byte(":"))
		if !ok || len(name) == 0 {
			return r, 0, refusal{http.StatusBadRequest, "a line of the head is no field"}
		}
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")), bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return r, 0, refusal{http.StatusBadRequest, "a request with a body is not understood"}
		case bytes.EqualFold(name, []byte("Connection")):
			r.last = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
		}
	}
	return r, end + len(endOfHead), nil
}

// parseLine reads a request line.
func parseLine(line []byte) (request, error) {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	path, version, ok := bytes.Cut(rest, []byte(" "))
	switch {
	case !ok || string(version) != "HTTP/1.1":
		return request{}, refusal{http.StatusBadRequest, "the request line is not one of HTTP/1.1"}
	case string(method) != http.MethodGet:
		return request{}, refusal{http.StatusMethodNotAllowed, "only GET is understood"}
	}
	numbers, ok := bytes.CutPrefix(path, []byte("/bytes/"))
	size, parts, several := bytes.Cut(numbers, []byte("/"))
	r := request{parts: 1}
	if ok {
		r.size, ok = number(size, MaxBody)
	}
	if ok && several {
		r.parts, ok = number(parts, MaxParts)
	}
	if !ok || r.parts == 0 {
		return request{}, refusal{http.StatusNotFound, "there is only /bytes/N and /bytes/N/P"}
	}
	return r, nil
}

// number reads digits up to a limit. It allocates nothing.
func number(digits []byte, limit int) (n int, ok bool) {
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		if n = 10*n + int(d-'0'); n > limit {
			return 0, false
		}
	}
	return n, len(digits) > 0
}
