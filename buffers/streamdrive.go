package buffers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"netbench/load"
)

// Flow is one way to move bytes from a [Stream] to a client: a contender of
// [Interleave], or what [Measure] looks at.
type Flow struct {
	Name    string
	Order   Order
	Reading Reading
}

// Moved is what came of a flow while it was driven.
type Moved struct {
	Bytes   int64 // that the client read
	Elapsed time.Duration

	// CPU is what the server's process used meanwhile, and Written the bytes that it
	// wrote with it. They are more or less than Bytes by what the kernels held before
	// and after: with much room in socket buffers, a server writes in bursts.
	CPU     time.Duration
	Written int64

	// Allocated is the number of objects that the server allocated meanwhile, found by
	// [Stream.Meter] only.
	Allocated uint64

	// Syscalls is what the server asked of the kernel for CountedBytes, in slices
	// of their own; CountedBytes is 0 where nothing was counted, and NoCounts says
	// why.
	Syscalls     uint64
	CountedBytes int64
	NoCounts     string
}

// Rate is bytes per second.
func (m Moved) Rate() float64 { return float64(m.Bytes) / m.Elapsed.Seconds() }

// CPUPerKiB is the server's CPU time by KiB that it wrote, in ns; NaN if it wrote nothing, or
// so little that its clock did not move.
func (m Moved) CPUPerKiB() float64 {
	if m.Written == 0 || m.CPU <= 0 {
		return math.NaN()
	}
	return float64(m.CPU) / (float64(m.Written) / 1024)
}

// SyscallsPerMiB is the server's system calls by MiB; ok is false where nothing was
// counted.
func (m Moved) SyscallsPerMiB() (v float64, ok bool) {
	if m.CountedBytes == 0 {
		return 0, false
	}
	return float64(m.Syscalls) / (float64(m.CountedBytes) / (1 << 20)), true
}

// Turns say how [Interleave] drives its contenders. Zero fields have defaults.
type Turns struct {
	Rounds int           // fresh servers in each; default 6
	Slices int           // of each contender in a round; default 10
	Slice  time.Duration // default 100 ms; an order that is begun is read to its end
	Seed   uint64        // of the order of contenders
	At     StreamOptions // where the servers are
}

// Interleave compares flows. In each round fresh servers of all are alive, and are
// driven in turn, in slices whose order is shuffled anew, so that the machine's drift
// meets all alike. A slice is whole orders, one after the other, so that a server is
// blocked when its CPU clock is read. The first order of a round is compared byte by
// byte and not timed, as is the last: that finds whatever a hash of them would. System
// calls are counted in one more slice, as counting costs time.
//
// It returns one value for each flow and round, out[flow][round].
func Interleave(ctx context.Context, t Turns, flows ...Flow) ([][]Moved, error) {
	t.Rounds, t.Slices = cmp.Or(t.Rounds, 6), cmp.Or(t.Slices, 10)
	t.Slice = cmp.Or(t.Slice, 100*time.Millisecond)
	if len(flows) < 2 || t.Rounds < 1 || t.Slices < 1 || t.Slice < time.Millisecond {
		return nil, fmt.Errorf("buffers: interleave %d flows in %d rounds of %d slices of %v: at least 2, 1, 1 and 1ms are needed",
			len(flows), t.Rounds, t.Slices, t.Slice)
	}
	out := make([][]Moved, len(flows))
	random := rand.New(rand.NewPCG(t.Seed, 7))
	for range t.Rounds {
		round, err := t.round(ctx, random, flows)
		if err != nil {
			return nil, err
		}
		for i, m := range round {
			out[i] = append(out[i], m)
		}
	}
	return out, nil
}

