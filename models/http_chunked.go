package models

import "bytes"

// Chunked bodies (RFC 9112, section 7.1) are read twice: first piece by piece as
// they come, which checks them and adds up their length, then, when whole, by
// appendChunks, which can rely on what was checked.

func (s *httpSession) readChunkSize(in []byte) verdict {
	limit, over := s.pos+maxChunkLine, verdict(400)
	if most := s.req.head + s.limits.maxChunked(); most <= limit {
		limit, over = most, 413
	}
	line, v := s.readLine(in, limit, over)
	if v != onward {
		return v
	}
	size, ok := parseChunkSize(line)
	switch {
	case !ok:
		return 400
	case size > s.limits.MaxBody-s.req.length:
		return 413
	case s.pos+size+2 > s.req.head+s.limits.maxChunked():
		return 413
	case size == 0:
		s.phase, s.req.trailer = atTrailer, s.pos
	default:
		s.phase = atChunkEnd
		s.req.length += size
		s.pos += size
	}
	return onward
}

// parseChunkSize reads hexadecimal digits and checks what may follow them. A
// size beyond every limit stays beyond.
func parseChunkSize(line []byte) (size int, ok bool) {
	i := 0
	for ; i < len(line); i++ {
		d := hexDigit(line[i])
		if d < 0 {
			break
		}
		if size < 1<<26 {
			size = size<<4 | d
		} else {
			size = 1 << 30
		}
	}
	if i == 0 {
		return 0, false
	}
	if i == len(line) {
		return size, true
	}
	extension := trimOWS(line[i:])
	return size, len(extension) > 0 && extension[0] == ';' && all(extension, classValue)
}

func hexDigit(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// readChunkEnd expects the CRLF after a chunk's data.
func (s *httpSession) readChunkEnd(in []byte) verdict {
	if len(in) < s.pos+2 {
		return wait
	}
	crlf := in[s.pos] == '\r' && in[s.pos+1] == '\n'
	s.pos += 2
	s.scanned = s.pos
	s.phase = atChunkSize
	if !crlf {
		return 400
	}
	return onward
}

// readTrailer checks the fields after the last chunk. They are dropped: a
// trailer must not change how a request is framed or routed.
func (s *httpSession) readTrailer(in []byte) verdict {
	for {
		line, v := s.readLine(in, s.req.trailer+s.limits.MaxHeader, 431)
		if v != onward {
			return v
		}
		if len(line) == 0 {
			return complete
		}
		if _, _, ok := splitField(line); !ok {
			return 400
		}
	}
}

// appendChunks appends the data of checked chunks to out.
func appendChunks(out, chunks []byte) []byte {
	for {
		i := bytes.IndexByte(chunks, '\n')
		size, _ := parseChunkSize(chunks[:i-1])
		if size == 0 {
			return out
		}
		chunks = chunks[i+1:]
		out = append(out, chunks[:size]...)
		chunks = chunks[size+2:]
	}
}
