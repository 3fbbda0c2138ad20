package sizing

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"netbench/pools"
)

// Calls that a percentile needs, 10/(1-q), to be more than a guess.
const (
	samplesP50  = 20
	samplesP99  = 1000
	samplesP999 = 10_000
)

// A Report is what a sweep found. Its JSON has a field for each of these, in
// snake case; times are in nanoseconds and end in _ns, and what is not known is
// left out, never zero.
type Report struct {
	Kind string `json:"kind"`

	// Service is what the pool was held before, in one line, and StandIn says
	// that it was no real one. Both are set by the caller, who started it.
	Service string `json:"service,omitempty"`
	StandIn bool   `json:"stand_in"`

	Sizes       []int         `json:"sizes"`       // ascending
	Concurrency []int         `json:"concurrency"` // ascending
	Rounds      int           `json:"rounds"`      // asked for
	Slice       time.Duration `json:"slice_ns"`
	Warm        time.Duration `json:"warm_ns"`
	Timeout     time.Duration `json:"timeout_ns"` // of a call
	Seed        uint64        `json:"seed"`       // of the orders
	Interrupted bool          `json:"interrupted"`
	Failure     string        `json:"failure,omitempty"` // why it broke off, if it was not interrupted

	Curves []Curve   `json:"curves"` // one for each concurrency with a whole round
	Knee   Knee      `json:"knee"`   // over all concurrencies
	Rule   *RuleSays `json:"rule,omitempty"`
	Notes  []string  `json:"notes"` // what speaks against taking figures at face value
}

// A Curve is what the sizes did at one concurrency.
type Curve struct {
	Concurrency int     `json:"concurrency"`
	Rounds      int     `json:"rounds"` // whole ones
	Orders      [][]int `json:"orders"` // of the sizes, by round
	Points      []Point `json:"points"` // by size, ascending
	Best        int     `json:"best,omitempty"`
	Knee        Knee    `json:"knee"`
}

// point is that of a size.
func (c *Curve) point(size int) *Point {
	for i := range c.Points {
		if c.Points[i].Size == size {
			return &c.Points[i]
		}
	}
	return nil
}

// A Point is what one size did at one concurrency.
type Point struct {
	Size int `json:"size"`

	OpsPerSec        Interval  `json:"ops_per_sec"` // 95 % interval over the rounds
	OpsPerSecByRound []float64 `json:"ops_per_sec_by_round"`

	// Percentiles of the latency of all rounds together, and the p99 of each. One
	// is absent with too few calls: less than 10/(1-q).
	P50        *int64   `json:"p50_ns,omitempty"`
	P99        *int64   `json:"p99_ns,omitempty"`
	P999       *int64   `json:"p999_ns,omitempty"`
	P99ByRound []*int64 `json:"p99_ns_by_round"`

	// Waiting for a connection, by call that ended, as the pool counts it.
	WaitPerOp  *float64 `json:"wait_ns_per_op,omitempty"`
	WaitsPerOp *float64 `json:"waits_per_op,omitempty"` // above 1 where a call takes several connections in turn

	Calls  int64  `json:"calls"` // that succeeded
	Failed int64  `json:"failed"`
	Late   int64  `json:"timed_out"` // of those that failed
	Error  string `json:"error,omitempty"`

	Open  *int   `json:"connections,omitempty"` // most at the end of a slice, all being idle: what the pool keeps
	Dials *int64 `json:"dials,omitempty"`       // within slices: what the pool had not kept, or lost

	ClientCPUPerOp float64 `json:"client_cpu_ns_per_op"` // of this process
	ClientBusy     float64 `json:"client_busy"`          // its share of the CPUs that it may use, 0 to 1

	Judgement Judgement `json:"judgement"`
}

// tally adds up what one size did over the rounds.
type tally struct {
	series
	latency *hdrhistogram.Histogram
	p99     []*int64
	calls   int64
	late    int64
	cpu     time.Duration
	elapsed time.Duration

	waited *time.Duration
	waits  *int64
	open   *int
	dials  *int64
}

// slice is what came of one size in one round.
type slice struct {
	outcome       *pools.Outcome
	before, after pools.Stats
}

// add adds a slice. Figures that a pool does not keep stay nil.
func (t *tally) add(s slice) {
	o := s.outcome
	t.rate = append(t.rate, o.Rate())
	t.p99 = append(t.p99, quantile(o.Latency, 99, samplesP99))
	if t.latency == nil {
		t.latency = hdrhistogram.Import(o.Latency.Export())
	} else {
		t.latency.Merge(o.Latency)
	}
	t.calls += o.Done
	t.failed += o.Failed
	t.late += o.Late
	if t.first == nil {
		t.first = o.First
	}
	t.cpu += o.CPU
	t.elapsed += o.Elapsed
	grow(&t.waited, s.before.Waited, s.after.Waited)
	grow(&t.waits, s.before.Waits, s.after.Waits)
	grow(&t.dials, s.before.Dials, s.after.Dials)
	if s.after.Open != pools.Absent {
		most := s.after.Open
		if t.open != nil {
			most = max(most, *t.open)
		}
		t.open = &most
	}
}

// grow adds what a total grew by.
func grow[T time.Duration | int64](sum **T, before, after T) {
	if before == pools.Absent || after == pools.Absent {
		return
	}
	if *sum == nil {
		*sum = new(T)
	}
	**sum += after - before
}

// quantile is a percentile in ns, nil from fewer than so many calls.
func quantile(h *hdrhistogram.Histogram, q float64, least int64) *int64 {
	if h == nil || h.TotalCount() < least {
		return nil
	}
	v := h.ValueAtPercentile(q)
	return &v
}

// point is what the tally comes to; cpus are those that this process may use.
func (t *tally) point(cpus int) Point {
	p := Point{
		Size:             t.size,
		OpsPerSec:        rateOf(t.rate),
		OpsPerSecByRound: t.rate,
		P50:              quantile(t.latency, 50, samplesP50),
		P99:              quantile(t.latency, 99, samplesP99),
		P999:             quantile(t.latency, 99.9, samplesP999),
		P99ByRound:       t.p99,
		Calls:            t.calls, Failed: t.failed, Late: t.late,
		Open: t.open, Dials: t.dials,
		ClientBusy: t.cpu.Seconds() / t.elapsed.Seconds() / float64(cpus),
	}
	if t.first != nil {
		p.Error = t.first.Error()
	}
	if ended := float64(t.calls + t.failed); ended > 0 {
		p.ClientCPUPerOp = float64(t.cpu) / ended
		if t.waited != nil {
			v := float64(*t.waited) / ended
			p.WaitPerOp = &v
		}
		if t.waits != nil {
			v := float64(*t.waits) / ended
			p.WaitsPerOp = &v
		}
	}
	return p
}
