package modeltest

import (
	"errors"
	"time"

	"netbench/models"
)

var idleRules = []rule{
	{
		name:  "idle-closes",
		doc:   "A connection without traffic is closed after IdleTimeout, not before, whether it has ever been used or stopped within a request, and is counted.",
		check: checkIdleCloses,
	},
	{
		name:  "idle-renewed",
		doc:   "Every exchange renews the idle deadline, and so does every byte of a request that trickles in.",
		check: checkIdleRenewed,
	},
	{
		name:  "idle-unread",
		doc:   "A peer that owes replies and reads nothing is idle too.",
		check: checkIdleUnread,
	},
	{
		name:  "idle-slow-drain",
		doc:   "A peer that reads a long reply slowly is not idle.",
		check: checkIdleSlowDrain,
	},
}

func checkIdleCloses(p *probe) {
	const idle = 200 * time.Millisecond
	c := p.config(messages{maxBody: 100})
	c.IdleTimeout = idle
	req, reply := request(opEcho, []byte("hello"))

	var s *server
	var peers []*peer
	var before time.Time
	p.keepingPace(idle/2, func(func()) error {
		s = p.start(c)
		before = time.Now()
		peers = p.dialAll(s, 3)
		return errors.Join(
			peers[1].trySend(req), peers[1].tryExpect(reply),
			peers[2].trySend(req[:len(req)-2]))
	})
	for i, what := range []string{"was never used", "was used", "stopped within a request"} {
		peers[i].expectGone()
		// Timers are coarse, so a little early will do.
		if took := time.Since(before); took < idle*3/4 {
			p.Errorf("a connection that %s was closed after %v, want not before %v", what, took, idle)
		}
	}
	s.awaitActive(0)
	if n := s.Stats().IdleClosed; n != 3 {
		p.Errorf("Stats.IdleClosed is %d, want 3", n)
	}
	if n := s.Stats().ConnErrors; n != 0 {
		p.Errorf("Stats.ConnErrors is %d after connections that were only idle", n)
	}
}

// keepingPace calls attempt until it was not this host that was too slow: the
// rules about what happens in time can only judge when the test itself was in
// time. The attempt calls its argument after each of its steps.
func (p *probe) keepingPace(limit time.Duration, attempt func(step func()) error) {
	p.Helper()
	var (
		worst time.Duration
		err   error
	)
	for range 5 {
		last := time.Now()
		worst = 0
		err = attempt(func() {
			worst = max(worst, time.Since(last))
			last = time.Now()
		})
		worst = max(worst, time.Since(last))
		if err == nil {
			return
		}
		if worst < limit {
			p.fatalf("%v (the longest pause was %v)", err, worst)
		}
		p.Logf("tried again, as this host stood still for %v: %v", worst, err)
	}
	p.fatalf("%v, but this host stood still for %v, and in each of four attempts before: it is too busy to judge", err, worst)
}

func checkIdleRenewed(p *probe) {
	const (
		idle  = 400 * time.Millisecond
		pause = idle / 6
	)
	c := p.config(messages{maxBody: 100})
	c.IdleTimeout = idle
	s := p.start(c)
	long, longReply := request(opEcho, pattern(1, 9))
	req, reply := request(opEcho, []byte("hello"))
	p.keepingPace(idle*2/3, func(step func()) error {
		talks, trickles := p.dial(s), p.dial(s)
		defer func() { _, _ = talks.Close(), trickles.Close() }()
		for i := range long { // 14 pauses, so more than twice the time-out
			if err := trickles.trySend(long[i : i+1]); err != nil {
				return err
			}
			if err := talks.trySend(req); err != nil {
				return err
			}
			if err := talks.tryExpect(reply); err != nil {
				return err
			}
			time.Sleep(pause)
			step()
		}
		return trickles.tryExpect(longReply)
	})
}

func checkIdleUnread(p *probe) {
	const large = 4 << 20
	req, _ := requestMade(opMake, large)
	for range 5 {
		j := new(journal)
		c := p.narrowed(messages{maxReply: large, journal: j})
		c.IdleTimeout = 150 * time.Millisecond
		s := p.start(c)
		deaf := p.dial(s)
		deaf.narrow(window)
		if err := deaf.trySend(req); err != nil {
			p.Logf("tried again, as the connection was closed before it was used: %v", err)
			continue
		}
		s.awaitStat("Accepted", 1, func(s models.Stats) uint64 { return s.Accepted })
		if !p.await(func() bool { return s.Stats().Active == 0 }) {
			p.fatalf("a peer that does not read its reply is still connected, IdleTimeout is %v", c.IdleTimeout)
		}
		if j.made.Load() == 0 {
			p.Logf("tried again, as the connection was closed before its request arrived")
			continue
		}
		if n := s.Stats().IdleClosed; n != 1 {
			p.Errorf("Stats.IdleClosed is %d, want 1", n)
		}
		return
	}
	p.fatalf("the connection was closed before its request was answered in each of five attempts, want it open for IdleTimeout")
}

func checkIdleSlowDrain(p *probe) {
	const (
		idle  = 400 * time.Millisecond
		large = 3 << 20
		sip   = 64 << 10
		pause = idle / 20 // 48 of them: more than twice the time-out
	)
	c := p.narrowed(messages{maxReply: large})
	c.IdleTimeout = idle
	s := p.start(c)
	req, reply := requestMade(opMake, large)
	p.keepingPace(idle/2, func(step func()) error {
		slow := p.dial(s)
		defer func() { _ = slow.Close() }()
		slow.narrow(window)
		if err := slow.trySend(req); err != nil {
			return err
		}
		for rest := reply; len(rest) > 0; step() {
			n := min(sip, len(rest))
			if err := slow.tryExpect(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
			time.Sleep(pause)
		}
		return nil
	})
}
