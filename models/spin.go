package models

import "fmt"

// Spin makes a service slower by calibrated work: each step that answers
// something first costs Iterations rounds of integer arithmetic, whatever the
// clock says, so that two servers can be told to differ by a known amount of
// CPU per request. One round is a few dependent instructions, about 2 ns on a
// 3 GHz processor. A step that only asks for more input costs nothing more.
type Spin struct {
	Service    Service
	Iterations int // less than 0 means 0
}

func (s Spin) Name() string {
	return fmt.Sprintf("%s+spin=%d", s.Service.Name(), max(s.Iterations, 0))
}

func (s Spin) Limits() Limits { return s.Service.Limits() }

func (s Spin) Open() Session {
	inner := s.Service.Open()
	spin := spinSession{Session: inner, iterations: s.Iterations, state: 1}
	if _, ok := inner.(Blocker); ok {
		return &spinBlocker{spin}
	}
	return &spin
}

type spinSession struct {
	Session
	iterations int
	state      uint64
}

func (s *spinSession) Step(in, out []byte) (int, []byte, Next) {
	consumed, out, next := s.Session.Step(in, out)
	if consumed > 0 {
		s.burn()
	}
	return consumed, out, next
}

// burn runs Marsaglia's xorshift generator. Each round needs the one before,
// and the last one is kept in the session, so no compiler can leave one out.
func (s *spinSession) burn() {
	x := s.state
	for range s.iterations {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	s.state = x
}

// spinBlocker is a spinSession over a session that blocks.
type spinBlocker struct{ spinSession }

func (s *spinBlocker) Work(in, out []byte) (int, []byte, Next) {
	consumed, out, next := s.Session.(Blocker).Work(in, out)
	if consumed > 0 {
		s.burn()
	}
	return consumed, out, next
}
