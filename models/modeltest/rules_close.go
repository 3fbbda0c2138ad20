package modeltest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"netbench/models"
)

var closeRules = []rule{
	{
		name:  "close-prompt",
		doc:   "Close does not wait for peers that are idle, that do not read, or that have sent half a request.",
		check: checkClosePrompt,
	},
	{
		name:  "close-work",
		doc:   "Close returns when no goroutine of the server runs any more, so not before Work in progress has ended.",
		check: checkCloseWork,
	},
	{
		name:  "close-anytime",
		doc:   "Close may be called again, before Serve and without it, and the address is free afterwards.",
		check: checkCloseAnytime,
	},
	{
		name:  "serve-error",
		doc:   "Serve returns models.ErrServerClosed after Shutdown and after Close.",
		check: checkServeError,
	},
	{
		name:  "no-leak",
		doc:   "After Close and after Shutdown no goroutine and no descriptor is left, however the connections ended.",
		check: checkNoLeak,
		alone: true,
	},
}

func checkClosePrompt(p *probe) {
	const large = 4 << 20
	j := new(journal)
	c := p.narrowed(messages{maxBody: 100, maxReply: large, journal: j})
	c.IdleTimeout = models.NoLimit
	s := p.start(c)
	unused, used, partial, deaf, done := p.dial(s), p.dial(s), p.dial(s), p.dial(s), p.dial(s)
	req, reply := request(opEcho, []byte("hello"))
	used.ask(req, reply)
	partial.ask(req, reply)
	partial.send(req[:len(req)-1])
	deaf.narrow(window)
	toMake, _ := requestMade(opMake, large)
	deaf.send(toMake)
	last, lastReply := requestMade(opLast, 10)
	done.ask(last, lastReply) // the server may still wait for its end
	s.awaitStat("Accepted", 5, func(s models.Stats) uint64 { return s.Accepted })
	if !p.await(func() bool { return j.answer.Load() == 4 }) {
		p.fatalf("%d requests were answered, want 4", j.answer.Load())
	}

	var err error
	if !p.within("Close, with peers that are idle or do not read,", func() { err = s.Close() }) {
		p.FailNow()
	}
	if err != nil {
		p.Errorf("Close returned %v, want nil", err)
	}
	if n := s.Stats().Active; n != 0 {
		p.Errorf("Stats.Active is %d after Close, want 0", n)
	}
	for _, c := range []*peer{unused, used, partial, done} {
		c.expectGone()
	}
}

func checkCloseWork(p *probe) {
	g := p.newGate()
	p.cleanup(g.release)
	s := p.start(p.config(messages{maxBody: 100, gate: g}))
	busy := p.dial(s)
	work, _ := request(opWork, []byte("busy"))
	busy.send(work)
	p.awaitWork(g, 1)

	var returned atomic.Bool
	closed := make(chan error, 1)
	go func() {
		err := s.Close()
		returned.Store(true)
		closed <- err
	}()
	if poll(aWhile, returned.Load) {
		p.Errorf("Close returned while a goroutine of the server was still in Work")
	}
	g.release()
	if err := p.result("Close", closed); err != nil {
		p.Errorf("Close returned %v, want nil", err)
	}
	if n := s.Stats().Active; n != 0 {
		p.Errorf("Stats.Active is %d after Close, want 0", n)
	}
}

func checkCloseAnytime(p *probe) {
	closeNow := func(s *server, when string) {
		p.Helper()
		if !p.within("Close "+when, func() {
			if err := s.Close(); err != nil {
				p.Errorf("Close %s returned %v, want nil", when, err)
			}
		}) {
			p.FailNow()
		}
	}

	without := p.make(p.config(echo{}))
	closeNow(without, "without Serve")
	closeNow(without, "again, without Serve")
	if c, err := p.tryDial(without); err == nil {
		_ = c.Close()
		p.Errorf("the kernel still accepts connections for a server that was closed without Serve")
	}

	before := p.make(p.config(echo{}))
	closeNow(before, "before Serve")
	before.serve()
	if err := before.serveResult(); !errors.Is(err, models.ErrServerClosed) {
		p.Errorf("Serve after Close returned %v, want %v", err, models.ErrServerClosed)
	}

	idle := p.make(p.config(echo{}))
	ctx, cancel := context.WithTimeout(context.Background(), p.patience)
	defer cancel()
	if !p.within("Shutdown without Serve", func() {
		if err := idle.Shutdown(ctx); err != nil {
			p.Errorf("Shutdown without Serve returned %v, want nil", err)
		}
	}) {
		p.FailNow()
	}

	c := p.config(echo{})
	first := p.start(c)
	p.dial(first).ask([]byte("hello"), []byte("hello"))
	closeNow(first, "after Serve")
	closeNow(first, "again, after Serve")
	if p.network == "unix" {
		return // whether the path is removed is not in the contract
	}
	c.Address = first.Addr().String()
	second := p.start(c)
	p.dial(second).ask([]byte("hello"), []byte("hello"))
}

func checkServeError(p *probe) {
	ctx, cancel := context.WithTimeout(context.Background(), p.patience)
	defer cancel()
	for name, end := range map[string]func(*server){
		"Close":    func(s *server) { _ = s.Close() },
		"Shutdown": func(s *server) { _ = s.Shutdown(ctx) },
	} {
		s := p.start(p.config(echo{}))
		c := p.dial(s)
		c.ask([]byte("hello"), []byte("hello"))
		select {
		case err := <-s.served:
			s.served = nil
			p.fatalf("Serve returned %v before %s", err, name)
		case <-time.After(10 * time.Millisecond):
		}
		_ = c.Close()
		if !p.within(name, func() { end(s) }) {
			p.FailNow()
		}
		if err := s.serveResult(); !errors.Is(err, models.ErrServerClosed) {
			p.Errorf("Serve returned %v after %s, want %v", err, name, models.ErrServerClosed)
		}
	}
}

func checkNoLeak(p *probe) {
	const large = 1 << 20
	for _, end := range []string{"Close", "Shutdown"} {
		before := takeInventory()
		sub := &probe{T: p.T, setting: p.setting, factory: p.factory}
		func() {
			defer sub.finish()
			c := sub.narrowed(messages{maxBody: 100, maxReply: large})
			c.MaxConns, c.OnLimit = 8, models.Reject
			s := sub.start(c)
			req, reply := request(opEcho, []byte("hello"))
			peers := sub.dialAll(s, 8)
			for _, c := range peers {
				c.ask(req, reply)
			}
			rejected := sub.dial(s)
			rejected.expectGone()
			_ = rejected.Close()
			_ = peers[0].Close()
			resetOrClose(peers[1])
			peers[2].halfClose()
			last, _ := requestMade(opLast, 10)
			peers[3].send(last)
			work, _ := request(opWork, []byte("work"))
			peers[4].send(work)
			peers[5].send(req[:3])
			toMake, _ := requestMade(opMake, large)
			peers[6].narrow(window)
			peers[6].send(toMake)
			s.awaitStat("BytesIn", uint64(8*len(req)), func(s models.Stats) uint64 { return s.BytesIn })
			switch end {
			case "Close":
				sub.within(end, func() { _ = s.Close() })
			case "Shutdown":
				_ = sub.result(end, s.shutdown(50*time.Millisecond))
			}
			// All that is left of the connections now is the peers' side of them.
			for _, c := range peers {
				_ = c.Close()
			}
			_ = s.serveResult()
			if now := descriptorCount(); now > before.descriptors {
				sub.Errorf("%d descriptors are open when %s has returned, there were %d before", now, end, before.descriptors)
			}
		}()
		before.compare(p)
	}
}
