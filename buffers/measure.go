package buffers

import (
	"context"
	"errors"
	"time"

	"netbench/internal/counters"
)

// Steady is what [Measure] found of a flow that never pauses.
type Steady struct {
	Moved
	Sender, Receiver SocketState // when it had been measured
	Resent           uint32      // segments sent again while it was measured
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
	before, err := s.Socket(ctx, d)
	if err != nil {
		return out, err
	}
	if out.Moved, err = s.Meter(ctx, d, func() error { _, err := d.TakeFor(span); return err }); err != nil {
		return out, err
	}
	if out.Sender, err = s.Socket(ctx, d); err != nil {
		return out, err
	}
	out.Resent = out.Sender.Retransmits - before.Retransmits
	if out.Receiver, err = d.Socket(); err != nil {
		return out, err
	}
	return out, d.Verify(verified)
}

// Meter says what was moved and what it cost the server while read reads from d, which
// is one of its downloads. The server may be in the middle of writing before and after.
// Asking it is not part of what is measured.
func (s *Stream) Meter(ctx context.Context, d *Download, read func() error) (m Moved, err error) {
	first, err := s.Progress(ctx, d)
	if err != nil {
		return m, err
	}
	from, err := s.Progress(ctx, d)
	if err != nil {
		return m, err
	}
	before, err := s.CPUNow()
	if err != nil {
		return m, err
	}
	total, began := d.total, time.Now()
	if err := read(); err != nil {
		return m, err
	}
	m.Bytes, m.Elapsed = d.total-total, time.Since(began)
	after, err := s.CPUNow()
	if err != nil {
		return m, err
	}
	to, err := s.Progress(ctx, d)
	if err != nil {
		return m, err
	}
	m.CPU, m.Written = after-before, to.Written-from.Written
	// What answering allocates is known from the first answer.
	m.Allocated = uint64(max(0, int64(to.Allocated-from.Allocated)-int64(from.Allocated-first.Allocated)))
	return m, nil
}

// Count adds to m the system calls that the server makes while read reads from d; see
// Meter.
func (s *Stream) Count(ctx context.Context, d *Download, m *Moved, read func() error) error {
	set, err := counters.Open(s.PID())
	if err != nil {
		m.NoCounts = err.Error()
		return nil // what cannot be counted is absent
	}
	defer set.Close()
	from, err := s.Progress(ctx, d)
	if err != nil {
		return err
	}
	before, err := set.Read()
	if err != nil {
		return err
	}
	if err := read(); err != nil {
		return err
	}
	after, err := set.Read()
	if err != nil {
		return err
	}
	to, err := s.Progress(ctx, d)
	if err != nil {
		return err
	}
	counted := after.Sub(before)
	if m.NoCounts = counted.NoSyscalls; m.NoCounts == "" {
		m.Syscalls += counted.Syscalls
		m.CountedBytes += to.Written - from.Written
	}
	return nil
}

// Settling is how long a flow over a round trip should get going before it is
// measured: slow start doubles the window each round trip, and auto-tuning follows
// it by some.
func Settling(roundTrip time.Duration) time.Duration {
	return 300*time.Millisecond + 20*roundTrip
}
