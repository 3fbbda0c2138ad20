package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"netbench/results"
)

// Contender is one of several servers that [Interleave] compares.
type Contender struct {
	Name string

	// Start runs a fresh server. It is called once a round.
	Start func(ctx context.Context) (Subject, error)
}

// Subject is a contender's server while it runs.
type Subject interface {
	// Target is where it listens.
	Target() Target

	// CPUs is the number of CPUs that it may use.
	CPUs() int

	// CPU is the CPU time that its whole process tree has used so far. It is
	// read when the server is blocked: the clock of a running process steps by a
	// kernel tick.
	CPU() (time.Duration, error)

	// Quiesce waits, for a bounded time, until the server is blocked, and tells
	// whether it is.
	Quiesce(ctx context.Context) (blocked bool, err error)

	// Count counts what the server does until stop is called, which returns the
	// counts. Counting may slow the server down.
	Count(ctx context.Context) (stop func() (Counts, error), err error)

	// Allocated is what the server has allocated so far.
	Allocated(ctx context.Context) (Allocations, error)

	// Stop ends the server. It is called once, also after a failure.
	Stop(ctx context.Context) error
}

// Counts are numbers of events. A nil one could not be counted.
type Counts struct {
	Syscalls, Switches *uint64
}

// Allocations of a server since it started. Absent where there is no Go runtime
// to ask.
type Allocations struct {
	Objects, Bytes uint64
	Absent         bool
}

// Comparing is how [Interleave] goes about it. Zero fields have defaults.
type Comparing struct {
	// Plan says how each contender is driven: its mode is Closed, which is
	// meant to saturate the contenders, or Open, which paces them all at
	// Plan.Rate. Its Targets, Duration, Warmup and Requests are not used.
	Plan Plan

	// Rounds is the number of rounds, default 15. Each has fresh processes.
	Rounds int

	// Slice is the length of one slice, default 100 ms, and Slices the number
	// of slices that each contender gets in a round, default 20. It is rounded
	// up to the next multiple of twice the number of contenders, so that each
	// stands in each place equally often.
	Slice  time.Duration
	Slices int

	// CountSlices is the number of further slices for each contender, in which
	// system calls and context switches are counted and no time is taken;
	// default 2, negative for none.
	CountSlices int

	// Warmup is driven before the first slice of a round, default 300 ms.
	Warmup time.Duration

	// Seed makes the order of contenders repeatable.
	Seed uint64

	// Progress is told about each round when it is over; it may be nil.
	Progress func(round, rounds int, took time.Duration, r *Round)
}

// Round is what one round measured: one number for each metric and contender.
type Round struct {
	Order   []int     `json:"order"` // in which contenders were started
	Samples []*Sample `json:"samples"`

	// Invalid says why the round does not count, naming the contender; "" if
	// it does.
	Invalid string `json:"invalid,omitempty"`
}

// Sample is one contender in one round. The metrics of the embedded result are
// taken over all its slices together; each carries its validity.
type Sample struct {
	Name string `json:"name"`
	*Result

	SyscallsPerOp *float64 `json:"syscalls_per_op,omitempty"`
	SwitchesPerOp *float64 `json:"ctxsw_per_op,omitempty"`
	AllocsPerOp   *float64 `json:"allocs_per_op,omitempty"`
	BytesPerOp    *float64 `json:"alloc_bytes_per_op,omitempty"`

	// OutsideCPU is the CPU time, in seconds, that the contender used during
	// the round outside its own slices, for instance for a collection that it
	// put off.
	OutsideCPU float64 `json:"outside_cpu_s"`
}

// Comparison is the outcome of [Interleave].
type Comparison struct {
	Names  []string `json:"names"`
	Rounds []*Round `json:"rounds"`
	Seed   uint64   `json:"seed"`
	Steal  *float64 `json:"steal,omitempty"`
}

// Metric reads one number from a sample; ok is false where it is absent or
// invalid.
type Metric func(*Sample) (v float64, ok bool)

// ServerCPUPerOp is server CPU time for each request, ns.
func ServerCPUPerOp(s *Sample) (float64, bool) { return read(s.ServerPerOp, s.Valid.CPU) }

// GeneratorCPUPerOp is generator CPU time for each request, ns.
func GeneratorCPUPerOp(s *Sample) (float64, bool) {
	return s.GeneratorPerOp, s.GeneratorPerOp > 0 && s.Valid.Counts
}

// RequestRate is requests a second.
func RequestRate(s *Sample) (float64, bool) { return s.Rate, s.Valid.Rate }

