package modeltest

import (
	"sync/atomic"

	"netbench/models"
)

var pendingRules = []rule{
	{
		name:     "slow-reader",
		doc:      "A peer that sends and never reads is not read from once it owes MaxPending; memory does not grow; others are served; when it reads at last, every byte is exact.",
		check:    checkSlowReader,
		alone:    true,
		networks: true,
	},
	{
		name:  "slow-reader-amplified",
		doc:   "Small requests with large replies make at most MaxPending and one step's reply of pending output, however many of them have been read.",
		check: checkSlowReaderAmplified,
	},
}

func checkSlowReader(p *probe) {
	const (
		maxPending = 32 << 10
		readBuffer = 4 << 10
		total      = 2 << 20 // far more than all buffers on the way together
	)
	c := p.narrowed(echo{})
	c.MaxPending, c.ReadBuffer, c.IdleTimeout = maxPending, readBuffer, models.NoLimit
	s := p.start(c)
	slow := p.dial(s)
	slow.narrow(window)
	other := p.dial(s)
	other.ask([]byte("ready"), []byte("ready"))

	stream := pattern(9, total)
	heapBefore := heapInUse()
	var sent atomic.Uint64
	finished := make(chan error, 1)
	p.cleanup(func() { _ = slow.Close(); <-finished })
	go func() {
		defer close(finished)
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 8<<10)
			if err := slow.trySend(rest[:n]); err != nil {
				finished <- err
				return
			}
			rest = rest[n:]
			sent.Add(uint64(n))
		}
	}()

	// What the model holds is what it has read and not written. It may hold
	// MaxPending and one step's reply, and the input of one more read.
	const mayHold = maxPending + 2*readBuffer
	worst := uint64(0)
	read := p.settled(aWhile, func() uint64 {
		in := s.Stats().BytesIn // before BytesOut, so that the difference is not too large
		if out := s.Stats().BytesOut; in > out {
			worst = max(worst, in-out)
		}
		return in
	})
	if worst > mayHold {
		p.Errorf("the model holds %d bytes for a peer that does not read, want at most MaxPending and two reads, %d", worst, mayHold)
	}
	if s := sent.Load(); s == total {
		p.fatalf("the peer could send all of its %d bytes without reading one: the server does not pause", total)
	}
	if read == 0 {
		p.fatalf("Stats.BytesIn is 0 though the peer has sent %d bytes", sent.Load())
	}

	written := s.Stats().BytesOut
	heapPaused := heapInUse()
	other.ask([]byte("and the others?"), []byte("and the others?"))
	if !other.silent(aWhile) {
		p.fatalf("a byte came that nobody asked for")
	}
	// What the kernel took meanwhile, as its buffers grew, may be replaced.
	if now := s.Stats(); now.BytesIn > read+(now.BytesOut-written)+100 {
		p.Errorf("the server went on reading from a peer that does not read: %d bytes, then %d, of which it wrote %d", read, now.BytesIn, now.BytesOut-written)
	}
	// The bounds leave room for what the runtime and the test itself allocate.
	const noise = 256 << 10
	heapLater := heapInUse()
	if heapPaused > heapBefore+total/2 || heapLater > heapPaused+noise {
		p.Errorf("the heap grows while a peer does not read: %d bytes before, %d when it was paused, %d later",
			heapBefore, heapPaused, heapLater)
	}
	p.Logf("paused after %d bytes read of %d sent; Stats.Paused %d", read, sent.Load(), s.Stats().Paused)

	slow.expect(stream)
	if err := <-finished; err != nil {
		p.fatalf("the rest of the stream could not be sent: %v", err)
	}
}

func checkSlowReaderAmplified(p *probe) {
	const (
		maxPending = 32 << 10
		readBuffer = 8 << 10
		each       = 32 << 10
		requests   = 400 // they fit into one read
	)
	j := new(journal)
	service := messages{maxReply: each, journal: j}
	c := p.narrowed(service)
	c.MaxPending, c.ReadBuffer, c.IdleTimeout = maxPending, readBuffer, models.NoLimit
	s := p.start(c)
	slow := p.dial(s)
	slow.narrow(window)

	var all, replies []byte
	for range requests {
		req, reply := requestMade(opMake, each)
		all, replies = append(all, req...), append(replies, reply...)
	}
	slow.send(all)
	mayHold := uint64(maxPending + service.Limits().Reply + readBuffer)
	worst := uint64(0)
	p.settled(aWhile, func() uint64 {
		made := uint64(j.made.Load())
		if out := s.Stats().BytesOut; made > out {
			worst = max(worst, made-out)
		}
		return made
	})
	if j.made.Load() == 0 {
		p.fatalf("none of %d requests has been answered after %v", requests, p.patience)
	}
	if worst > mayHold {
		p.Errorf("%d bytes of replies are pending, want at most MaxPending, Limits.Reply and ReadBuffer, %d", worst, mayHold)
	}
	slow.expect(replies)

	// It was a pause, not the end.
	req, reply := request(opEcho, nil)
	slow.ask(req, reply)
}
