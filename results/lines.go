package results

import "fmt"

// lineSplitter cuts a stream into lines that are safe to show and to keep: valid
// UTF-8 without control characters, LF or CRLF removed, and bounded, however
// long the line is that a benchmark prints.
type lineSplitter struct {
	buf     []byte
	dropped int // bytes of this line beyond the bound
}

const longestLine = maxLine / 2

// feed takes the next bytes and calls emit with every line that they end.
func (s *lineSplitter) feed(chunk []byte, emit func(string)) {
	for len(chunk) > 0 {
		part, end := chunk, false
		for i, c := range chunk {
			if c == '\n' {
				part, end = chunk[:i], true
				break
			}
		}
		room := min(longestLine-len(s.buf), len(part))
		s.buf = append(s.buf, part[:room]...)
		s.dropped += len(part) - room
		if !end {
			return
		}
		s.end(emit)
		chunk = chunk[len(part)+1:]
	}
}

// flush emits the last line of a stream if no line end follows it.
func (s *lineSplitter) flush(emit func(string)) {
	if len(s.buf) > 0 {
		s.end(emit)
	}
}

// tail is the line that has not ended yet.
func (s *lineSplitter) tail() string { return cleanLine(string(s.buf)) }

func (s *lineSplitter) end(emit func(string)) {
	b := s.buf
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	line := cleanLine(string(b))
	if s.dropped > 0 {
		line = fmt.Sprintf("%s… (%d bytes more)", line, s.dropped)
	}
	line = cutLine(line, longestLine) // what is not UTF-8 has grown
	s.buf, s.dropped = s.buf[:0], 0
	emit(line)
}
