package modeltest

import (
	"sync"

	"netbench/models"
)

// Most rules spend their time waiting: for a deadline of the server, or for
// something that must not come. Run judges those together before its subtests,
// which then only tell what was found; the whole suite would take three times as
// long one by one.

// atOnce is how many rules are judged together. It leaves a host of two cores
// time between them, so that the pace that rules about deadlines need is kept.
const atOnce = 12

// crowded is one rule on one network.
type crowded struct {
	rule    int // its place in the suite
	network string
}

// crowd is what rules that were judged together said.
type crowd struct {
	verdicts map[crowded]*recorder
	left     []string // what they left behind, whichever of them it was
}

// crowds tells whether r may be judged while others are.
func (r rule) crowds() bool { return !r.alone && !r.busy }

// together judges all that may be judged at the same time, and that is not
// declared to fail.
func (p *plan) together(suite []rule, factory models.Factory, networks []string, s setting) *crowd {
	process.Lock()
	defer process.Unlock()
	c := &crowd{verdicts: map[crowded]*recorder{}}
	var mu sync.Mutex
	var members sync.WaitGroup
	room := make(chan struct{}, atOnce)
	before := takeInventory()
	for i, r := range suite {
		if _, declared := p.declared[r.name]; declared || p.single || !r.crowds() || r.lacking != nil && r.lacking() != "" {
			continue
		}
		for _, network := range r.on(networks) {
			room <- struct{}{}
			members.Go(func() {
				own := s
				own.network = network
				rec := recorded(func(t T) { r.perform(t, factory, own) })
				mu.Lock()
				c.verdicts[crowded{i, network}] = rec
				mu.Unlock()
				<-room
			})
		}
	}
	members.Wait()
	if s.leaks {
		c.left = recorded(before.compare).failures
	}
	return c
}

// verdict returns what the rule at this place of the suite said on a network, nil
// if it has to be judged by itself: because it was not in the crowd, or to find
// out whether it is the one that left something behind.
func (c *crowd) verdict(rule int, network string) *recorder {
	rec := c.verdicts[crowded{rule, network}]
	if rec != nil && len(c.left) > 0 && len(rec.failures) == 0 {
		return nil
	}
	return rec
}
