package modeltest

import (
	"sync"
	"sync/atomic"
	"time"

	"netbench/models"
)

var statsRules = []rule{
	{
		name:  "stats-exact",
		doc:   "After known traffic the counters are exact.",
		check: checkStatsExact,
	},
	{
		name:  "stats-anytime",
		doc:   "Stats may be called concurrently with everything else and after Close, and counters never go back.",
		check: checkStatsAnytime,
	},
}

func checkStatsExact(p *probe) {
	const conns, turns = 10, 20
	s := p.start(p.config(messages{maxBody: 10 << 10}))
	var in, out uint64
	peers := p.dialAll(s, conns)
	for i, c := range peers {
		for turn := range turns {
			op := []byte{opEcho, opWork}[turn%2]
			req, reply := request(op, pattern(uint64(i), i*turn*50))
			c.ask(req, reply)
			in, out = in+uint64(len(req)), out+uint64(len(reply))
		}
	}
	// The last bytes may have been counted after they were sent.
	p.await(func() bool { return s.Stats().BytesOut >= out })
	s.compare(models.Stats{Accepted: conns, Active: conns, BytesIn: in, BytesOut: out}, "when all is answered")
	for _, c := range peers[:conns/2] {
		_ = c.Close()
	}
	s.awaitActive(conns - conns/2)
	for _, c := range peers[conns/2:] {
		c.halfClose()
		c.expectEnd()
		_ = c.Close()
	}
	s.awaitActive(0)
	want := models.Stats{Accepted: conns, BytesIn: in, BytesOut: out}
	s.compare(want, "when all peers have gone")
	s.end()
	s.compare(want, "after Close")
}

// compare demands exact counters. Pauses are up to how a model writes.
func (s *server) compare(want models.Stats, when string) {
	s.p.Helper()
	got := s.Stats()
	want.Model, want.Variant, want.Fallback, want.Paused = got.Model, got.Variant, got.Fallback, got.Paused
	if got != want {
		s.p.Errorf("%s Stats is %+v, want %+v", when, got, want)
	}
}

func checkStatsAnytime(p *probe) {
	s := p.start(p.config(echo{}))
	var done atomic.Bool
	var watchers sync.WaitGroup
	for range 2 {
		watchers.Go(func() {
			tick := time.NewTicker(50 * time.Microsecond)
			defer tick.Stop()
			last := s.Stats()
			for !done.Load() {
				now := s.Stats()
				if now.Accepted < last.Accepted || now.BytesIn < last.BytesIn || now.BytesOut < last.BytesOut || now.Active < 0 {
					p.Errorf("Stats went back from %+v to %+v", last, now)
					return
				}
				last = now
				<-tick.C
			}
		})
	}
	stopped := sync.OnceFunc(func() { done.Store(true); watchers.Wait() })
	defer stopped()
	for i := range 20 {
		c := p.dial(s)
		c.ask(pattern(uint64(i), 5000), pattern(uint64(i), 5000))
		_ = c.Close()
	}
	s.awaitActive(0)
	before := s.Stats()
	s.end()
	stopped()
	s.compare(before, "after Close")
}
