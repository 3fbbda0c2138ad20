package adapter

import (
	"time"

	"netbench/models"
)

// sweep counts ticks, ends idle connections, and has unfinished connections
// looked at.
func (s *Server) sweep() {
	defer s.sweeps.Done()
	tick := time.NewTimer(s.every)
	defer tick.Stop()
	due := time.Now().Add(s.every)
	for {
		select {
		case <-s.ended:
			return
		case <-s.stir:
		case <-tick.C:
		}
		if s.stopped.Load() {
			<-s.ended
			return
		}
		now := time.Now()
		if !now.Before(due) {
			due = now.Add(s.every)
			s.clock.Add(1)
			s.endIdle()
		}
		wait := time.Until(due)
		if s.look() {
			wait = min(wait, glance)
		}
		tick.Reset(max(wait, glance/4))
	}
}

// look has the loops look at unfinished connections, all of them if the server
// drains. It tells whether there are any.
func (s *Server) look() bool {
	s.mu.Lock()
	among := s.watched
	if s.draining.Load() {
		among = s.conns
	}
	batch := make([]*Conn, 0, len(among))
	for c := range among {
		batch = append(batch, c)
	}
	s.mu.Unlock()
	for _, c := range batch {
		s.wake(c)
	}
	return len(batch) > 0
}

// wake wakes a connection unless the engine is being stopped: one that has
// stopped may wake whoever has got its descriptors since.
func (s *Server) wake(c *Conn) {
	s.alive.RLock()
	defer s.alive.RUnlock()
	if !s.stopped.Load() && !c.dead.Load() {
		c.wire.Wake()
	}
}

// endIdle closes the connections that have been idle for too long.
func (s *Server) endIdle() {
	if s.Config.IdleTimeout == models.NoLimit {
		return
	}
	now := s.clock.Load()
	var late, quiet []*Conn
	s.mu.Lock()
	for c := range s.conns {
		if s.Blind && now-c.stamp.Load() == idleTicks/8 {
			quiet = append(quiet, c)
		}
		if now-c.stamp.Load() > idleTicks && !c.working.Load() && !c.idled {
			c.idled = true
			s.totals.IdleClosed++
			late = append(late, c)
		}
	}
	s.mu.Unlock()
	for _, c := range quiet {
		s.wake(c)
	}
	for _, c := range late {
		s.alive.RLock()
		if !s.stopped.Load() {
			c.wire.Close()
		}
		s.alive.RUnlock()
	}
}

// watch has a connection looked at soon.
func (s *Server) watch(c *Conn, on bool) {
	if c.watched == on {
		return
	}
	c.watched = on
	s.mu.Lock()
	if on {
		s.watched[c] = struct{}{}
	} else {
		delete(s.watched, c)
	}
	s.mu.Unlock()
	if on {
		s.nudge()
	}
}
