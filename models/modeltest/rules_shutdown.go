package modeltest

import (
	"context"
	"errors"
	"sync"
	"time"

	"netbench/models"
)

var shutdownRules = []rule{
	{
		name:     "shutdown-drains",
		doc:      "Shutdown lets every whole request that had arrived be answered, megabytes of pending replies included, ends each stream properly, and returns nil.",
		check:    checkShutdownDrains,
		networks: true,
	},
	{
		name:  "shutdown-backlog",
		doc:   "That holds for requests on connections which nobody has accepted yet.",
		check: checkShutdownBacklog,
	},
	{
		name:  "shutdown-partial",
		doc:   "A request that had arrived in part is given the time to complete.",
		check: checkShutdownPartial,
	},
	{
		name:  "shutdown-work",
		doc:   "Work in progress ends, and so do the requests behind it, before its connection is closed.",
		check: checkShutdownWork,
	},
	{
		name:  "shutdown-idle",
		doc:   "Idle connections are closed at once, whatever the others do.",
		check: checkShutdownIdle,
	},
	{
		name:     "shutdown-refuses",
		doc:      "New connections are refused while Shutdown drains and after it.",
		check:    checkShutdownRefuses,
		networks: true,
	},
	{
		name:  "shutdown-deadline",
		doc:   "When its context ends, Shutdown closes what is left and returns the context's error.",
		check: checkShutdownDeadline,
	},
	{
		name:  "shutdown-again",
		doc:   "Shutdown and Close may be called again and concurrently; all calls return, without an error.",
		check: checkShutdownAgain,
	},
}

// shutdown calls Shutdown in the background. The channel carries its result.
func (s *server) shutdown(limit time.Duration) <-chan error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- s.Shutdown(ctx)
	}()
	return done
}

// result waits for a call in the background.
func (p *probe) result(what string, done <-chan error) error {
	p.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(2 * p.patience):
		p.fatalf("%s has not returned after %v", what, 2*p.patience)
		return nil
	}
}

// drained demands that Shutdown has returned nil and that nothing is left.
func (s *server) drained(done <-chan error) {
	s.p.Helper()
	if err := s.p.result("Shutdown", done); err != nil {
		s.p.Errorf("Shutdown returned %v, want nil, as all peers had gone", err)
	}
	if n := s.Stats().Active; n != 0 {
		s.p.Errorf("Stats.Active is %d after Shutdown, want 0", n)
	}
}

func checkShutdownDrains(p *probe) {
	const n, each, large = 8, 5, 256 << 10
	c := p.narrowed(messages{maxBody: 1 << 10, maxReply: large})
	s := p.start(c)
	var requests, replies []byte
	for i := range each {
		req, reply := requestMade(opMake, large)
		requests, replies = append(requests, req...), append(replies, reply...)
		req, reply = request([]byte{opEcho, opWork}[i%2], pattern(uint64(i), 1<<10))
		requests, replies = append(requests, req...), append(replies, reply...)
	}
	peers := p.dialAll(s, n)
	s.awaitActive(n)
	for _, c := range peers {
		c.narrow(window)
		c.send(requests)
	}
	done := s.shutdown(p.patience)
	for i, c := range peers {
		if err := c.tryExpect(replies); err != nil {
			p.fatalf("connection %d of %d: %v", i, n, err)
		}
	}
	for _, c := range peers {
		c.expectEnd()
		_ = c.Close()
	}
	s.drained(done)
}

func checkShutdownBacklog(p *probe) {
	const n = 50
	req, reply := request(opEcho, []byte("not accepted yet"))
	for range 4 {
		s := p.start(p.config(messages{maxBody: 100}))
		served := p.dial(s)
		served.ask(req, reply)
		peers := p.dialAll(s, n)
		for _, c := range peers {
			c.send(req)
		}
		done := s.shutdown(p.patience)
		for i, c := range peers {
			if err := c.tryExpect(reply); err != nil {
				p.fatalf("connection %d of %d that were made just before Shutdown: %v", i, n, err)
			}
			c.expectEnd()
			_ = c.Close()
		}
		served.expectEnd()
		_ = served.Close()
		s.drained(done)
	}
}

func checkShutdownPartial(p *probe) {
	j := new(journal)
	s := p.start(p.config(messages{maxBody: 100, journal: j}))
	req, reply := request(opEcho, []byte("in two parts"))
	halves := p.dialAll(s, 2)
	for i, cut := range []int{2, headerSize + 3} {
		seen := j.seen.Load()
		halves[i].send(req[:cut])
		if !p.await(func() bool { return j.seen.Load() != seen }) {
			p.fatalf("the session was not called with the first %d bytes of a message", cut)
		}
	}
	idle := p.dial(s)
	s.awaitActive(3)
	done := s.shutdown(p.patience)
	idle.expectEnd() // now it is under way
	_ = idle.Close()
	for i, c := range halves {
		if !c.silent(aWhile / 3) {
			p.fatalf("a connection whose request had arrived in part was closed before the rest came")
		}
		c.send(req[[]int{2, headerSize + 3}[i]:])
		c.expect(reply)
		c.expectEnd()
		_ = c.Close()
	}
	s.drained(done)
}