// round drives fresh servers of all flows.
func (t Turns) round(ctx context.Context, random *rand.Rand, flows []Flow) (moved []Moved, err error) {
	lanes := make([]*lane, len(flows))
	defer func() {
		for _, l := range lanes {
			if l != nil {
				err = errors.Join(err, l.close())
			}
		}
	}()
	for _, i := range random.Perm(len(flows)) {
		if lanes[i], err = newLane(ctx, t.At, flows[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", flows[i].Name, err)
		}
	}
	moved = make([]Moved, len(flows))
	for range t.Slices {
		for _, i := range random.Perm(len(flows)) {
			if err := lanes[i].slice(ctx, t.Slice, &moved[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", flows[i].Name, err)
			}
		}
	}
	for i, l := range lanes {
		if err := l.count(ctx, t.Slice, &moved[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", flows[i].Name, err)
		}
		if err := l.prove(); err != nil {
			return nil, fmt.Errorf("%s: %w", flows[i].Name, err)
		}
	}
	return moved, nil
}

// lane is a flow with a server of its own, which one connection is open to.
type lane struct {
	flow     Flow
	stream   *Stream
	download *Download
}

// newLane starts a server, connects, and proves that the bytes are right.
func newLane(ctx context.Context, at StreamOptions, f Flow) (*lane, error) {
	s, err := StartStream(ctx, at)
	if err != nil {
		return nil, err
	}
	d, err := s.Open(ctx, f.Reading)
	if err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	l := &lane{f, s, d}
	if err := l.prove(); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *lane) close() error { return errors.Join(l.download.Close(), l.stream.Kill()) }

// prove carries out the order once and compares every byte.
func (l *lane) prove() error {
	if err := l.download.Order(l.flow.Order); err != nil {
		return err
	}
	return l.download.Verify(l.flow.Order.Bytes)
}

// orders carries out orders until the time is over, and returns their bytes and what they
// took.
func (l *lane) orders(ctx context.Context, span time.Duration) (n int64, took time.Duration, err error) {
	began := time.Now()
	for {
		if took = time.Since(began); took >= span {
			return n, took, nil
		}
		if err := ctx.Err(); err != nil {
			return n, took, err
		}
		if err := l.download.Order(l.flow.Order); err != nil {
			return n, took, err
		}
		if err := l.download.Take(l.flow.Order.Bytes); err != nil {
			return n, took, err
		}
		n += l.flow.Order.Bytes
	}
}

// slice adds what a slice moved and cost.
func (l *lane) slice(ctx context.Context, span time.Duration, m *Moved) error {
	before, err := l.stream.CPU(ctx)
	if err != nil {
		return err
	}
	n, took, err := l.orders(ctx, span)
	if err != nil {
		return err
	}
	after, err := l.stream.CPU(ctx)
	if err != nil {
		return err
	}
	m.Bytes += n
	m.Written += n // whole orders
	m.Elapsed += took
	m.CPU += after - before
	return nil
}

// count counts the server's system calls in a slice whose time does not count.
func (l *lane) count(ctx context.Context, span time.Duration, m *Moved) error {
	return l.stream.Count(ctx, l.download, m, func() error {
		if _, _, err := l.orders(ctx, span); err != nil {
			return err
		}
		_, err := l.stream.CPU(ctx) // waits until it is blocked
		return err
	})
}

// RatioOf compares flow b with flow a by a metric, round by round; both are as
// [Interleave] returns them. A round in which either has no value does not count.
func RatioOf(metric func(Moved) float64, a, b []Moved) load.Ratio {
	var as, bs []float64
	for i := range a {
		if x, y := metric(a[i]), metric(b[i]); !math.IsNaN(x) && !math.IsNaN(y) {
			as, bs = append(as, x), append(bs, y)
		}
	}
	return load.RatioOf(as, bs)
}

// Sum is all rounds of a flow together.
func Sum(all []Moved) (sum Moved) {
	for _, m := range all {
		sum.Bytes += m.Bytes
		sum.Written += m.Written
		sum.Elapsed += m.Elapsed
		sum.CPU += m.CPU
		sum.Allocated += m.Allocated
		sum.Syscalls += m.Syscalls
		sum.CountedBytes += m.CountedBytes
		sum.NoCounts = cmp.Or(sum.NoCounts, m.NoCounts)
	}
	return sum
}
