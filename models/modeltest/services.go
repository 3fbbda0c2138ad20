package modeltest

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"netbench/models"
)

// echo answers every byte with itself.
type echo struct{}

func (echo) Name() string          { return "echo" }
func (echo) Limits() models.Limits { return models.Limits{Request: 1} }
func (echo) Open() models.Session  { return echo{} }

func (echo) Step(in, out []byte) (int, []byte, models.Next) {
	return len(in), append(out, in...), models.Next{}
}

// The operations of messages.
const (
	opEcho byte = 'e' // answer with the body
	opMake byte = 'm' // answer with as many bytes as the body's number says
	opWork byte = 'w' // as opEcho, but in Work, once the gate is open
	opLast byte = 'x' // as opMake, then close
	opBye  byte = 'y' // as opLast, but in Work
)

// headerSize is the length of the number that precedes requests and replies.
const headerSize = 4

// messages is a service with message boundaries that a rule steers by its
// requests: a big-endian number of 4 bytes, how many follow; one byte, the
// operation; the body. A reply is such a number and so many bytes.
type messages struct {
	maxBody  int // largest body of a request
	maxReply int // largest reply that a request may ask for

	stepwise bool // ask for one byte more each time instead of the whole message
	realloc  bool // return a new slice from each step instead of appending in place

	gate    *gate    // what opWork waits for; nil for nothing
	journal *journal // what sessions note; nil for nothing
}

// journal is what the sessions of one service have done.
type journal struct {
	opened atomic.Int64 // sessions
	seen   atomic.Int64 // bytes of the stream that the last session to step knows of
	made   atomic.Int64 // bytes of replies, all sessions
	answer atomic.Int64 // requests answered, all sessions
}

func (m messages) Name() string { return "messages" }

func (m messages) Limits() models.Limits {
	return models.Limits{Request: headerSize + 1 + max(m.maxBody, 4), Reply: headerSize + max(m.maxReply, m.maxBody)}
}

func (m messages) Open() models.Session {
	if m.journal == nil {
		m.journal = new(journal)
	}
	m.journal.opened.Add(1)
	return &conversation{messages: m}
}

// conversation is a session of messages. Its fields are plain on purpose: the
// race detector sees a model that moves a session without a happens-before edge.
type conversation struct {
	messages
	consumed int
	turn     int
}

func (c *conversation) Step(in, out []byte) (int, []byte, models.Next) {
	return c.step(in, out, false)
}

func (c *conversation) Work(in, out []byte) (int, []byte, models.Next) {
	return c.step(in, out, true)
}

func (c *conversation) step(in, out []byte, mayBlock bool) (int, []byte, models.Next) {
	c.journal.seen.Store(int64(c.consumed + len(in)))
	need := headerSize
	if len(in) >= headerSize {
		n := binary.BigEndian.Uint32(in)
		if n < 1 || int64(n) > int64(c.Limits().Request-headerSize) {
			return 0, out, models.Next{Op: models.Close}
		}
		need = headerSize + int(n)
	}
	if len(in) < need {
		if c.stepwise {
			need = len(in) + 1
		}
		return 0, out, models.Next{Need: need}
	}
	op, body := in[headerSize], in[headerSize+1:need]
	next := models.Next{}
	switch op {
	case opWork, opBye:
		if !mayBlock {
			return 0, out, models.Next{Op: models.Block}
		}
		c.work()
	}
	if c.realloc {
		out = append(make([]byte, 0, len(out)+1), out...)
	}
	before := len(out)
	switch op {
	case opEcho, opWork:
		out = appendReply(out, body)
	case opMake, opLast, opBye:
		if len(body) != 4 || int64(binary.BigEndian.Uint32(body)) > int64(c.maxReply) {
			return 0, out, models.Next{Op: models.Close}
		}
		out = appendMade(out, int(binary.BigEndian.Uint32(body)))
		if op != opMake {
			next.Op = models.Close
		}
	default:
		return 0, out, models.Next{Op: models.Close}
	}
	c.journal.made.Add(int64(len(out) - before))
	c.journal.answer.Add(1)
	c.consumed += need
	return need, out, next
}

// work blocks as the rule wants it to. Without a gate every second call takes
// longer than the one after it, so that one overtakes the other where both run
// at once.
func (c *conversation) work() {
	if c.gate != nil {
		c.gate.pass()
		return
	}
	if c.turn++; c.turn%2 == 1 {
		time.Sleep(200 * time.Microsecond)
	}
}

func appendReply(out, body []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	return append(out, body...)
}

// appendMade appends a reply of n bytes that nobody sent.
func appendMade(out []byte, n int) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(n))
	for i := range n {
		out = append(out, byte(i)^byte(i>>8)^byte(i>>16))
	}
	return out
}

// request returns a request and the reply that is due.
func request(op byte, body []byte) (request, reply []byte) {
	request = binary.BigEndian.AppendUint32(nil, uint32(1+len(body)))
	request = append(append(request, op), body...)
	return request, appendReply(nil, body)
}

// requestMade returns a request for n bytes and the reply that is due.
func requestMade(op byte, n int) (req, reply []byte) {
	req, _ = request(op, binary.BigEndian.AppendUint32(nil, uint32(n)))
	return req, appendMade(nil, n)
}

// gate holds up Work until a rule opens it. It opens by itself after a while,
// so that a failed rule does not leave anybody waiting.
type gate struct {
	waiting atomic.Int64
	open    chan struct{}
	limit   time.Duration
}

func (p *probe) newGate() *gate {
	return &gate{open: make(chan struct{}), limit: 2 * p.patience}
}

func (g *gate) pass() {
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	limit := time.NewTimer(g.limit)
	defer limit.Stop()
	select {
	case <-g.open:
	case <-limit.C:
	}
}

// release opens the gate; it may be called again.
func (g *gate) release() {
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

// awaitWork waits until n requests are held up.
func (p *probe) awaitWork(g *gate, n int64) {
	p.Helper()
	if !p.await(func() bool { return g.waiting.Load() == n }) {
		p.fatalf("%d calls of Work are in progress, want %d", g.waiting.Load(), n)
	}
}
