package load

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"netbench/results"
)

// Contender is one of several servers that [Interleave] compares.
type Contender struct {
	Name string

	// Conns and Silent, if Conns is not 0, are the connections of this contender
	// in place of the plan's: the same server under two loads is two contenders.
	Conns, Silent int

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

// Counts are numbers of events. A nil one could not be counted; Absent says why, of
// the first.
type Counts struct {
	Syscalls, Switches *uint64
	Absent             string
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

	// Before is the number of rounds of the same comparison that were held
	// already, by other calls with the same seed: the order goes on from there,
	// and a contender that cannot be started is a fault, not an error.
	Before int

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

	// Faulty names the contenders because of which it does not count.
	Faulty []string `json:"faulty,omitempty"`
}

// fault makes the round invalid because of a contender.
func (r *Round) fault(name, why string) {
	if slices.Contains(r.Faulty, name) {
		return
	}
	r.Faulty = append(r.Faulty, name)
	r.Invalid = cmp.Or(r.Invalid, name+": "+why)
}

// unfit makes the round invalid because the generator failed while it drove a
// contender, who is not to blame.
func (r *Round) unfit(name, why string) {
	r.Invalid = cmp.Or(r.Invalid, "the generator of "+name+" failed: "+why)
}

// Sample is one contender in one round. The metrics of the embedded result are
// taken over all its slices together; each carries its validity.
type Sample struct {
	Name string `json:"name"`
	*Result

	SyscallsPerOp *float64 `json:"syscalls_per_op,omitempty"`
	NoCounts      string   `json:"no_counts,omitempty"` // why system calls and switches could not be counted
	SwitchesPerOp *float64 `json:"ctxsw_per_op,omitempty"`
	AllocsPerOp   *float64 `json:"allocs_per_op,omitempty"`
	BytesPerOp    *float64 `json:"alloc_bytes_per_op,omitempty"`

	// OutsideCPU is the CPU time, in seconds, that the contender used during
	// the round outside its own slices, for instance for a collection that it
	// put off.
	OutsideCPU float64 `json:"outside_cpu_s"`
}

// Saturated tells whether the contender used its CPU set to the share that counts
// as busy ([Thresholds].BusyCPU, 0.95). Only then does its rate tell what it can
// do. Where its CPU time is not known, it was not.
func (s *Sample) Saturated() bool {
	return s != nil && s.Result != nil && s.ServerCPU != nil && *s.ServerCPU >= s.Thresholds.BusyCPU
}

// Comparison is the outcome of [Interleave].
type Comparison struct {
	Names  []string `json:"names"`
	Rounds []*Round `json:"rounds"`
	Seed   uint64   `json:"seed"`
	Steal  *float64 `json:"steal,omitempty"`
}

// Ratio compares contender b with contender a (by their places in Names) over
// the rounds in which both have a valid value above zero. Ratio(b, a) is its
// exact inverse.
func (c *Comparison) Ratio(a, b int, m Metric) Ratio {
	return c.ratio(a, b, m, func(*Round) bool { return true })
}

// RateRatio is Ratio of the rates, over the rounds in which both were saturated.
// The rate of one that is not is set by something else, such as the generator.
func (c *Comparison) RateRatio(a, b int) Ratio {
	return c.ratio(a, b, RequestRate, func(r *Round) bool { return r.Samples[a].Saturated() && r.Samples[b].Saturated() })
}

func (c *Comparison) ratio(a, b int, m Metric, counts func(*Round) bool) Ratio {
	var d []float64
	for _, r := range c.Rounds {
		if r.Invalid != "" || !counts(r) {
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

// Difference is the mean of b's metric less a's, over the rounds in which both
// have a valid value, with its 95 % confidence interval (Student's). It is for
// metrics that may be zero, which have no ratio.
func (c *Comparison) Difference(a, b int, m Metric) Difference {
	var d []float64
	for _, r := range c.Rounds {
		if r.Invalid != "" {
			continue
		}
		va, okA := m(r.Samples[a])
		vb, okB := m(r.Samples[b])
		if okA && okB {
			d = append(d, vb-va)
		}
	}
	return differenceOf(d)
}

// Latency is the distribution of a contender's latencies over all rounds in
// which they are valid, nil if there are none.
func (c *Comparison) Latency(i int) (*Quantiles, error) {
	var sum *hdrhistogram.Histogram
	for _, r := range c.Rounds {
		if r.Invalid != "" || !r.Samples[i].Valid.Latency {
			continue
		}
		h := r.Samples[i].Histogram()
		if h == nil {
			continue
		}
		if sum == nil {
			sum = newHist()
		}
		if dropped := sum.Merge(h); dropped != 0 {
			return nil, fmt.Errorf("%d latencies of %s were dropped when histograms were merged", dropped, c.Names[i])
		}
	}
	return quantiles(sum), nil
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
// A contender that cannot be started or reached in the first round is an error.
// One that fails so later, or crashes, or loses a connection makes its round
// invalid, by name, and the next round begins with fresh servers. A generator
// process that dies makes it invalid too, and is held against nobody. When ctx ends,
// what was measured is returned together with ctx's error.
func Interleave(ctx context.Context, c Comparing, contenders ...Contender) (*Comparison, error) {
	if len(contenders) < 2 {
		return nil, badInput("there are %d contenders (want two or more)", len(contenders))
	}
	if err := c.normalize(len(contenders)); err != nil {
		return nil, err
	}
	out := &Comparison{Seed: c.Seed}
	for _, x := range contenders {
		out.Names = append(out.Names, x.Name)
	}
	steal := results.StartSteal()
	defer func() {
		if share, ok := steal.Share(); ok {
			out.Steal = &share
		}
	}()
	first := int(rand.New(rand.NewPCG(c.Seed, 1)).Uint64() % uint64(len(contenders)))
	for i := range c.Rounds {
		began := time.Now()
		r, err := c.round(ctx, contenders, first+c.Before+i, c.Before+i == 0)
		if err != nil {
			return out, err
		}
		out.Rounds = append(out.Rounds, r)
		if c.Progress != nil {
			c.Progress(i+1, c.Rounds, time.Since(began), r)
		}
	}
	return out, nil
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
