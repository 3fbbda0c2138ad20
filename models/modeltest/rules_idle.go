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
	req, reply := request(opEcho, []byte("hello"))
	var s *server
	var peers []*peer
	var before time.Time
	idle := p.keepingPace(200*time.Millisecond, func(idle time.Duration, _ func()) error {
		c := p.config(messages{maxBody: 100})
		c.IdleTimeout = idle
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

// keepingPace judges what has to happen within IdleTimeout. That needs a test
// that is in time itself, so an attempt that fails only counts if the host let
// it do each step in half the time-out; otherwise there is another one with
// twice the time-out, up to 32 times. The attempt calls step after each of its
// steps. The time-out of the attempt that passed is returned.
func (p *probe) keepingPace(idle time.Duration, attempt func(idle time.Duration, step func()) error) time.Duration {
	p.Helper()
	for tries := 1; ; tries++ {
		last, worst := time.Now(), time.Duration(0)
		step := func() {
			worst = max(worst, time.Since(last))
			last = time.Now()
		}
		err := attempt(idle, step)
		step()
		switch {
		case err == nil:
			return idle
		case worst < idle/2:
			p.fatalf("%v (IdleTimeout was %v and the longest pause %v)", err, idle, worst)
		case tries == 6:
			p.fatalf("%v, but this host stood still for %v, and in each of the attempts before: it is too busy to judge", err, worst)
		}
		p.Logf("tried again with twice the time-out of %v, as this host stood still for %v: %v", idle, worst, err)
		idle *= 2
	}
}

func checkIdleRenewed(p *probe) {
	long, longReply := request(opEcho, pattern(1, 9))
	req, reply := request(opEcho, []byte("hello"))
	p.keepingPace(400*time.Millisecond, func(idle time.Duration, step func()) error {
		c := p.config(messages{maxBody: 100})
		c.IdleTimeout = idle
		s := p.start(c)
		talks, trickles := p.dial(s), p.dial(s)
		for i := range long { // 14 pauses, so more than twice the time-out
			if err := errors.Join(trickles.trySend(long[i:i+1]), talks.trySend(req), talks.tryExpect(reply)); err != nil {
				return err
			}
			time.Sleep(idle / 6)
			step()
		}
		return trickles.tryExpect(longReply)
	})
}

func checkIdleUnread(p *probe) {
	const large = 4 << 20
	req, _ := requestMade(opMake, large)
	p.keepingPace(150*time.Millisecond, func(idle time.Duration, _ func()) error {
		j := new(journal)
		c := p.narrowed(messages{maxReply: large, journal: j})
		c.IdleTimeout = idle
		s := p.start(c)
		deaf := p.dial(s)
		deaf.narrow(window)
		if err := deaf.trySend(req); err != nil {
			return err
		}
		s.awaitStat("Accepted", 1, func(s models.Stats) uint64 { return s.Accepted })
		if !p.await(func() bool { return s.Stats().Active == 0 }) {
			p.fatalf("a peer that does not read its reply is still connected, IdleTimeout is %v", idle)
		}
		if j.made.Load() == 0 {
			return errors.New("the connection was closed before its request was answered")
		}
		if n := s.Stats().IdleClosed; n != 1 {
			p.Errorf("Stats.IdleClosed is %d, want 1", n)
		}
		return nil
	})
}

func checkIdleSlowDrain(p *probe) {
	const (
		large = 3 << 20
		sip   = 64 << 10
	)
	req, reply := requestMade(opMake, large)
	p.keepingPace(400*time.Millisecond, func(idle time.Duration, step func()) error {
		c := p.narrowed(messages{maxReply: large})
		c.IdleTimeout = idle
		s := p.start(c)
		slow := p.dial(s)
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
			time.Sleep(idle / 20) // 48 times, so more than twice the time-out
		}
		return nil
	})
}
