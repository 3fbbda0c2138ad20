package models

import (
	"bytes"
	"fmt"
	"time"
)

// DefaultLineMax is the longest line of [Line] in bytes, without its end,
// unless told otherwise.
const DefaultLineMax = 4 << 10

// Line is a protocol for people and for the simplest of clients: a command on
// a line gets its answer on a line.
//
//	ping           pong
//	time           the time of day, as RFC 3339 in UTC
//	status         server is running
//	anything else  unknown command: and its text
//
// A line ends with LF or CRLF, a reply with LF. Spaces and tabs around a
// command do not count and are not repeated in the reply; capitals do count,
// "PING" is unknown. An empty line is an unknown command whose text is empty.
//
// A line of more than Max bytes gets "error: line longer than Max bytes", and
// the connection is closed: the rest of that line cannot be told from a
// command.
type Line struct {
	Now Clock // nil means time.Now
	Max int   // longest line in bytes, its end not counted, at most 1 GiB; 0 means DefaultLineMax
}

func (l Line) Name() string {
	if l.max() == DefaultLineMax {
		return "line"
	}
	return fmt.Sprintf("line+max=%d", l.max())
}

func (l Line) max() int { return orDefault(l.Max, DefaultLineMax) }

// Limits asks for a line of Max bytes and its CRLF. The longest reply of our
// own making is the error about a line; the text of an unknown command is
// copied.
func (l Line) Limits() Limits { return Limits{Request: l.max() + 2, Reply: 64} }

func (l Line) Open() Session {
	now := l.Now
	if now == nil {
		now = time.Now
	}
	return &lineSession{now: now, max: l.max()}
}

type lineSession struct {
	now     Clock
	max     int
	scanned int // bytes at the start of the input that are known to hold no LF
}

func (s *lineSession) Step(in, out []byte) (int, []byte, Next) {
	// No more than a line of max bytes and CRLF is looked at, so that the
	// verdict on a long line does not depend on how much of it is buffered.
	window := in[:min(len(in), s.max+2)]
	i := bytes.IndexByte(window[s.scanned:], '\n')
	if i < 0 {
		if tooLong(window, s.max) {
			return s.refuse(out)
		}
		s.scanned = len(window)
		return 0, out, Next{Need: len(in) + 1}
	}
	end := s.scanned + i
	s.scanned = 0
	line := window[:end]
	if end > 0 && line[end-1] == '\r' {
		line = line[:end-1]
	}
	if len(line) > s.max {
		return s.refuse(out)
	}
	return end + 1, s.answer(line, out), Next{}
}

// tooLong tells whether a line whose beginning, without a LF, is in window
// must be longer than max. One CR after max bytes may still belong to its end.
func tooLong(window []byte, max int) bool {
	return len(window) > max+1 || len(window) == max+1 && window[max] != '\r'
}

func (s *lineSession) refuse(out []byte) (int, []byte, Next) {
	out = fmt.Appendf(out, "error: line longer than %d bytes\n", s.max)
	return s.max + 1, out, Next{Op: Close}
}

func (s *lineSession) answer(line, out []byte) []byte {
	line = bytes.Trim(line, " \t")
	switch string(line) {
	case "ping":
		return append(out, "pong\n"...)
	case "time":
		out = s.now().UTC().AppendFormat(out, time.RFC3339)
		return append(out, '\n')
	case "status":
		return append(out, "server is running\n"...)
	}
	out = append(out, "unknown command: "...)
	out = append(out, line...)
	return append(out, '\n')
}
