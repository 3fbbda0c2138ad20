package modeltest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"netbench/models"
)

var bytesRules = []rule{
	{
		name:  "exact-every-split",
		doc:   "A message of 4 KiB comes back exact wherever it is split into two reads.",
		check: checkEverySplit,
		busy:  true,
	},
	{
		name:     "exact-random-splits",
		doc:      "Streams of up to 8 MiB come back exact for seeded random splits and for splits around powers of two, ReadBuffer and MaxPending, with read buffers from 1 byte on.",
		check:    checkRandomSplits,
		busy:     true,
		networks: true,
	},
	{
		name:     "pipelining",
		doc:      "Requests that arrive together are all answered, in their order, without further input.",
		check:    checkPipelining,
		networks: true,
	},
	{
		name:  "pipelining-blocked",
		doc:   "Replies keep the order of the requests also where some of them block in Work.",
		check: checkPipeliningBlocked,
	},
	{
		name:  "many-connections",
		doc:   "Of 200 connections that are open at once, each gets its own bytes.",
		check: checkManyConnections,
	},
}

const wholeMessage = 4 << 10

func checkEverySplit(p *probe) {
	stride := 1
	if p.short {
		stride = 13
	}

	// Echo: the reply to the first part proves that it was read alone.
	c := p.dial(p.start(p.config(echo{})))
	message := pattern(1, wholeMessage)
	for cut := 1; cut < len(message); cut += stride {
		c.ask(message[:cut], message[:cut])
		c.ask(message[cut:], message[cut:])
	}

	// With message boundaries no reply comes before the whole is there, but the
	// session tells that it has seen the first part.
	for _, stepwise := range []bool{false, true} {
		size := wholeMessage
		if stepwise {
			size = 1 << 10
		}
		body := size - headerSize - 1
		j := new(journal)
		c := p.dial(p.start(p.config(messages{maxBody: body, stepwise: stepwise, journal: j})))
		for cut := 1; cut < size; cut += stride {
			req, reply := request(opEcho, pattern(uint64(cut), body))
			before := j.seen.Load()
			if cut == 1 {
				before = 0
			}
			c.send(req[:cut])
			if !p.awaitBusily(func() bool { return j.seen.Load() > before }) {
				p.fatalf("the session was not called with the first %d bytes of a message, though it asked for 1", cut)
			}
			c.ask(req[cut:], reply)
		}
	}
}

// awaitBusily is await for what takes microseconds and happens often.
func (p *probe) awaitBusily(condition func() bool) bool {
	for range 10_000 {
		if condition() {
			return true
		}
		runtime.Gosched()
	}
	return p.await(condition)
}

// boundaryPieces are the sizes where an implementation may be off by one.
func boundaryPieces(c models.Config) []int {
	var pieces []int
	around := func(n int) {
		for _, d := range []int{-1, 0, 1} {
			if n+d > 0 {
				pieces = append(pieces, n+d)
			}
		}
	}
	for n := 1; n <= 128<<10; n *= 2 {
		around(n)
	}
	for _, n := range []int{c.ReadBuffer, 2 * c.ReadBuffer, c.MaxPending, c.MaxPending + c.ReadBuffer} {
		around(n)
	}
	return pieces
}

// randomPieces adds up to at least total; small and large ones are equally
// likely by order of magnitude.
func randomPieces(r *rand.Rand, total, largest int) []int {
	var pieces []int
	for sum := 0; sum < total; {
		n := 1 + r.IntN(1+r.IntN(largest))
		if r.IntN(3) == 0 {
			n = 1 + n%64
		}
		pieces = append(pieces, n)
		sum += n
	}
	return pieces
}

