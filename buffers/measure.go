package buffers

import (
	"context"
	"errors"
	"time"
)

// Steady is what [Measure] found of a flow that never pauses.
type Steady struct {
	Moved
	Sender, Receiver SocketState // when it had been measured
}

// verified is how much of a flow is compared byte by byte, before and after it is
// measured.
const verified = 32 << 10

// Measure opens a connection to s, lets the flow get going for settle, then measures
// it for span. The order's Bytes do not matter: there is no end to what is sent. It is
// for links with a distance, where TCP takes many round trips until it knows what it
// may send, so that there is no use in starting and stopping as [Interleave] does.
//
// The first bytes and the first after the span are compared with what should be there:
// whatever was lost or came twice in between would have moved them.
func Measure(ctx context.Context, s *Stream, f Flow, settle, span time.Duration) (out Steady, err error) {
	d, err := s.Open(ctx, f.Reading)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	order := f.Order
	order.Bytes = 1 << 50
	if err := d.Order(order); err != nil {
		return out, err
	}
	if err := d.Verify(verified); err != nil {
		return out, err
	}
	if _, err := d.TakeFor(max(settle, time.Millisecond)); err != nil {
		return out, err
	}
	if err := ctx.Err(); err != nil {
		return out, err
	}
	before, err := s.CPUNow()
	if err != nil {
		return out, err
	}
	began := time.Now()
	n, err := d.TakeFor(span)
	if err != nil {
		return out, err
	}
	out.Bytes, out.Elapsed = n, time.Since(began)
	after, err := s.CPUNow()
	if err != nil {
		return out, err
	}
	out.CPU = after - before
	if out.Sender, err = s.Socket(ctx, d); err != nil {
		return out, err
	}
	if out.Receiver, err = d.Socket(); err != nil {
		return out, err
	}
	return out, d.Verify(verified)
}

// Settling is how long a flow over a round trip should get going before it is
// measured: slow start doubles the window each round trip, and auto-tuning follows
// it by some.
func Settling(roundTrip time.Duration) time.Duration {
	return 300*time.Millisecond + 20*roundTrip
}