// LatencyP50 and LatencyP99 are quantiles of latency, ns.
func LatencyP50(s *Sample) (float64, bool) { return quantile(s, s.Latency.p50()) }
func LatencyP99(s *Sample) (float64, bool) { return quantile(s, s.Latency.p99()) }

// SyscallsPerOp is system calls of the server for each request, SwitchesPerOp
// its context switches, AllocsPerOp its allocations on the heap.
func SyscallsPerOp(s *Sample) (float64, bool) { return read(s.SyscallsPerOp, s.Valid.Counts) }
func SwitchesPerOp(s *Sample) (float64, bool) { return read(s.SwitchesPerOp, s.Valid.Counts) }
func AllocsPerOp(s *Sample) (float64, bool)   { return read(s.AllocsPerOp, s.Valid.Counts) }

func read(v *float64, valid bool) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return *v, valid
}

func quantile(s *Sample, v *int64) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return float64(*v), s.Valid.Latency
}

func (q *Quantiles) p50() *int64 {
	if q == nil {
		return nil
	}
	return q.P50
}

func (q *Quantiles) p99() *int64 {
	if q == nil {
		return nil
	}
	return q.P99
}

// Ratio compares contender b with contender a (by their places in Names) over
// the rounds in which both have a valid value above zero. Ratio(b, a) is its
// exact inverse.
func (c *Comparison) Ratio(a, b int, m Metric) Ratio {
	var d []float64
	for _, r := range c.Rounds {
		if r.Invalid != "" {
			continue
		}
		va, okA := m(r.Samples[a])
		vb, okB := m(r.Samples[b])
		if okA && okB && va > 0 && vb > 0 {
			d = append(d, logRatio(va, vb))
		}
	}
	return ratioOf(d)
}

// Values returns a contender's metric by round, without those in which it is
// absent or invalid.
func (c *Comparison) Values(i int, m Metric) []float64 {
	var vs []float64
	for _, r := range c.Rounds {
		if r.Invalid != "" {
			continue
		}
		if v, ok := m(r.Samples[i]); ok {
			vs = append(vs, v)
		}
	}
	return vs
}

// Interleave compares contenders by driving them in turn.
//
// On a shared machine two runs of the same server, one after the other, differ
// by 12 to 16 %, because the machine's speed drifts meanwhile. So in each round
// fresh processes of all contenders are alive together, and are driven in slices
// of a tenth of a second in balanced order: drift then meets all of them alike.
// Each slice drains, and the server's CPU clock is read when it is blocked
// again. A round gives one number for each metric and contender; their
// logarithmic differences, over rounds, are what [Comparison.Ratio] judges.
//
// Which contender is started, connected and driven first changes from round to
// round, as the first to start has been seen to differ by 2 % from its twin.
//
// A contender that cannot be started is an error. One that crashes or loses a
// connection makes its round invalid, by name. When ctx ends, what was measured
// is returned together with ctx's error.
func Interleave(ctx context.Context, c Comparing, contenders ...Contender) (*Comparison, error) {
	if len(contenders) < 2 {
		return nil, badInput("there are %d contenders (want two or more)", len(contenders))
	}
	if err := c.normalize(len(contenders)); err != nil {
		return nil, err
	}
	cmp := &Comparison{Seed: c.Seed}
	for _, x := range contenders {
		cmp.Names = append(cmp.Names, x.Name)
	}
	steal := results.StartSteal()
	defer func() {
		if share, ok := steal.Share(); ok {
			cmp.Steal = &share
		}
	}()
	first := int(rand.New(rand.NewPCG(c.Seed, 1)).Uint64() % uint64(len(contenders)))
	for i := range c.Rounds {
		began := time.Now()
		r, err := c.round(ctx, contenders, first+i)
		if err != nil {
			return cmp, err
		}
		cmp.Rounds = append(cmp.Rounds, r)
		if c.Progress != nil {
			c.Progress(i+1, c.Rounds, time.Since(began), r)
		}
	}
	return cmp, nil
}

func (c *Comparing) normalize(k int) error {
	for _, f := range []struct {
		name string
		v    *int
		zero int
	}{{"rounds", &c.Rounds, 15}, {"slices", &c.Slices, 20}} {
		if *f.v == 0 {
			*f.v = f.zero
		}
		if *f.v < 1 {
			return badInput("%s is %d (want at least 1)", f.name, *f.v)
		}
	}
	c.Slices = (c.Slices + 2*k - 1) / (2 * k) * 2 * k
	if c.Slice == 0 {
		c.Slice = 100 * time.Millisecond
	}
	if c.Slice < 10*time.Millisecond {
		return badInput("slice is %v (want at least 10ms: starting and draining would weigh too much)", c.Slice)
	}
	if c.Warmup == 0 {
		c.Warmup = 300 * time.Millisecond
	}
	if c.CountSlices == 0 {
		c.CountSlices = 2
	}
	if m := c.Plan.Mode; m != "" && m != Closed && m != Open {
		return badInput("mode %s cannot be interleaved (use closed or open)", m)
	}
	return nil
}

