package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// material is what all connections of a run send and expect, shared and never
// written to while a run lasts. A connection keeps only its positions in it.
//
// Requests, laid end to end, form a cycle of cycle bytes, of which tx holds one
// turn and then the beginning of the next, so that any chunk bytes from any
// position are contiguous. Replies form a cycle of their own, but for HTTP, whose
// replies are parsed.
type material struct {
	proto Protocol

	tx      []byte
	txCycle int
	txUnit  int // bytes of one request
	chunk   int // most bytes of one write

	rx      []byte
	rxCycle int
	rxUnit  int // bytes of one reply

	head bool // HTTP HEAD: replies have no body
	seed uint64
}

// flow is the position of one connection in the material.
type flow struct {
	tx   uint32 // position of the next byte to send
	rx   uint32 // position of the next byte expected
	part uint32 // bytes of the current reply that have come
	http *httpReply
}

// outcome is what a piece of input brought about.
type outcome uint8

const (
	more     outcome = iota // the reply goes on
	done                    // a reply is complete
	doneBad                 // a reply is complete and reports failure
	doneLast                // a reply is complete, and the server will close
	doneLastBad
	mismatch // a byte is wrong
)

const (
	// patternLen is prime, so that no request size divides it and a reply that
	// is repeated, lost or exchanged meets other bytes than it should.
	patternLen = 65521
	maxChunk   = 1 << 20
)

func newMaterial(p *Plan) *material {
	m := &material{proto: p.Targets[0].Protocol, seed: p.Seed}
	switch m.proto {
	case EchoProtocol:
		m.txUnit, m.txCycle = p.Size, patternLen
		m.tx = randomBytes(patternLen, p.Seed)
	case FrameProtocol:
		frames := patternLen/(p.Size+4) + 2
		payload := randomBytes(frames*p.Size, p.Seed)
		for i := range frames {
			m.tx = binary.BigEndian.AppendUint32(m.tx, uint32(p.Size))
			m.tx = append(m.tx, payload[i*p.Size:(i+1)*p.Size]...)
		}
		m.txUnit, m.txCycle = p.Size+4, len(m.tx)
	case LineProtocol:
		m.tx = []byte("ping\n")
		m.txUnit, m.txCycle = len(m.tx), len(m.tx)
		m.rx = []byte("pong\n")
		m.rxUnit, m.rxCycle = len(m.rx), len(m.rx)
	case HTTPProtocol:
		m.tx = httpRequest(p, p.Targets[0])
		m.txUnit, m.txCycle = len(m.tx), len(m.tx)
		m.head = p.Method == http.MethodHead
	}
	if m.rx == nil && m.proto != HTTPProtocol {
		m.rx, m.rxUnit, m.rxCycle = m.tx, m.txUnit, m.txCycle
	}
	m.chunk = min(m.txUnit*p.Pipeline, maxChunk)
	turn := m.tx[:m.txCycle:m.txCycle]
	for len(m.tx) < m.txCycle+m.chunk {
		m.tx = append(m.tx, turn[:min(m.txCycle, m.txCycle+m.chunk-len(m.tx))]...)
	}
	if m.proto == EchoProtocol || m.proto == FrameProtocol {
		m.rx = m.tx
	}
	return m
}

func randomBytes(n int, seed uint64) []byte {
	b := make([]byte, (n+7)/8*8)
	rng := rand.New(rand.NewPCG(seed, 0x6e6574)) // any constant; the stream must differ from the arrivals'
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], rng.Uint64())
	}
	return b[:n]
}

func httpRequest(p *Plan, t Target) []byte {
	var b bytes.Buffer
	host := t.Host
	if h := p.Header.Get("Host"); h != "" {
		host = h
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", p.Method, t.Path, host)
	names := make([]string, 0, len(p.Header))
	for k := range p.Header {
		if !strings.EqualFold(k, "Host") && !strings.EqualFold(k, "Content-Length") {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range names {
		for _, v := range p.Header[k] {
			fmt.Fprintf(&b, "%s: %s\r\n", k, v)
		}
	}
	if len(p.Body) > 0 || p.Method == http.MethodPost || p.Method == http.MethodPut || p.Method == http.MethodPatch {
		b.WriteString("Content-Length: " + strconv.Itoa(len(p.Body)) + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(p.Body)
	return b.Bytes()
}

// begin places a fresh connection, the n-th of the run, at the start of a
// request of its own.
func (m *material) begin(f *flow, n int) {
	var at uint32
	switch m.proto {
	case EchoProtocol:
		at = uint32((uint64(n)*40503 + m.seed) % uint64(m.txCycle))
	case FrameProtocol:
		at = uint32(n % (m.txCycle / m.txUnit) * m.txUnit)
	}
	f.tx, f.rx, f.part = at, at, 0
	if m.proto == HTTPProtocol {
		if f.http == nil {
			f.http = new(httpReply)
		}
		f.http.reset()
	}
}

// next returns up to n bytes to send, at most chunk; sent moves past them.
func (m *material) next(f *flow, n int64) []byte {
	return m.tx[f.tx : int64(f.tx)+min(n, int64(m.chunk))]
}

func (m *material) sent(f *flow, n int) {
	f.tx += uint32(n)
	for f.tx >= uint32(m.txCycle) {
		f.tx -= uint32(m.txCycle)
	}
}

// receive takes input up to the end of one reply at most, and returns how many
// bytes it took.
func (m *material) receive(f *flow, b []byte) (int, outcome) {
	if f.http != nil {
		return f.http.receive(b, m.head)
	}
	total := 0
	for len(b) > 0 {
		n := min(len(b), m.rxUnit-int(f.part), m.rxCycle-int(f.rx))
		if !bytes.Equal(b[:n], m.rx[f.rx:int(f.rx)+n]) {
			return total, mismatch
		}
		b = b[n:]
		total += n
		f.part += uint32(n)
		if f.rx += uint32(n); int(f.rx) == m.rxCycle {
			f.rx = 0
		}
		if int(f.part) == m.rxUnit {
			f.part = 0
			return total, done
		}
	}
	return total, more
}

// endOfStream tells whether the end of the stream completes a reply, as it does
// where an HTTP reply has no length.
func (m *material) endOfStream(f *flow) outcome {
	if f.http != nil && f.http.phase == httpUntilClose {
		bad := f.http.status >= 400
		f.http.reset()
		if bad {
			return doneLastBad
		}
		return doneLast
	}
	return more
}