func checkRandomSplits(p *probe) {
	total := 8 << 20
	if p.short || p.network != "tcp4" {
		total = 1 << 20
	}
	for i, sizes := range []struct{ readBuffer, maxPending, total int }{
		{1, 1, 4 << 10},
		{3, 64, 16 << 10},
		{64, 1 << 10, 128 << 10},
		{4 << 10, 64 << 10, total},
		{64 << 10, 4 << 10, total},
	} {
		name := fmt.Sprintf("ReadBuffer %d, MaxPending %d", sizes.readBuffer, sizes.maxPending)
		p.Logf("%s, %d bytes", name, sizes.total)
		r := rand.New(rand.NewPCG(uint64(i), 2))
		c := p.config(echo{})
		c.ReadBuffer, c.MaxPending = sizes.readBuffer, sizes.maxPending
		pieces := append(boundaryPieces(c), randomPieces(r, sizes.total, 32<<10)...)
		stream := pattern(uint64(i), sizes.total)
		p.dial(p.start(c)).exchange(stream, pieces, stream)

		c = p.config(messages{maxBody: sizes.total})
		c.ReadBuffer, c.MaxPending = sizes.readBuffer, sizes.maxPending
		stream, replies := conversationOf(boundaryPieces(c), uint64(i), sizes.total)
		p.dial(p.start(c)).exchange(stream, randomPieces(r, len(stream), 32<<10), replies)
	}

	// One message that is larger than everything.
	body := pattern(3, total-headerSize-1)
	req, reply := request(opEcho, body)
	p.dial(p.start(p.config(messages{maxBody: len(body)}))).
		exchange(req, randomPieces(rand.New(rand.NewPCG(3, 3)), len(req), 256<<10), reply)
}

// conversationOf makes requests with bodies of the given sizes, and of random
// ones after them, until they fill total bytes, and the replies that are due.
func conversationOf(sizes []int, seed uint64, total int) (requests, replies []byte) {
	r := rand.New(rand.NewPCG(seed, 4))
	bodies := pattern(seed, total)
	for i := 0; len(requests) < total; i++ {
		n := r.IntN(16 << 10)
		if i < len(sizes) {
			n = sizes[i]
		}
		n = min(n, len(bodies))
		req, reply := request(opEcho, bodies[:n])
		bodies = bodies[n:]
		if n == 0 && len(bodies) == 0 {
			break
		}
		requests, replies = append(requests, req...), append(replies, reply...)
	}
	return requests, replies
}

func checkPipelining(p *probe) {
	var requests, replies []byte
	for i := range 2000 {
		req, reply := request(opEcho, []byte(fmt.Sprintf("request %d", i)))
		requests, replies = append(requests, req...), append(replies, reply...)
	}
	for _, readBuffer := range []int{0, 7, 1 << 20} {
		c := p.config(messages{maxBody: 64})
		c.ReadBuffer = readBuffer
		p.dial(p.start(c)).exchange(requests, nil, replies)
	}
}

func checkPipeliningBlocked(p *probe) {
	var requests, replies []byte
	r := rand.New(rand.NewPCG(5, 5))
	for i := range 200 {
		op := []byte{opEcho, opWork, opWork}[r.IntN(3)]
		req, reply := request(op, []byte(fmt.Sprintf("%c %d", op, i)))
		requests, replies = append(requests, req...), append(replies, reply...)
	}
	s := p.start(p.config(messages{maxBody: 64}))
	p.dial(s).exchange(requests, nil, replies)
	p.dial(s).exchange(requests, randomPieces(r, len(requests), 40), replies)
}

func checkManyConnections(p *probe) {
	const n = 200
	s := p.start(p.config(messages{maxBody: 8 << 10}))
	peers := p.dialAll(s, n)
	s.awaitActive(n)
	results := make(chan error, n)
	for i, c := range peers {
		go func() {
			r := rand.New(rand.NewPCG(uint64(i), 6))
			for turn := range 5 {
				req, reply := request(opEcho, pattern(uint64(i*100+turn), r.IntN(8<<10)))
				if err := errors.Join(c.trySend(req), c.tryExpect(reply)); err != nil {
					results <- fmt.Errorf("connection %d of %d: %w", i, n, err)
					return
				}
			}
			results <- nil
		}()
	}
	limit := time.After(2 * p.patience)
	for done := range n {
		select {
		case err := <-results:
			if err != nil {
				p.fatalf("%v", err)
			}
		case <-limit:
			p.fatalf("%d of %d connections were served after %v", done, n, 2*p.patience)
		}
	}
	for _, c := range peers {
		_ = c.Close()
	}
	s.awaitActive(0)
	if got := s.Stats().Accepted; got != n {
		p.Errorf("Stats.Accepted is %d, want %d", got, n)
	}
}

// window is the size of socket buffers in rules about peers that read slowly.
const window = 64 << 10

// narrowed is a configuration whose server has small socket buffers, so that
// the kernel takes little off a model's hands.
func (p *probe) narrowed(service models.Service) models.Config {
	p.Helper()
	c := p.config(service)
	c.SendBuffer, c.RecvBuffer = window, window
	return c
}

// aWhile is how long something has to stay as it is.
const aWhile = 150 * time.Millisecond
