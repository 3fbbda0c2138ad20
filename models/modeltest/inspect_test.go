package modeltest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// inspection returns a watched session and what it finds.
func inspection(m messages) (*inspector, *inspected) {
	i := &inspector{Service: m}
	return i, i.Open().(*inspected)
}

func TestInspectorFindsNothingInCallsAsTheyShouldBe(t *testing.T) {
	i, s := inspection(messages{maxBody: 100})
	first, firstReply := request(opEcho, []byte("first"))
	second, secondReply := request(opWork, []byte("second"))
	stream := append(first, second...)

	consumed, out, next := s.Step(stream[:2], nil)
	assert.Zero(t, consumed)
	assert.Equal(t, models.Next{Need: headerSize}, next)
	consumed, out, _ = s.Step(stream, out)
	require.Equal(t, len(first), consumed)
	assert.Equal(t, firstReply, out)
	consumed, out, next = s.Step(stream[consumed:], out)
	assert.Zero(t, consumed)
	assert.Equal(t, models.Block, next.Op)
	consumed, out, _ = s.Work(second, out)
	assert.Equal(t, len(second), consumed)
	assert.Equal(t, append(firstReply, secondReply...), out)
	assert.Empty(t, i.faults)
}

func TestInspectorFindsEachBreachOfTheContract(t *testing.T) {
	req, _ := request(opEcho, []byte("request"))
	work, _ := request(opWork, []byte("work"))
	last, _ := requestMade(opLast, 1)
	for name, c := range map[string]struct {
		calls func(*inspected)
		says  string
	}{
		"no input":           {func(s *inspected) { s.Step(nil, nil) }, "empty input"},
		"less than Need":     {func(s *inspected) { s.Step(req[:4], nil); s.Step(req[:5], nil) }, "but the step before asked for 12"},
		"a gap":              {func(s *inspected) { s.Step(req[:3], nil); s.Step(req[1:], nil) }, "does not go on from byte 0"},
		"consumed again":     {func(s *inspected) { s.Step(append(req, work...), nil); s.Step(append(req, work...), nil) }, "does not go on from byte 12"},
		"a read in between":  {func(s *inspected) { s.Step(append(req, req...), nil); s.Step(append(req, req...), nil) }, "no reason to read more"},
		"after Close":        {func(s *inspected) { s.Step(last, nil); s.Step(req, nil) }, "asked to close"},
		"Step after Block":   {func(s *inspected) { s.Step(work, nil); s.Step(work, nil) }, "asked to block: true"},
		"Work without Block": {func(s *inspected) { s.Work(work, nil) }, "asked to block: false"},
		"Work on other input": {func(s *inspected) {
			s.Step(work, nil)
			s.Work(append(append([]byte{}, work[:len(work)-1]...), 'x'), nil)
		}, "does not go on"},
		"Work on more input": {func(s *inspected) { s.Step(work, nil); s.Work(append(work, req...), nil) }, "no reason to read more"},
	} {
		t.Run(name, func(t *testing.T) {
			i, s := inspection(messages{maxBody: 100, maxReply: 100})
			c.calls(s)
			require.NotEmpty(t, i.faults)
			assert.Contains(t, i.faults[0], c.says)
		})
	}
}

func TestInspectorFindsConcurrentCalls(t *testing.T) {
	g := &gate{open: make(chan struct{}), limit: time.Minute}
	i, s := inspection(messages{maxBody: 100, gate: g})
	work, _ := request(opWork, []byte("work"))
	s.Step(work, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Work(work, nil)
	}()
	require.Eventually(t, func() bool { return g.waiting.Load() == 1 }, 10*time.Second, time.Millisecond)
	s.Step(work, nil)
	g.release()
	<-done
	require.Len(t, i.faults, 1)
	assert.Contains(t, i.faults[0], "another call on the same session was running")
}

// meddler changes its own input and output, as a model does that goes on
// reading into a buffer which it has lent to Work.
type meddler struct{}

func (meddler) Step(in, out []byte) (int, []byte, models.Next) {
	in[0]++
	out[0]++
	return len(in), out, models.Next{}
}

func TestInspectorFindsBuffersThatChangeDuringACall(t *testing.T) {
	i := new(inspector)
	s := &inspected{inner: meddler{}, inspector: i, need: 1}
	s.Step([]byte("in"), []byte("out"))
	require.Len(t, i.faults, 2)
	assert.Contains(t, i.faults[0], "changed the input")
	assert.Contains(t, i.faults[1], "changed the output")
}

func TestInspectorPassesItsFindingsToTheRule(t *testing.T) {
	r := rule{name: "inspects", check: func(p *probe) { p.inspect(messages{}).Open().Step(nil, nil) }}
	rec := r.record(newBreakage(flawless).factory, setting{network: "tcp4", patience: time.Second})
	require.Len(t, rec.failures, 1)
	assert.Contains(t, rec.failures[0], "empty input")
}

func TestMessagesAnswersTheSameForEverySplit(t *testing.T) {
	var stream, want []byte
	for i, op := range []byte{opEcho, opWork, opEcho} {
		req, reply := request(op, pattern(uint64(i), i*20))
		stream, want = append(stream, req...), append(want, reply...)
	}
	made, reply := requestMade(opMake, 300)
	stream, want = append(stream, made...), append(want, reply...)
	bye, reply := requestMade(opBye, 30)
	stream, want = append(stream, bye...), append(want, reply...)
	for _, m := range []messages{{}, {stepwise: true}, {realloc: true}} {
		m.maxBody, m.maxReply = 100, 300
		for cut := 1; cut < len(stream); cut++ {
			i, s := inspection(m)
			rest, out, closed := feed(s, nil, stream[:cut], nil)
			if !closed {
				_, out, closed = feed(s, rest, stream[cut:], out)
			}
			require.Equal(t, want, out, "split after %d bytes", cut)
			require.True(t, closed)
			require.Empty(t, i.faults)
		}
	}
}

// feed steps as a model does until more input is needed.
func feed(s *inspected, rest, in, out []byte) ([]byte, []byte, bool) {
	in = append(rest, in...)
	for len(in) >= s.need {
		consumed, reply, next := s.Step(in, out)
		if next.Op == models.Block {
			consumed, reply, next = s.Work(in, reply)
		}
		in, out = in[consumed:], reply
		if next.Op == models.Close {
			return in, out, true
		}
	}
	return in, out, false
}

func TestMessagesClosesOnWhatItDoesNotUnderstand(t *testing.T) {
	tooMuch, _ := requestMade(opMake, 101)
	unknown, _ := request('?', nil)
	short, _ := request(opMake, []byte("abc"))
	for name, in := range map[string][]byte{
		"empty message":     {0, 0, 0, 0},
		"oversized message": {0, 0, 1, 0},
		"oversized reply":   tooMuch,
		"unknown operation": unknown,
		"malformed number":  short,
	} {
		consumed, out, next := messages{maxBody: 100, maxReply: 100}.Open().Step(in, nil)
		assert.Equal(t, models.Close, next.Op, name)
		assert.Zero(t, consumed, name)
		assert.Empty(t, out, name)
	}
}

func TestAGateOpensByItselfWhenNobodyOpensIt(t *testing.T) {
	g := &gate{open: make(chan struct{}), limit: time.Millisecond}
	g.pass()
	assert.Zero(t, g.waiting.Load())
	g.release()
	g.release()
}
