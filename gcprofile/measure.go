package gcprofile

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"netbench/load"
	"netbench/testenv"
)

// Defaults of [Drive].
const (
	DefaultConns       = 50
	DefaultCollections = 10
	DefaultMinBlock    = 3 * time.Second
	DefaultMaxBlock    = time.Minute
	DefaultWarm        = 5 * time.Second
)

// maxRate is the most that package load drives, requests a second.
const maxRate = 1e8

// Drive says how a block is driven.
type Drive struct {
	Rate  float64 `json:"rate"`  // requests a second, due at times fixed beforehand; more than 0, up to 1e8
	Conns int     `json:"conns"` // connections; 0 means DefaultConns

	// Collections is how many collections a block has to have seen before it ends,
	// so that it is not chance whether one fell into it; 0 means DefaultCollections.
	Collections int `json:"collections"`

	// Min and Max bound the length of a block; 0 means the default. A block that
	// reaches Max has fewer collections, and says so.
	Min time.Duration `json:"min_ns"`
	Max time.Duration `json:"max_ns"`

	// Warm is the longest time that a server is driven before its block begins: to
	// its first collection, when its heap has had its full size once; 0 means the
	// default.
	Warm time.Duration `json:"warm_ns"`
}

func (d Drive) withDefaults() Drive {
	d.Conns = cmp.Or(d.Conns, DefaultConns)
	d.Collections = cmp.Or(d.Collections, DefaultCollections)
	d.Min = cmp.Or(d.Min, DefaultMinBlock)
	d.Max = max(d.Min, cmp.Or(d.Max, DefaultMaxBlock))
	d.Warm = cmp.Or(d.Warm, DefaultWarm)
	return d
}

// Check returns an error that wraps [ErrInput] for what cannot be driven.
func (d Drive) Check() error {
	switch {
	case !(d.Rate > 0 && d.Rate <= maxRate):
		return badInput("the rate is %v requests a second (want more than 0, up to 1e8)", d.Rate)
	case d.Conns < 0 || d.Conns > 10_000:
		return badInput("conns is %d (want 1 to 10000)", d.Conns)
	case d.Collections < 0 || d.Collections > 100_000:
		return badInput("collections is %d (want 1 or more in a block)", d.Collections)
	case d.Min < 0 || d.Max < 0 || d.Warm < 0:
		return badInput("a block lasts %v to %v, after at most %v (want more than 0)", d.Min, d.Max, d.Warm)
	}
	return nil
}

// Quantiles of a distribution, nanoseconds. A quantile q is nil if there were fewer
// than 10/(1-q) samples.
type Quantiles struct {
	P50   *int64 `json:"p50,omitempty"`
	P90   *int64 `json:"p90,omitempty"`
	P99   *int64 `json:"p99,omitempty"`
	P999  *int64 `json:"p999,omitempty"`
	Max   *int64 `json:"max,omitempty"`
	Count int64  `json:"count"`
}

// samplesFor is the least number of samples that a quantile is told from.
func samplesFor(q float64) int64 { return int64(math.Round(10 / (1 - q))) }

// summarize reads the quantiles of n samples from at.
func summarize(n int64, at func(q float64) int64) Quantiles {
	s := Quantiles{Count: n}
	for _, f := range []struct {
		to **int64
		q  float64
	}{{&s.P50, 0.5}, {&s.P90, 0.9}, {&s.P99, 0.99}, {&s.P999, 0.999}} {
		if n >= samplesFor(f.q) {
			v := at(f.q)
			*f.to = &v
		}
	}
	if n > 0 {
		v := at(1)
		s.Max = &v
	}
	return s
}

// ofLatencies are the quantiles that the generator did not make, by the lag with which
// it sent, and why others are left out.
func ofLatencies(latencies, lags *hdrhistogram.Histogram) (Quantiles, []string) {
	q, late := load.WithoutLate(latencies, lags)
	return Quantiles{q.P50, q.P90, q.P99, q.P999, q.Max, q.Count}, late
}

func ofRuntime(h testenv.Histogram) Quantiles {
	return summarize(int64(h.Count()), func(q float64) int64 {
		v, _ := h.Quantile(q)
		return int64(v)
	})
}

