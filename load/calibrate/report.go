package calibrate

import (
	"fmt"
	"math"

	"github.com/aclements/go-moremath/stats"

	"netbench/load"
	"netbench/results"
)

// Verdict is what a measurement says about a bound.
type Verdict string

const (
	Met       Verdict = "met"       // the whole interval is on the good side
	Missed    Verdict = "missed"    // the whole interval is on the bad side
	Undecided Verdict = "undecided" // the bound is within the interval
	Unfit     Verdict = "unfit"     // the run is not fit to be judged
	Absent    Verdict = "absent"    // it could not be measured here
)

// Report is the outcome of [Calibrate].
type Report struct {
	Cells    []*Cell `json:"cells"`
	Wrk      *Cell   `json:"wrk,omitempty"`
	Compiler string  `json:"compiler"` // that made the C client
	CPU      string  `json:"cpu"`      // that the clients ran on

	Environment results.Fingerprint `json:"environment"`
}

// Cell compares the generator with another client under one workload.
type Cell struct {
	Name  string  `json:"name"`
	Other string  `json:"other"` // the client beside it
	Conns int     `json:"conns"`
	Size  int     `json:"size,omitempty"` // bytes of an echo request
	Bound float64 `json:"bound"`          // that Ratio is judged by

	Rounds []Round `json:"rounds"`

	// Ours and Theirs are CPU time per request over the rounds.
	Ours   *Spread `json:"ours,omitempty"`
	Theirs *Spread `json:"theirs,omitempty"`

	// Ratio is the generator's CPU time per request over the other's, or, for
	// wrk, the generator's requests per CPU-second over wrk's.
	Ratio *load.Ratio `json:"ratio,omitempty"`

	// Yield is the generator's ceiling: requests per CPU-second of its own.
	Yield float64 `json:"requests_per_cpu_s,omitempty"`

	// HighestRate is the highest rate that the generator reached against this
	// server, requests a second, and Limit what kept it from a higher one.
	HighestRate float64    `json:"highest_rate,omitempty"`
	Limit       load.Limit `json:"limit,omitempty"`

	Steal   *float64 `json:"steal,omitempty"` // share of CPU time that the host took
	Verdict Verdict  `json:"verdict"`
	Reasons []string `json:"reasons"` // why it is unfit or absent
}

// Round is one round. Its numbers are those of all its slices or of its block.
type Round struct {
	OursFirst bool   `json:"ours_first"` // the generator connected first
	Ours      Sample `json:"ours"`
	Theirs    Sample `json:"theirs"`
}

// Sample is what one client did in a round.
type Sample struct {
	Requests int64   `json:"requests"`
	CPU      int64   `json:"cpu_ns"`        // CPU time of the client's process
	Elapsed  int64   `json:"elapsed_ns"`    // from the first send to the last reply, summed over slices
	PerOp    float64 `json:"cpu_ns_per_op"` // CPU over Requests
	Rate     float64 `json:"rate"`          // Requests over Elapsed, a second
	P50      int64   `json:"p50_ns,omitempty"`
	P99      int64   `json:"p99_ns,omitempty"`
}

func (s *Sample) add(requests, cpu, elapsed int64) {
	s.Requests += requests
	s.CPU += cpu
	s.Elapsed += elapsed
	s.PerOp = float64(s.CPU) / float64(s.Requests)
	s.Rate = float64(s.Requests) / float64(s.Elapsed) * 1e9
}

// Spread describes a number over rounds.
type Spread struct {
	Mean float64 `json:"mean"` // geometric
	SD   float64 `json:"sd"`   // of the logarithms: 0.01 is about 1 %
}

func spreadOf(vs []float64) *Spread {
	logs := make([]float64, len(vs))
	for i, v := range vs {
		logs[i] = math.Log(v)
	}
	return &Spread{Mean: math.Exp(stats.Mean(logs)), SD: stats.StdDev(logs)}
}

// unfit notes why the cell cannot be judged.
func (c *Cell) unfit(format string, args ...any) {
	c.Reasons = append(c.Reasons, fmt.Sprintf(format, args...))
}

// conclude computes what the rounds say. The ratio is judged by its whole 95 %
// interval: a bound inside it is neither met nor missed.
func (c *Cell) conclude() {
	if len(c.Rounds) >= 2 {
		var a, b []float64
		for _, r := range c.Rounds {
			a, b = append(a, r.Ours.PerOp), append(b, r.Theirs.PerOp)
		}
		c.Ours, c.Theirs = spreadOf(a), spreadOf(b)
		c.Yield = 1e9 / c.Ours.Mean
		r := load.RatioOf(b, a)
		if c.atLeast() {
			r = load.RatioOf(a, b) // of yields, which are the inverses of costs
		}
		c.Ratio = &r
	} else {
		c.unfit("%d of the 2 rounds that a ratio needs were measured", len(c.Rounds))
	}
	if c.Steal != nil && *c.Steal > MaxSteal {
		c.unfit("the host took %.1f %% of the CPU time away, above %.0f %%", 100**c.Steal, 100*MaxSteal)
	}
	switch {
	case len(c.Reasons) > 0:
		c.Verdict = Unfit
	case c.atLeast():
		c.Verdict = judge(c.Ratio.Lo >= c.Bound, c.Ratio.Hi < c.Bound)
	default:
		c.Verdict = judge(c.Ratio.Hi <= c.Bound, c.Ratio.Lo > c.Bound)
	}
}

// atLeast tells whether the ratio is a yield, which has to reach its bound, and
// not a cost, which may not exceed it.
func (c *Cell) atLeast() bool { return c.Other == wrkName }

func judge(met, missed bool) Verdict {
	switch {
	case met:
		return Met
	case missed:
		return Missed
	}
	return Undecided
}

// Verdict is the worst of all cells: missed, else unfit, else undecided, else
// met. What is absent does not count.
func (r *Report) Verdict() Verdict {
	worst := Met
	rank := map[Verdict]int{Met: 0, Absent: 0, Undecided: 1, Unfit: 2, Missed: 3}
	for _, c := range r.all() {
		if rank[c.Verdict] > rank[worst] {
			worst = c.Verdict
		}
	}
	return worst
}

func (r *Report) all() []*Cell {
	if r.Wrk == nil {
		return r.Cells
	}
	return append(r.Cells[:len(r.Cells):len(r.Cells)], r.Wrk)
}
