package models

import (
	"encoding/binary"
	"fmt"
)

// DefaultFrameMax is the longest payload of [Frame] in bytes, unless told
// otherwise.
const DefaultFrameMax = 1 << 20

// frameHeader is the size of the length that precedes each payload.
const frameHeader = 4

// Frame echoes messages: a payload's length as four bytes, most significant
// first, then the payload. Nothing of a frame comes back before all of it has
// arrived, so a client that knows what it sent can tell where each reply ends
// and verify every byte. A length of zero is a valid frame.
//
// A length above Max closes the connection without a reply, because what
// follows such a header cannot be trusted to be a frame.
type Frame struct {
	Max int // longest payload in bytes, at most 1 GiB; 0 means DefaultFrameMax
}

func (f Frame) Name() string {
	if f.max() == DefaultFrameMax {
		return "frame"
	}
	return fmt.Sprintf("frame+max=%d", f.max())
}

func (f Frame) max() int { return orDefault(f.Max, DefaultFrameMax) }

func (f Frame) Limits() Limits { return Limits{Request: frameHeader + f.max()} }

func (f Frame) Open() Session { return frameSession{max: uint32(f.max())} }

type frameSession struct{ max uint32 }

func (s frameSession) Step(in, out []byte) (int, []byte, Next) {
	if len(in) < frameHeader {
		return 0, out, Next{Need: frameHeader}
	}
	n := binary.BigEndian.Uint32(in)
	if n > s.max {
		return frameHeader, out, Next{Op: Close}
	}
	whole := frameHeader + int(n)
	if len(in) < whole {
		return 0, out, Next{Need: whole}
	}
	return whole, append(out, in[:whole]...), Next{Need: frameHeader}
}

// orDefault is the limit that a field asks for, where zero and less mean that
// it does not ask, and the largest that fits every platform's int is 1 GiB.
func orDefault(asked, value int) int {
	if asked <= 0 {
		return value
	}
	return min(asked, 1<<30)
}