// Block is what one server did under load for a while.
type Block struct {
	Spec    Spec          `json:"spec"`
	Drive   Drive         `json:"drive"`
	Lasted  time.Duration `json:"lasted_ns"` // wall clock, between two looks at the runtime
	Answers int64         `json:"answers"`   // requests answered

	// Latency counts from the time a request was due. Its quantiles are absent if
	// they are not to be believed; Reasons say why. One is believed if the generator's
	// lag at the same quantile is at most 5 % of it, or 200 µs.
	Latency Quantiles `json:"latency"`
	Reasons []string  `json:"reasons,omitempty"`

	// P99AtMost is the p99 as it was measured, also where the generator was late: the
	// server's own is not above it, as the generator's lag only adds to latencies. It
	// is absent with too few samples, and where more than a lag speaks against it.
	P99AtMost *int64 `json:"p99_at_most_ns,omitempty"`

	// Overloaded tells that the server did not keep up: it answered fewer than 95 %
	// of what was due while it was due, or some not at all. No goal of latency is met
	// then, and the block ends early.
	Overloaded bool `json:"overloaded,omitempty"`

	Allocs float64 `json:"allocs_per_request"` // objects on the heap
	Bytes  float64 `json:"bytes_per_request"`  // bytes on the heap

	Collections uint64 `json:"collections"`
	Reached     bool   `json:"reached"` // at least as many as were asked for

	// GCShare is the share of the CPU time that the server used, and AssistShare
	// the part of it that goroutines had to do that wanted to allocate, 0 to 1. By
	// the kernel's account of CPU time, and the runtime's of collections.
	GCShare     *float64 `json:"gc_share,omitempty"`
	AssistShare *float64 `json:"assist_share,omitempty"`

	// GCOfAll is the share of all CPU time that the server could have used, but for
	// marking by processors that were idle: what the runtime limits to one half.
	GCOfAll float64 `json:"gc_of_all"`
	Limited bool    `json:"limited,omitempty"` // the runtime did so during the block

	Pauses    Quantiles `json:"pauses"`     // that stopped the world, two for each collection
	SchedWait Quantiles `json:"sched_wait"` // of goroutines that could have run

	PeakRSS  uint64 `json:"peak_rss,omitempty"` // bytes, since the process began; 0 where the system does not tell
	HeapGoal uint64 `json:"heap_goal"`          // bytes, at the end
	HeapLive uint64 `json:"heap_live"`          // bytes, that the last collection found

	latencies *hdrhistogram.Histogram // with lags, or both nil
	lags      *hdrhistogram.Histogram
	pauses    testenv.Histogram
	waits     testenv.Histogram
}

// spiralShare is the share of all CPU time from which on collections have taken over:
// the runtime's limit is 0.5.
const spiralShare = 0.4

// Spiral tells that collections followed each other without pause. Under a memory limit
// this is the death spiral.
func (b *Block) Spiral() bool { return b.Limited || b.GCOfAll >= spiralShare }

// CollectionsPerMinute is their rate.
func (b *Block) CollectionsPerMinute() float64 {
	return float64(b.Collections) / b.Lasted.Minutes()
}

// step is the least time between two looks at the runtime.
const step = 500 * time.Millisecond

// histogramMax is the largest latency that is recorded; that of package load.
const histogramMax = time.Hour

// Measure drives a server that was just started for one block.
func Measure(ctx context.Context, s *Server, d Drive) (*Block, error) {
	d = d.withDefaults()
	if err := d.Check(); err != nil {
		return nil, err
	}
	if err := warm(ctx, s, d); err != nil {
		return nil, err
	}
	plan := s.Plan(d.Conns, d.Rate)
	plan.Thresholds.SendLag = load.AnyLag // it is judged quantile by quantile
	session, err := load.Dial(ctx, plan)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	before, err := s.Stats(ctx)
	if err != nil {
		return nil, err
	}
	b := &Block{Spec: s.Spec, Drive: d, latencies: newHistogram(), lags: newHistogram()}
	valid := true
	driven, now := time.Duration(0), before
	for next := d.Min; next > 0; next = d.more(driven, now.Runtime.GCCycles-before.Runtime.GCCycles) {
		r, err := session.Run(ctx, load.Span{Duration: next})
		if err != nil {
			return nil, err
		}
		if r.Interrupted {
			return nil, cmp.Or(ctx.Err(), context.Canceled)
		}
		driven += next
		b.add(r)
		valid = valid && r.Valid.Latency
		for sum, h := range map[*hdrhistogram.Histogram]*hdrhistogram.Histogram{b.latencies: r.Histogram(), b.lags: r.SendLagHistogram()} {
			if h == nil {
				continue
			}
			if dropped := sum.Merge(h); dropped != 0 {
				return nil, fmt.Errorf("%d latencies were dropped when histograms were merged", dropped)
			}
		}
		if now, err = s.Stats(ctx); err != nil {
			return nil, err
		}
		if b.Overloaded {
			break // it only gets worse, and lost connections are not driven any more
		}
	}
	b.read(before, now)
	b.judge(valid)
	return b, nil
}

