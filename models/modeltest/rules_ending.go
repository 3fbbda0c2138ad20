package modeltest

import (
	"errors"
	"time"

	"netbench/models"
)

var endingRules = []rule{
	{
		name:     "half-close",
		doc:      "A peer that ends its own direction gets the replies to all whole requests, then the end of the stream.",
		check:    checkHalfClose,
		networks: true,
	},
	{
		name:     "half-close-pending",
		doc:      "That holds as well where megabytes of replies are pending when it happens.",
		check:    checkHalfClosePending,
		networks: true,
	},
	{
		name:  "reset",
		doc:   "Peers that reset their connections in the middle of a request, of a reply or of Work do no harm to the server and to others.",
		check: checkReset,
		tcp:   true,
	},
	{
		name:     "close-op",
		doc:      "When a session closes, its peer reads the whole reply, even while more input is on its way; nothing after is answered.",
		check:    checkCloseOp,
		networks: true,
	},
	{
		name:  "close-op-silent",
		doc:   "A peer that never closes its end cannot hold for good a connection that the session has closed.",
		check: checkCloseOpSilent,
	},
}

func checkHalfClose(p *probe) {
	s := p.start(p.config(messages{maxBody: 1 << 10}))
	var requests, replies []byte
	for i := range 100 {
		op := []byte{opEcho, opWork}[i%10/9]
		req, reply := request(op, pattern(uint64(i), i*7))
		requests, replies = append(requests, req...), append(replies, reply...)
	}
	for _, part := range []int{0, 1, headerSize, headerSize + 5} {
		// An incomplete request at the end is not answered.
		incomplete, _ := request(opEcho, pattern(1, 100))
		c := p.dial(s)
		c.send(append(requests, incomplete[:part]...))
		c.halfClose()
		c.expect(replies)
		c.expectEnd()
	}
	c := p.dial(s)
	c.halfClose()
	c.expectEnd()
	s.awaitActive(0)
	if n := s.Stats().ConnErrors; n != 0 {
		p.Errorf("Stats.ConnErrors is %d after connections that all ended properly", n)
	}
}

func checkHalfClosePending(p *probe) {
	const each = 256 << 10
	c := p.narrowed(messages{maxReply: each})
	c.IdleTimeout = models.NoLimit
	s := p.start(c)
	slow := p.dial(s)
	slow.narrow(window)
	var all, replies []byte
	for range 16 {
		req, reply := requestMade(opMake, each)
		all, replies = append(all, req...), append(replies, reply...)
	}
	slow.send(all)
	slow.halfClose()
	p.settled(aWhile/3, func() uint64 { return s.Stats().BytesOut })
	slow.expect(replies)
	slow.expectEnd()
	s.awaitActive(0)
}

func checkReset(p *probe) {
	const each, large = 8, 1 << 20
	g, j := p.newGate(), new(journal)
	p.cleanup(g.release)
	c := p.narrowed(messages{maxBody: 1 << 10, maxReply: large, gate: g, journal: j})
	c.IdleTimeout = models.NoLimit
	s := p.start(c)
	steady := p.dial(s)
	req, reply := request(opEcho, []byte("steady"))
	steady.ask(req, reply)

	incomplete, _ := request(opEcho, pattern(1, 100))
	inRequest := p.dialAll(s, each)
	for _, c := range inRequest {
		c.ask(req, reply)
		c.send(incomplete[:50])
	}
	toMake, _ := requestMade(opMake, large)
	inReply := p.dialAll(s, each)
	for _, c := range inReply {
		c.narrow(window)
		c.send(toMake)
	}
	inWork := p.dialAll(s, each)
	blocking, _ := request(opWork, []byte("work"))
	for _, c := range inWork {
		c.send(blocking)
	}
	p.awaitWork(g, each)
	s.awaitActive(1 + 3*each)
	if !p.await(func() bool { return j.answer.Load() == 1+2*each }) {
		p.fatalf("%d requests were answered, want %d", j.answer.Load(), 1+2*each)
	}
	for _, peers := range [][]*peer{inRequest, inReply, inWork} {
		for _, c := range peers {
			c.reset()
		}
	}
	steady.ask(req, reply)
	g.release()
	s.awaitActive(1)
	steady.ask(req, reply)
	p.dial(s).ask(req, reply)

	// Whoever was read from or written to has seen the error. The reply of Work
	// may have got away before.
	if n := s.Stats().ConnErrors; n < 2*each || n > 3*each {
		p.Errorf("Stats.ConnErrors is %d after %d resets, want %d to %d", n, 3*each, 2*each, 3*each)
	}
}

func checkCloseOp(p *probe) {
	for _, op := range []byte{opLast, opBye} {
		// A peer that only waits.
		s := p.start(p.config(messages{maxBody: 100, maxReply: 100}))
		c := p.dial(s)
		req, reply := requestMade(op, 100)
		before, beforeReply := request(opEcho, []byte("before"))
		c.send(append(before, req...))
		c.expect(append(beforeReply, reply...))
		c.expectEnd()
		_ = c.Close()
		s.awaitActive(0)

		// How long a server waits for a peer that goes on sending is its own
		// choice, so the peer has to be quick.
		p.keepingPace(500*time.Millisecond, func(time.Duration, func()) error { return p.closeWhileSending(op) })
	}
}

// closeWhileSending has a session close while its peer has sent more, which the
// server has not read, and goes on sending while the reply is under way. A
// server that closes now makes its kernel send a reset, which takes the rest of
// the reply along.
func (p *probe) closeWhileSending(op byte) error {
	// A reply that the kernel of the server takes in, but not that of the peer.
	const large = 6 * window
	conf := p.narrowed(messages{maxBody: 64 << 10, maxReply: large})
	conf.SendBuffer = 16 * window
	s := p.start(conf)
	c := p.dial(s)
	c.narrow(window)
	req, reply := requestMade(op, large)
	more, _ := request(opEcho, pattern(1, 32<<10))
	if err := errors.Join(c.trySend(append(req, more...)), c.tryExpect(reply[:1000])); err != nil {
		return err
	}
	p.settled(aWhile/5, func() uint64 { return s.Stats().BytesOut })
	for range 20 {
		// An error would be the server's right, once all was sent.
		_ = c.trySend(more[:500])
		time.Sleep(time.Millisecond)
	}
	if err := c.tryExpect(reply[1000:]); err != nil {
		return err
	}
	c.expectGone()
	_ = c.Close()
	s.awaitActive(0)
	return nil
}

func checkCloseOpSilent(p *probe) {
	req, reply := requestMade(opLast, 100)
	p.keepingPace(200*time.Millisecond, func(idle time.Duration, _ func()) error {
		c := p.config(messages{maxReply: 100})
		c.IdleTimeout = idle
		s := p.start(c)
		quiet := p.dial(s)
		if err := errors.Join(quiet.trySend(req), quiet.tryExpect(reply)); err != nil {
			return err
		}
		quiet.expectEnd()
		if !p.await(func() bool { return s.Stats().Active == 0 }) {
			p.Errorf("a peer that does not close its end still holds its connection, IdleTimeout is %v", idle)
		}
		return nil
	})
}
