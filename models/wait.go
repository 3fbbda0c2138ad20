package models

import (
	"fmt"
	"time"
)

// Waiting makes every answer of a service wait, as one does that needs a
// database: each step returns Block, and the work on it sleeps for Delay once
// for each request that it answers.
type Waiting struct {
	Service Service
	Delay   time.Duration // less than 0 means 0
}

func (w Waiting) Name() string {
	return fmt.Sprintf("%s+wait=%s", w.Service.Name(), max(w.Delay, 0))
}

func (w Waiting) Limits() Limits { return w.Service.Limits() }

func (w Waiting) Open() Session {
	return &waitingSession{inner: w.Service.Open(), delay: w.Delay}
}

type waitingSession struct {
	inner Session
	delay time.Duration
}

func (s *waitingSession) Step(_, out []byte) (int, []byte, Next) {
	return 0, out, Next{Op: Block}
}

// Work answers before it sleeps, because only the answer tells whether the
// input was a whole request; the reply leaves after the delay all the same.
func (s *waitingSession) Work(in, out []byte) (int, []byte, Next) {
	consumed, reply, next := s.inner.Step(in, out)
	if next.Op == Block {
		consumed, reply, next = s.inner.(Blocker).Work(in, out)
	}
	if consumed > 0 {
		time.Sleep(s.delay)
	}
	return consumed, reply, next
}
