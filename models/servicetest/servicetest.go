// Package servicetest checks that a service keeps the rules of
// [netbench/models.Session].
//
// The rule that matters most is that the output depends on the bytes alone and
// never on how they were split into reads: a model that reads more or less at
// once must not be able to change an answer. So the same input is fed to two
// sessions, to one whole and to the other piece by piece, and all that can be
// observed must be equal. At each step the limits that models size their
// buffers by are checked too.
package servicetest

import (
	"bytes"
	"fmt"

	"netbench/models"
)

// Outcome is all that can be observed of a session after some input.
type Outcome struct {
	Output   []byte
	Consumed int  // bytes of the input that the session consumed
	Closed   bool // whether it asked to close the connection
	Steps    int  // number of steps that consumed something
}

// Run feeds input to a new session of service, in the pieces that splits gives,
// and obeys Need as a model does. A split is the size of the next piece in
// bytes, and 0 is the same as 1; the list starts over when it ends, and without
// splits the input comes whole. The error says which rule was broken.
func Run(service models.Service, input []byte, splits []byte) (Outcome, error) {
	limits := service.Limits()
	session := service.Open()
	var o Outcome
	arrived, need := 0, 1
	for turn := 0; arrived < len(input); turn++ {
		if len(splits) == 0 {
			arrived = len(input)
		} else {
			arrived = min(len(input), arrived+max(1, int(splits[turn%len(splits)])))
		}
		for !o.Closed && arrived > o.Consumed && arrived-o.Consumed >= need {
			in := bytes.Clone(input[o.Consumed:arrived])
			in = in[:len(in):len(in)]
			consumed, out, next, err := step(session, limits, in, o.Output)
			if err != nil {
				return o, fmt.Errorf("%s, with %d of %d bytes consumed and %d buffered: %w",
					service.Name(), o.Consumed, len(input), len(in), err)
			}
			o.Consumed += consumed
			o.Output = out
			o.Closed = next.Op == models.Close
			need = max(1, next.Need)
			if consumed == 0 {
				if next.Op == models.Continue && need <= len(in) {
					need = len(in) + 1
				}
				break
			}
			o.Steps++
		}
	}
	return o, nil
}

// step makes one step, or the work that it asks for, and checks it.
func step(session models.Session, limits models.Limits, in, out []byte) (int, []byte, models.Next, error) {
	fail := func(format string, args ...any) (int, []byte, models.Next, error) {
		return 0, nil, models.Next{}, fmt.Errorf(format, args...)
	}
	inBefore, outBefore := bytes.Clone(in), bytes.Clone(out)
	consumed, reply, next := session.Step(in, out)
	if next.Op == models.Block {
		if consumed != 0 || len(reply) != len(out) {
			return fail("a step that blocks consumed %d bytes and appended %d", consumed, len(reply)-len(out))
		}
		worker, ok := session.(models.Blocker)
		if !ok {
			return fail("a step blocks, but the session is no Blocker")
		}
		if consumed, reply, next = worker.Work(in, out); next.Op == models.Block {
			return fail("work blocks")
		}
	}
	switch {
	case consumed < 0 || consumed > len(in):
		return fail("consumed %d bytes", consumed)
	case next.Op > models.Block:
		return fail("unknown op %d", next.Op)
	case next.Need < 0 || next.Need > max(1, limits.Request):
		return fail("needs %d bytes, more than Limits.Request, which is %d", next.Need, limits.Request)
	case len(reply) < len(out) || !bytes.Equal(reply[:len(out)], outBefore):
		return fail("changed output that it did not make")
	case len(reply)-len(out) > limits.Reply+len(in):
		return fail("appended %d bytes, more than Limits.Reply, which is %d, and its input", len(reply)-len(out), limits.Reply)
	case !bytes.Equal(in, inBefore):
		return fail("wrote to its input")
	case consumed == 0 && next.Op == models.Continue && len(in) >= limits.Request:
		return fail("made no progress with %d bytes, though Limits.Request is %d", len(in), limits.Request)
	}
	// The input belongs to the model again: a reply that aliases it changes now.
	copied := bytes.Clone(reply)
	for i := range in {
		in[i] ^= 0xff
	}
	if !bytes.Equal(reply, copied) {
		return fail("the reply aliases the input")
	}
	return consumed, reply, next, nil
}

// Compare feeds input whole and in pieces and returns what a whole input led
// to. The error says what differs, or which rule was broken.
func Compare(service models.Service, input, splits []byte) (Outcome, error) {
	whole, err := Run(service, input, nil)
	if err != nil {
		return whole, fmt.Errorf("input as a whole: %w", err)
	}
	pieces, err := Run(service, input, splits)
	if err != nil {
		return whole, fmt.Errorf("input in pieces: %w", err)
	}
	switch {
	case !bytes.Equal(whole.Output, pieces.Output):
		return whole, fmt.Errorf("%s answers %s to a whole input and %s to pieces",
			service.Name(), brief(whole.Output), brief(pieces.Output))
	case whole.Closed != pieces.Closed:
		return whole, fmt.Errorf("%s closes after a whole input: %t, after pieces: %t",
			service.Name(), whole.Closed, pieces.Closed)
	case whole.Consumed != pieces.Consumed:
		return whole, fmt.Errorf("%s consumes %d bytes of a whole input and %d of pieces",
			service.Name(), whole.Consumed, pieces.Consumed)
	}
	return whole, nil
}

// brief is b, shortened to what a person can read.
func brief(b []byte) string {
	const most = 512
	if len(b) <= most {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%q and %d bytes more", b[:most], len(b)-most)
}
