package modeltest

import (
	"math/rand/v2"
	"time"
)

var sessionRules = []rule{
	{
		name:  "session-calls",
		doc:   "Step gets at least Need bytes, never none, in order and without a gap, one call at a time, again without reading while it gets on, and not after Close.",
		check: checkSessionCalls,
	},
	{
		name:  "session-need",
		doc:   "A session that asks for more than ReadBuffer gets it, and gets it as soon as it is there.",
		check: checkSessionNeed,
	},
	{
		name:  "session-reply",
		doc:   "The reply is the slice that the step returned, also where it was reallocated.",
		check: checkSessionReply,
	},
	{
		name:  "session-work",
		doc:   "Work gets the input of the step that blocked; neither that nor the output changes while it runs, whatever arrives meanwhile, and other connections go on.",
		check: checkSessionWork,
	},
}

func checkSessionCalls(p *probe) {
	for i, stepwise := range []bool{false, true} {
		c := p.config(p.inspect(messages{maxBody: 4 << 10, maxReply: 4 << 10, stepwise: stepwise}))
		c.ReadBuffer = 512
		s := p.start(c)

		r := rand.New(rand.NewPCG(uint64(i), 7))
		var requests, replies []byte
		for turn := range 400 {
			size := r.IntN(100)
			if turn%20 == 0 {
				size = r.IntN(4 << 10)
			}
			op := opEcho
			if turn%7 == 0 {
				op = opWork
			}
			req, reply := request(op, pattern(uint64(turn), size))
			requests, replies = append(requests, req...), append(replies, reply...)
		}
		p.dial(s).exchange(requests, randomPieces(r, len(requests), 3<<10), replies)
		p.dial(s).exchange(requests, nil, replies)

		// A stream that ends within a request, and one that goes on after Close.
		cut := p.dial(s)
		cut.exchange(requests, nil, replies)
		cut.send(requests[:3])
		cut.halfClose()
		cut.expectEnd()
		last := p.dial(s)
		req, reply := requestMade(opLast, 10)
		last.send(append(req, requests...))
		last.expect(reply)
		last.expectGone()
		_ = last.Close()

		// Nothing at all.
		empty := p.dial(s)
		empty.halfClose()
		empty.expectEnd()
	}
}

func checkSessionNeed(p *probe) {
	for _, readBuffer := range []int{16, 4 << 10} {
		body := 10*readBuffer + 3
		c := p.config(p.inspect(messages{maxBody: body}))
		c.ReadBuffer = readBuffer
		s := p.start(c)
		peer := p.dial(s)
		// Around the sizes where a buffer is full, no byte more than needed is
		// sent: a model that waits for more never answers.
		for _, total := range []int{
			headerSize + 1, readBuffer - 1, readBuffer, readBuffer + 1,
			2 * readBuffer, 2*readBuffer + 1, 8*readBuffer - 1, 8 * readBuffer, headerSize + 1 + body,
		} {
			req, reply := request(opEcho, pattern(uint64(total), total-headerSize-1))
			peer.ask(req, reply)
		}
	}
}

func checkSessionReply(p *probe) {
	var requests, replies []byte
	r := rand.New(rand.NewPCG(8, 8))
	for turn := range 200 {
		op := []byte{opEcho, opEcho, opWork}[turn%3]
		req, reply := request(op, pattern(uint64(turn), r.IntN(2<<10)))
		requests, replies = append(requests, req...), append(replies, reply...)
	}
	peer := p.dial(p.start(p.config(messages{maxBody: 2 << 10, realloc: true})))
	peer.exchange(requests, nil, replies)
	peer.exchange(requests, randomPieces(r, len(requests), 4<<10), replies)
}

func checkSessionWork(p *probe) {
	g := p.newGate()
	p.cleanup(g.release)
	c := p.config(p.inspect(messages{maxBody: 1 << 10, gate: g}))
	c.ReadBuffer = 512
	s := p.start(c)
	peer := p.dial(s)

	// A request whose reply is still pending when the next one blocks, so that
	// the output is not empty; then, while it blocks, more input than fits.
	first, firstReply := request(opEcho, pattern(1, 100))
	blocking, blockingReply := request(opWork, pattern(2, 100))
	peer.send(append(first, blocking...))
	p.awaitWork(g, 1)
	later, laterReply := request(opEcho, pattern(3, 1000))
	peer.send(append(append(later, later...), later...))

	other := p.dial(s)
	req, reply := request(opEcho, []byte("others go on"))
	other.ask(req, reply)
	other.ask(req, reply)

	// The input that came meanwhile has to have had the time to do harm.
	if !other.silent(20 * time.Millisecond) {
		p.fatalf("a byte came that nobody asked for")
	}
	g.release()
	for _, due := range [][]byte{firstReply, blockingReply, laterReply, laterReply, laterReply} {
		peer.expect(due)
	}
}