// judge fills in what is believed of the latencies; valid is whether they are anything
// but late.
func (b *Block) judge(valid bool) {
	b.Latency, b.P99AtMost = Quantiles{Count: b.latencies.TotalCount()}, nil
	if !valid {
		b.latencies, b.lags = nil, nil
		return
	}
	var late []string
	b.Latency, late = ofLatencies(b.latencies, b.lags)
	b.Reasons = append(b.Reasons, late...)
	if b.latencies.TotalCount() >= samplesFor(0.99) {
		measured := b.latencies.ValueAtQuantile(99)
		b.P99AtMost = &measured
	}
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(histogramMax), 3) }

// warm collects, so that every server begins with its live set alone, and drives it
// over connections of its own: some may be lost if it does not keep up.
func warm(ctx context.Context, s *Server, d Drive) error {
	if err := s.Collect(ctx); err != nil {
		return err
	}
	session, err := load.Dial(ctx, s.Plan(d.Conns, d.Rate))
	if err != nil {
		return err
	}
	defer session.Close()
	r, err := s.Runtime(ctx)
	from := r.GCCycles
	for driven := time.Duration(0); err == nil && r.GCCycles == from && driven < d.Warm; driven += step {
		if _, err := session.Run(ctx, load.Span{Duration: min(step, d.Warm-driven)}); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r, err = s.Runtime(ctx)
	}
	return err
}

// more is how long to go on: as long as the collections that are missing will take at
// the pace so far, within what is left of the time; 0 to end.
func (d Drive) more(driven time.Duration, collections uint64) time.Duration {
	left := d.Max - driven
	if int(collections) >= d.Collections || left <= 0 {
		return 0
	}
	need := driven // none so far: as long again
	if collections > 0 {
		missing := float64(d.Collections) - float64(collections) + 0.5
		need = time.Duration(float64(driven) / float64(collections) * missing)
	}
	return min(left, max(step, need))
}

// add notes what a run of the generator says beside its latencies.
func (b *Block) add(r *load.Result) {
	b.Answers += r.Answered
	due := r.Offered * r.Duration
	inTime := r.Rate * r.Duration
	if r.Valid.Rate && inTime < 0.95*due-10 || r.Lost > 0 || r.Success < 1 {
		b.Overloaded = true
	}
	for _, why := range r.Reasons {
		if !slices.Contains(b.Reasons, why) {
			b.Reasons = append(b.Reasons, why)
		}
	}
}

// read fills in what the server's process tells.
func (b *Block) read(from, to testenv.Snapshot) {
	f, t := from.Runtime, to.Runtime
	b.Lasted = to.Time.Sub(from.Time)
	if b.Answers > 0 {
		b.Allocs = float64(t.Mallocs-f.Mallocs) / float64(b.Answers)
		b.Bytes = float64(t.AllocBytes-f.AllocBytes) / float64(b.Answers)
	}
	b.Collections = t.GCCycles - f.GCCycles
	b.Reached = int(b.Collections) >= b.Drive.Collections
	if share, ok := to.GCShare(from); ok {
		used := to.Rusage.User + to.Rusage.System - from.Rusage.User - from.Rusage.System
		assist := min(1, max(0, (t.GCAssistCPU-f.GCAssistCPU)/used.Seconds()))
		b.GCShare, b.AssistShare = &share, &assist
	}
	if all := t.TotalCPU - f.TotalCPU; all > 0 {
		b.GCOfAll = min(1, max(0, (t.GCCPU-f.GCCPU-(t.GCIdleCPU-f.GCIdleCPU))/all))
	}
	// The number of a collection since, or, of several processes, whose cycles are added
	// up and of whose limited collections the last is told, a later one than before.
	b.Limited = t.GCLimited > f.GCCycles || t.GCLimited > f.GCLimited
	b.pauses, b.waits = t.Pauses.Sub(f.Pauses), t.Latencies.Sub(f.Latencies)
	b.Pauses, b.SchedWait = ofRuntime(b.pauses), ofRuntime(b.waits)
	if to.Rusage != nil {
		b.PeakRSS = to.Rusage.MaxRSS
	}
	b.HeapGoal, b.HeapLive = t.HeapGoal, t.HeapLive
}
