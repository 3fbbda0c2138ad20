package vectored

import (
	"net"
	"strconv"
	"sync"
)

// content is the longest body. It is shared and never written to.
var content = sync.OnceValue(func() []byte {
	b := make([]byte, MaxBody)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
})

const (
	beforeLength = "HTTP/1.1 200 OK\r\nServer: netbench\r\nContent-Type: application/octet-stream\r\nContent-Length: "
	afterLength  = "\r\n\r\n"
)

// HeaderLen is the length of the header of a reply with a body of size bytes.
func HeaderLen(size int) int {
	return len(beforeLength) + len(strconv.Itoa(size)) + len(afterLength)
}

// reply is a reply in its parts. Its buffers are used again for the next.
type reply struct {
	header []byte
	parts  [][]byte // the header first
}

// fill makes the reply to a request.
func (p *reply) fill(r request) {
	p.header = append(p.header[:0], beforeLength...)
	p.header = strconv.AppendInt(p.header, int64(r.size), 10)
	p.header = append(p.header, afterLength...)
	p.parts = append(p.parts[:0], p.header)
	body := content()[:r.size]
	for left := min(r.parts, max(1, r.size)); left > 0; left-- { // no part is empty
		n := len(body) / left
		if n == 0 {
			break
		}
		p.parts = append(p.parts, body[:n])
		body = body[n:]
	}
}

// sender sends replies in one of the ways. Its memory belongs to one connection.
type sender struct {
	way  Way
	to   *net.TCPConn
	cork *cork // nil if there is none

	joined []byte
	list   [][]byte
	rest   net.Buffers
}

// send sends the parts in order, and returns how many bytes were taken.
func (s *sender) send(parts [][]byte) (n int64, err error) {
	if s.cork != nil {
		if err := s.cork.set(true); err != nil {
			return 0, err
		}
	}
	switch s.way {
	case Join:
		s.joined = s.joined[:0]
		for _, p := range parts {
			s.joined = append(s.joined, p...)
		}
		var w int
		w, err = s.to.Write(s.joined)
		n = int64(w)
	case Writes:
		for _, p := range parts {
			var w int
			w, err = s.to.Write(p)
			n += int64(w)
			if err != nil {
				break
			}
		}
	case Writev:
		// WriteTo shortens the list from the front and clears what it drops, so it
		// gets a list of its own; rest is a field so that it need not be allocated.
		s.list = append(s.list[:0], parts...)
		s.rest = s.list
		n, err = s.rest.WriteTo(s.to)
	}
	if err == nil && s.cork != nil {
		err = s.cork.set(false)
	}
	return n, err
}
