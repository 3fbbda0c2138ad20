package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"netbench/internal/proc"
	"netbench/results"
)

// lane is a contender during one round.
type lane struct {
	name    string
	subject Subject
	session *Session
	sum     tally
	cpu     time.Duration // in its own timed slices
	cpuHere time.Duration // in all its own slices, counted ones too
	wall    time.Duration // of its own slices
	counted tally
	counts  Counts

	noCounts string // why there are none
	before   Allocations
	cpuFrom  time.Duration
	running  int // readings of the CPU clock while the server still ran
}

// clockStep is what a CPU clock read from a running process may be off by: a
// tick of a kernel built for 250 Hz.
const clockStep = 4 * time.Millisecond

// round runs one round; turn numbers it for the order. In the first one a
// contender that cannot be started or reached is an error; later it is known to
// be able to.
func (c *Comparing) round(ctx context.Context, contenders []Contender, turn int, first bool) (r *Round, err error) {
	k := len(contenders)
	lanes := make([]*lane, k)
	r = &Round{Samples: make([]*Sample, k)}
	defer func() {
		for _, l := range lanes {
			if l == nil {
				continue
			}
			if l.session != nil {
				l.session.Close()
			}
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			if e := l.subject.Stop(stop); e != nil && r != nil {
				r.fault(l.name, e.Error())
			}
			cancel()
		}
	}()
	steal := results.StartSteal()
	for _, j := range zigzag(k) {
		i := (turn + j) % k
		r.Order = append(r.Order, i)
		s, err := contenders[i].Start(ctx)
		if err != nil {
			if first && ctx.Err() == nil {
				return nil, fmt.Errorf("start %s: %w", contenders[i].Name, err)
			}
			return c.failed(ctx, r, contenders[i].Name, fmt.Errorf("it could not be started: %w", err))
		}
		lanes[i] = &lane{name: contenders[i].Name, subject: s}
	}
	for _, i := range r.Order {
		l := lanes[i]
		p := c.Plan
		if conns := contenders[i].Conns; conns != 0 {
			p.Conns, p.Silent = conns, contenders[i].Silent
		}
		p.Targets = []Target{l.subject.Target()}
		p.ServerCPUs = l.subject.CPUs()
		if _, err := p.Normalize(); err != nil { // which is nobody's fault but the caller's
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		if l.session, err = Dial(ctx, p); err != nil {
			if first && ctx.Err() == nil {
				return nil, fmt.Errorf("%s: %w", l.name, err)
			}
			var ended *proc.ExitError
			var host hostError
			if (errors.As(err, &ended) || errors.As(err, &host)) && ctx.Err() == nil && !first {
				r.unfit(l.name, err.Error())
				return r, nil
			}
			return c.failed(ctx, r, l.name, err)
		}
	}
	release := holdGC()
	defer release()
	seg := segment{mode: lanes[0].session.p.Mode, duration: c.Warmup, rate: c.Plan.Rate, seed: c.Plan.Seed}
	for _, i := range r.Order {
		warm := lanes[i].session.eng.run(ctx, seg)
		alive := lanes[i].session.prove(ctx)
		lanes[i].sum.blame(&warm)
		lanes[i].sum.blame(&alive)
	}
	for _, l := range lanes {
		if err := l.mark(ctx); err != nil {
			return c.failed(ctx, r, l.name, err)
		}
	}
	seg.duration = c.Slice
	for n, i := range balanced(k, c.Slices, turn) {
		seg.seed = c.Plan.Seed + uint64(n) + 1
		if err := lanes[i].slice(ctx, seg); err != nil {
			return c.failed(ctx, r, lanes[i].name, err)
		}
	}
	for _, i := range r.Order {
		if err := lanes[i].count(ctx, seg, max(0, c.CountSlices)); err != nil {
			return c.failed(ctx, r, lanes[i].name, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err // an interrupted round is no round
	}
	var stolen *float64
	if share, ok := steal.Share(); ok {
		stolen = &share
	}
	for i, l := range lanes {
		s, err := l.sample(ctx, stolen)
		if err != nil {
			return c.failed(ctx, r, l.name, err)
		}
		r.Samples[i] = s
		alive := l.session.prove(ctx)
		switch broken := cmp.Or(l.sum.broken, l.counted.broken, alive.broken); {
		case broken != "":
			r.unfit(l.name, broken)
		case s.Lost > 0:
			r.fault(l.name, fmt.Sprintf("%d connections were lost%s", s.Lost, suffix(s.FirstError)))
		case alive.lost > 0:
			r.fault(l.name, fmt.Sprintf("%d connections were found dead at the end%s", alive.lost, suffix(alive.first)))
		}
	}
	return r, nil
}

// failed makes a round invalid by the name of the contender that failed.
func (c *Comparing) failed(ctx context.Context, r *Round, name string, err error) (*Round, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r.fault(name, err.Error())
	return r, nil
}

// zigzag is the order 0, k-1, 1, k-2, ... In all its rotations together, each read
// forth and back, every contender follows every other equally often (Williams,
// Australian Journal of Scientific Research A 2, 1949).
func zigzag(k int) []int {
	order := make([]int, k)
	for j := range order {
		if order[j] = j / 2; j%2 == 1 {
			order[j] = k - 1 - j/2
		}
	}
	return order
}

// balanced returns the order of n slices of each of k contenders: contenders in a zigzag, forth and back,
// rotated by one each time. For two it is ABBA BAAB.
func balanced(k, n, turn int) []int {
	order := make([]int, 0, k*n)
	forth := zigzag(k)
	back := slices.Clone(forth)
	slices.Reverse(back)
	for pair := range n / 2 {
		for _, j := range forth {
			order = append(order, (turn+pair+j)%k)
		}
		for _, j := range back {
			order = append(order, (turn+pair+j)%k)
		}
	}
	return order
}

// blockedCPU reads the CPU clock once the server is blocked.
func (l *lane) blockedCPU(ctx context.Context) (time.Duration, error) {
	blocked, err := l.subject.Quiesce(ctx)
	if err != nil {
		return 0, err
	}
	if !blocked {
		l.running++
	}
	return l.subject.CPU()
}

// mark notes where the round's accounts begin.
func (l *lane) mark(ctx context.Context) (err error) {
	if l.before, err = l.subject.Allocated(ctx); err != nil {
		return err
	}
	l.cpuFrom, err = l.blockedCPU(ctx)
	return err
}

// slice drives the contender once and books the CPU that it cost.
func (l *lane) slice(ctx context.Context, seg segment) error {
	before, err := l.blockedCPU(ctx)
	if err != nil {
		return err
	}
	t := l.session.eng.run(ctx, seg)
	l.wall += t.took // as the engine saw it: telling other processes is not driving
	after, err := l.blockedCPU(ctx)
	if err != nil {
		return err
	}
	l.cpu += after - before
	l.cpuHere += after - before
	return l.sum.extend(&t)
}

// count drives the contender while its system calls are counted. The times of
// these slices are not used: counting costs up to 6 %.
func (l *lane) count(ctx context.Context, seg segment, slices int) error {
	if slices == 0 {
		return nil
	}
	before, err := l.blockedCPU(ctx)
	if err != nil {
		return err
	}
	stop, err := l.subject.Count(ctx)
	if err != nil {
		l.noCounts = err.Error()
		return nil // an absent counter is absent
	}
	for range slices {
		t := l.session.eng.run(ctx, seg)
		if err = l.counted.extend(&t); err != nil {
			break
		}
	}
	after, quiet := l.blockedCPU(ctx) // the last events belong to these requests
	l.cpuHere += after - before
	counts, e := stop()
	l.counts = counts
	l.sum.lost += l.counted.lost
	return errors.Join(err, quiet, e)
}

// sample closes the contender's accounts.
func (l *lane) sample(ctx context.Context, steal *float64) (*Sample, error) {
	cpu, err := l.blockedCPU(ctx)
	if err != nil {
		return nil, err
	}
	after, err := l.subject.Allocated(ctx)
	if err != nil {
		return nil, err
	}
	p := l.session.p
	s := &Sample{
		Name: l.name, NoCounts: cmp.Or(l.noCounts, l.counts.Absent),
		Result: newResult(&p, &l.sum, circumstances{
			serverCPU: &l.cpu, wall: l.wall, steal: steal,
			processes: l.session.processes, genCPUs: max(1, len(p.CPUs)),
		}),
	}
	if off := time.Duration(l.running) * clockStep; off > l.cpu/100 {
		s.Valid.CPU = false
		s.Reasons = append(s.Reasons, fmt.Sprintf("cpu: the clock was read %d times while the server still ran, so it may be off by %v in %v", l.running, off, l.cpu))
	}
	counted := l.counted.answered()
	perOp := func(n *uint64) *float64 {
		if n == nil || counted == 0 {
			return nil
		}
		v := float64(*n) / float64(counted)
		return &v
	}
	s.SyscallsPerOp, s.SwitchesPerOp = perOp(l.counts.Syscalls), perOp(l.counts.Switches)
	if all := l.sum.answered() + counted; all > 0 && !l.before.Absent && !after.Absent {
		objects := float64(after.Objects-l.before.Objects) / float64(all)
		bytes := float64(after.Bytes-l.before.Bytes) / float64(all)
		s.AllocsPerOp, s.BytesPerOp = &objects, &bytes
	}
	s.OutsideCPU = (cpu - l.cpuFrom - l.cpuHere).Seconds()
	return s, nil
}