func checkShutdownWork(p *probe) {
	g := p.newGate()
	p.cleanup(g.release)
	s := p.start(p.config(messages{maxBody: 100, gate: g}))
	busy, idle := p.dial(s), p.dial(s)
	work, workReply := request(opWork, []byte("in progress"))
	after, afterReply := request(opEcho, []byte("behind it"))
	busy.send(append(work, after...))
	p.awaitWork(g, 1)
	s.awaitActive(2)
	done := s.shutdown(p.patience)
	idle.expectEnd()
	_ = idle.Close()
	if !busy.silent(aWhile / 3) {
		p.fatalf("a connection was closed while Work was in progress for it")
	}
	g.release()
	busy.expect(append(workReply, afterReply...))
	busy.expectEnd()
	_ = busy.Close()
	s.drained(done)
}

func checkShutdownIdle(p *probe) {
	g := p.newGate()
	p.cleanup(g.release)
	s := p.start(p.config(messages{maxBody: 100, gate: g}))
	busy, unused, used := p.dial(s), p.dial(s), p.dial(s)
	req, reply := request(opEcho, []byte("hello"))
	used.ask(req, reply)
	work, workReply := request(opWork, []byte("busy"))
	busy.send(work)
	p.awaitWork(g, 1)
	s.awaitActive(3)
	done := s.shutdown(3 * p.patience) // so that the end of the context does not close them
	for _, c := range []*peer{unused, used} {
		c.expectEnd()
		_ = c.Close()
	}
	g.release()
	busy.expect(workReply)
	busy.expectEnd()
	_ = busy.Close()
	s.drained(done)
}

func checkShutdownRefuses(p *probe) {
	g := p.newGate()
	p.cleanup(g.release)
	s := p.start(p.config(messages{maxBody: 100, gate: g}))
	busy, idle := p.dial(s), p.dial(s)
	work, workReply := request(opWork, []byte("busy"))
	busy.send(work)
	p.awaitWork(g, 1)
	s.awaitActive(2)
	done := s.shutdown(2 * p.patience)
	idle.expectEnd()
	_ = idle.Close()

	// It is up to the model when exactly it begins to refuse.
	req, reply := request(opEcho, []byte("too late"))
	refused := p.await(func() bool {
		c, err := p.tryDial(s)
		if err != nil {
			return true
		}
		defer func() { _ = c.Close() }()
		return c.trySend(req) != nil || c.tryExpect(reply) != nil
	})
	if !refused {
		p.Errorf("new connections are still served %v after Shutdown has begun", p.patience)
	}
	g.release()
	busy.expect(workReply)
	busy.expectEnd()
	_ = busy.Close()
	s.drained(done)
	if c, err := p.tryDial(s); err == nil {
		_ = c.Close()
		p.Errorf("the kernel still accepts connections for the server after Shutdown")
	}
}

func checkShutdownDeadline(p *probe) {
	for _, limit := range []time.Duration{50 * time.Millisecond, 0} {
		const large = 4 << 20
		j := new(journal)
		c := p.narrowed(messages{maxBody: 100, maxReply: large, journal: j})
		c.IdleTimeout = models.NoLimit
		s := p.start(c)
		partial, deaf := p.dial(s), p.dial(s)
		req, _ := request(opEcho, []byte("never completed"))
		partial.send(req[:len(req)-3])
		if !p.await(func() bool { return j.seen.Load() > 0 }) {
			p.fatalf("the session was not called with the first bytes of a message")
		}
		deaf.narrow(window)
		toMake, _ := requestMade(opMake, large)
		deaf.send(toMake)
		if !p.await(func() bool { return j.made.Load() > 0 }) {
			p.fatalf("a request was not answered")
		}

		err := p.result("Shutdown", s.shutdown(limit))
		if !errors.Is(err, context.DeadlineExceeded) {
			p.Errorf("Shutdown returned %v after its context had ended with connections left, want %v", err, context.DeadlineExceeded)
		}
		if n := s.Stats().Active; n != 0 {
			p.Errorf("Stats.Active is %d after Shutdown, want 0", n)
		}
		partial.expectGone()
		s.end()
	}
}

func checkShutdownAgain(p *probe) {
	for _, withClose := range []bool{false, true} {
		s := p.start(p.config(echo{}))
		peers := p.dialAll(s, 5)
		for _, c := range peers {
			c.ask([]byte("hello"), []byte("hello"))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*p.patience)
		defer cancel()
		var calls, leaving sync.WaitGroup
		for _, c := range peers {
			leaving.Go(func() {
				if err := c.readToEnd(); isTimeout(err) {
					p.Errorf("a connection is still open while Shutdown drains: %v", err)
				}
				_ = c.Close()
			})
		}
		for i := range 6 {
			calls.Go(func() {
				if withClose && i%2 == 1 {
					if err := s.Close(); err != nil {
						p.Errorf("Close returned %v while others shut down, want nil", err)
					}
				} else if err := s.Shutdown(ctx); err != nil {
					p.Errorf("Shutdown returned %v while others shut down, want nil", err)
				}
			})
		}
		if !p.within("one of several concurrent calls of Shutdown and Close", calls.Wait) {
			p.FailNow()
		}
		if !p.within("another Shutdown", func() {
			if err := s.Shutdown(ctx); err != nil {
				p.Errorf("another Shutdown returned %v, want nil", err)
			}
		}) {
			p.FailNow()
		}
		leaving.Wait()
	}
}
