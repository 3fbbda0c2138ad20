package modeltest

import (
	"bytes"
	"fmt"
	"sync"

	"netbench/models"
)

// inspector is a service that runs another one and notes where a model breaks
// the contract of [models.Session].
type inspector struct {
	models.Service
	mu     sync.Mutex
	faults []string
}

func (i *inspector) fault(format string, args ...any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.faults) < 10 {
		i.faults = append(i.faults, fmt.Sprintf(format, args...))
	}
}

// inspect watches a service. Its faults are reported when the rule ends, after
// its servers have.
func (p *probe) inspect(s models.Service) *inspector {
	i := &inspector{Service: s}
	p.cleanup(func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		for _, f := range i.faults {
			p.Errorf("%s", f)
		}
	})
	return i
}

func (i *inspector) Open() models.Session {
	return &inspected{inner: i.Service.Open(), inspector: i, need: 1}
}

// inspected is one session with what the model has to keep to in its next call.
type inspected struct {
	inner     models.Session
	inspector *inspector

	busy sync.Mutex // held during calls: the model must not need it
	need int        // fewest bytes of the next input
	rest []byte     // how the next input has to begin

	at      int  // place of rest in the stream
	whole   bool // the next input is rest and nothing more
	blocked bool // the next call is Work with rest
	closed  bool // there is no next call
}

func (s *inspected) Step(in, out []byte) (int, []byte, models.Next) {
	return s.call("Step", in, out, s.inner.Step)
}

func (s *inspected) Work(in, out []byte) (int, []byte, models.Next) {
	b, ok := s.inner.(models.Blocker)
	if !ok {
		s.inspector.fault("Work was called on a session that never blocks")
		return 0, out, models.Next{Op: models.Close}
	}
	return s.call("Work", in, out, b.Work)
}

type step func(in, out []byte) (int, []byte, models.Next)

func (s *inspected) call(name string, in, out []byte, inner step) (int, []byte, models.Next) {
	fault := s.inspector.fault
	if !s.busy.TryLock() {
		fault("%s was called while another call on the same session was running", name)
		return 0, out, models.Next{Op: models.Close}
	}
	defer s.busy.Unlock()
	s.checkTurn(name, in)

	gotIn, gotOut := bytes.Clone(in), bytes.Clone(out)
	consumed, reply, next := inner(in, out)
	if !bytes.Equal(in, gotIn) {
		fault("the model changed the input of %s while it ran", name)
	}
	if !bytes.Equal(reply[:len(gotOut)], gotOut) {
		fault("the model changed the output given to %s while it ran", name)
	}

	s.need = max(next.Need, 1)
	s.rest, s.at = gotIn[consumed:], s.at+consumed
	s.blocked = next.Op == models.Block
	s.closed = next.Op == models.Close
	s.whole = s.blocked || name == "Step" && consumed > 0 && len(s.rest) >= s.need
	return consumed, reply, next
}

// checkTurn compares a call with what was due.
func (s *inspected) checkTurn(name string, in []byte) {
	fault := s.inspector.fault
	switch {
	case s.closed:
		fault("%s was called after the session had asked to close", name)
	case len(in) == 0:
		fault("%s was called with an empty input", name)
	case s.blocked != (name == "Work"):
		fault("%s was called, but the step before asked to block: %v", name, s.blocked)
	case len(in) < s.need:
		fault("%s was called with %d bytes, but the step before asked for %d", name, len(in), s.need)
	case !bytes.HasPrefix(in, s.rest):
		n := min(len(in), len(s.rest))
		fault("%s was called with an input that does not go on from byte %d of the stream: %d bytes were not consumed, %d are there, %s",
			name, s.at, len(s.rest), len(in), difference(in[:n], s.rest[:n], s.at))
	case s.whole && len(in) != len(s.rest):
		fault("%s was called with %d bytes, but %d were left over and there was no reason to read more", name, len(in), len(s.rest))
	}
}