// lane is a contender during one round.
type lane struct {
	name    string
	subject Subject
	session *Session
	sum     tally
	cpu     time.Duration // in its own slices
	wall    time.Duration // of its own slices
	counted tally
	counts  Counts
	before  Allocations
	cpuFrom time.Duration
	running int // readings of the CPU clock while the server still ran
}

// clockStep is what a CPU clock read from a running process may be off by: a
// tick of a kernel built for 250 Hz.
const clockStep = 4 * time.Millisecond

// round runs one round; turn numbers it for the order.
func (c *Comparing) round(ctx context.Context, contenders []Contender, turn int) (r *Round, err error) {
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
			if e := l.subject.Stop(stop); e != nil && r != nil && r.Invalid == "" {
				r.Invalid = fmt.Sprintf("%s: %v", l.name, e)
			}
			cancel()
		}
	}()
	steal := results.StartSteal()
	for j := range k {
		i := (turn + j) % k
		r.Order = append(r.Order, i)
		s, err := contenders[i].Start(ctx)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", contenders[i].Name, err)
		}
		lanes[i] = &lane{name: contenders[i].Name, subject: s}
	}
	for _, i := range r.Order {
		l := lanes[i]
		p := c.Plan
		p.Targets = []Target{l.subject.Target()}
		p.ServerCPUs = l.subject.CPUs()
		if l.session, err = Dial(ctx, p); err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
	}
	release := holdGC()
	defer release()
	seg := segment{mode: lanes[0].session.p.Mode, duration: c.Warmup, rate: c.Plan.Rate, seed: c.Plan.Seed}
	for _, i := range r.Order {
		warm := lanes[i].session.eng.run(ctx, seg)
		lanes[i].sum.lost, lanes[i].sum.first = warm.lost, warm.first
	}
	for _, l := range lanes {
		if err := l.mark(ctx); err != nil {
			return c.failed(ctx, r, l, err)
		}
	}
	seg.duration = c.Slice
	for n, i := range balanced(k, c.Slices, turn) {
		seg.seed = c.Plan.Seed + uint64(n) + 1
		if err := lanes[i].slice(ctx, seg); err != nil {
			return c.failed(ctx, r, lanes[i], err)
		}
	}
	for _, i := range r.Order {
		if err := lanes[i].count(ctx, seg, max(0, c.CountSlices)); err != nil {
			return c.failed(ctx, r, lanes[i], err)
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
			return c.failed(ctx, r, l, err)
		}
		if r.Samples[i] = s; s.Lost > 0 && r.Invalid == "" {
			r.Invalid = fmt.Sprintf("%s: %d connections were lost%s", l.name, s.Lost, suffix(s.FirstError))
		}
	}
	return r, nil
}

// failed makes a round invalid by the name of the contender that failed.
func (c *Comparing) failed(ctx context.Context, r *Round, l *lane, err error) (*Round, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r.Invalid = fmt.Sprintf("%s: %v", l.name, err)
	return r, nil
}

// balanced returns the order of slices: contenders forth and back, beginning one
// further each time. For two it is ABBA BAAB.
func balanced(k, slices, turn int) []int {
	order := make([]int, 0, k*slices)
	for pair := range slices / 2 {
		for j := range k {
			order = append(order, (turn+pair+j)%k)
		}
		for j := range k {
			order = append(order, (turn+pair+k-1-j)%k)
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
	start := nanos()
	t := l.session.eng.run(ctx, seg)
	l.wall += time.Duration(nanos() - start)
	after, err := l.blockedCPU(ctx)
	if err != nil {
		return err
	}
	l.cpu += after - before
	return l.sum.extend(&t)
}

// count drives the contender while its system calls are counted. The times of
// these slices are not used: counting costs up to 6 %.
func (l *lane) count(ctx context.Context, seg segment, slices int) error {
	if slices == 0 {
		return nil
	}
	stop, err := l.subject.Count(ctx)
	if err != nil {
		return nil // an absent counter is absent
	}
	for range slices {
		t := l.session.eng.run(ctx, seg)
		if err = l.counted.extend(&t); err != nil {
			break
		}
	}
	_, quiet := l.subject.Quiesce(ctx) // the last events belong to these requests
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
		Name: l.name,
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
	s.OutsideCPU = (cpu - l.cpuFrom - l.cpu).Seconds()
	return s, nil
}
