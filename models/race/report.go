package race

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"netbench/load"
	"netbench/testenv"
)

// Report is the outcome of a race. In JSON, what is absent is null; but within
// latency_ns a quantile for which there are too few values is left out.
type Report struct {
	Rounds   int    `json:"rounds"`  // carried out, those that do not count too
	Conns    int    `json:"conns"`   // to each contender
	Size     int    `json:"size"`    // of a request, bytes; 0 where the service has its own
	Service  string `json:"service"` // as asked
	State    State  `json:"state"`
	Baseline string `json:"baseline"`
	Seed     uint64 `json:"seed"`

	// Valid tells that the race is decided as far as it can be: two rounds or
	// more count, and the CPU time for each request of two contenders or more
	// can be compared. Reasons say what is not, and why.
	Valid   bool     `json:"valid"`
	Reasons []string `json:"reasons"`

	Contenders []Standing `json:"contenders"` // the least CPU for each request first

	Verdict Verdict `json:"verdict"`

	ServiceRun    string        `json:"service_run"` // the same with +spin=N for +compute=D
	RoundsAsked   int           `json:"rounds_asked"`
	RoundsCounted int           `json:"rounds_counted"`
	Slice         time.Duration `json:"slice_ns"`
	Pipeline      int           `json:"pipeline"`
	Silent        int           `json:"silent"`     // connections without traffic
	PacedRate     *float64      `json:"paced_rate"` // requests a second due to each
	ServerCPUs    []int         `json:"server_cpus"`
	GeneratorCPUs []int         `json:"generator_cpus"`
	Steal         *float64      `json:"steal"` // share of the CPU time that the host took away
	Interrupted   bool          `json:"interrupted"`
	Absent        []Absence     `json:"absent"` // who could not take part

	Comparison *load.Comparison `json:"-"` // all that was measured
	pacedBy    string
	baseline   int
}

// Standing is one contender's result. Ratios are to the baseline, with their 95 %
// confidence interval; values are geometric means over the rounds that count,
// counts for each request arithmetic ones, latencies are of all rounds together.
type Standing struct {
	Model string     `json:"model"`
	Limit load.Limit `json:"limit"` // what it most often was

	// Rate is requests a second. It judges only where the ratio is there; see
	// [load.Comparison.RateRatio].
	Rate      *float64 `json:"rate"`
	RateRatio *float64 `json:"rate_ratio"`
	RateLo    *float64 `json:"rate_lo"`
	RateHi    *float64 `json:"rate_hi"`

	CPUPerOp *float64 `json:"cpu_ns_per_op"`
	CPURatio *float64 `json:"cpu_ratio"`
	CPULo    *float64 `json:"cpu_lo"`
	CPUHi    *float64 `json:"cpu_hi"`

	Latency *load.Quantiles `json:"latency_ns"`

	SyscallsPerOp    *float64 `json:"syscalls_per_op"`
	SwitchesPerOp    *float64 `json:"ctxsw_per_op"`
	AllocsPerOp      *float64 `json:"allocs_per_op"`
	UserBytesPerConn *float64 `json:"user_bytes_per_conn"`

	P99Ratio *float64 `json:"p99_ratio"`
	P99Lo    *float64 `json:"p99_lo"`
	P99Hi    *float64 `json:"p99_hi"`

	SyscallsMore *float64 `json:"syscalls_more_per_op"` // than the baseline
	SyscallsLo   *float64 `json:"syscalls_more_lo"`
	SyscallsHi   *float64 `json:"syscalls_more_hi"`

	Busy       *float64 `json:"server_busy"`   // mean share of its CPU set, 0 to 1
	OutsideCPU *float64 `json:"outside_cpu_s"` // mean of a round; see load.Sample
	LostRounds int      `json:"lost_rounds"`   // that do not count because of it

	Kind     Kind     `json:"kind"`
	Informs  bool     `json:"informs"`
	Declared []string `json:"declared"`
	Variant  string   `json:"variant"`
	Fallback string   `json:"fallback"`
	Version  string   `json:"version"`

	index int // among the contenders as they were given
}

func (r *Report) because(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.Reasons, text) {
		r.Reasons = append(r.Reasons, text)
	}
}

// memoryNotMeasured is a reason that is not among the notes, as the table lacks
// the column for everybody.
const memoryNotMeasured = "user_bytes_per_conn is not measured (-memory measures it)"

// report is a report without results.
func (f *field) report(place testenv.Placement) *Report {
	o := f.o
	r := &Report{
		Conns: o.Conns, Service: o.Service, ServiceRun: o.run, State: o.State, Seed: o.Seed,
		Baseline: f.entrants[f.baseline].Name, baseline: f.baseline,
		Reasons: []string{}, RoundsAsked: o.Rounds, Slice: o.Slice, Pipeline: o.Pipeline, Silent: o.silent(),
		ServerCPUs: place.Server, GeneratorCPUs: place.Generator, Absent: f.absent,
	}
	if Sized(o.Service) {
		r.Size = o.Size
	}
	if r.Absent == nil {
		r.Absent = []Absence{}
	}
	if o.Memory == nil {
		r.because(memoryNotMeasured)
	}
	return r
}

// fill takes in what was measured.
func (r *Report) fill(c *load.Comparison, f *field) error {
	r.Comparison, r.Steal, r.Rounds = c, c.Steal, len(c.Rounds)
	lost := map[string]int{}
	for i, round := range c.Rounds {
		if round.Invalid != "" {
			r.because("round %d does not count: %s", i+1, round.Invalid)
			for _, name := range round.Faulty {
				lost[name]++
			}
			continue
		}
		r.RoundsCounted++
	}
	r.doubtRates()
	for i, e := range f.entrants {
		s, err := r.standing(i, e)
		if err != nil {
			return err
		}
		s.LostRounds = lost[e.Name]
		s.Fallback, s.Variant = f.infos[i].Stats.Fallback, f.infos[i].Stats.Variant
		r.Contenders = append(r.Contenders, s)
	}
	r.doubtToolchains(f.infos)
	r.doubtLatencies()
	slices.SortStableFunc(r.Contenders, func(a, b Standing) int { return compareAbsent(a.CPUPerOp, b.CPUPerOp) })
	r.judge()
	return nil
}

// compareAbsent orders numbers, absent ones last.
func compareAbsent(a, b *float64) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return cmp.Compare(*a, *b)
}

// standing is the result of contender i.
func (r *Report) standing(i int, e Entrant) (s Standing, err error) {
	c := r.Comparison
	s = Standing{
		Model: e.Name, Kind: e.Kind, Informs: e.Informs, Declared: e.declared(), Version: e.Version, index: i,
		Limit:         r.limit(i),
		Rate:          geometric(c.Values(i, measuredRate)),
		CPUPerOp:      geometric(c.Values(i, load.ServerCPUPerOp)),
		SyscallsPerOp: arithmetic(c.Values(i, load.SyscallsPerOp)),
		SwitchesPerOp: arithmetic(c.Values(i, load.SwitchesPerOp)),
		AllocsPerOp:   arithmetic(c.Values(i, load.AllocsPerOp)),
		Busy:          arithmetic(c.Values(i, busyShare)),
		OutsideCPU:    arithmetic(c.Values(i, outsideCPU)),
	}
	if s.Declared == nil {
		s.Declared = []string{}
	}
	s.CPURatio, s.CPULo, s.CPUHi = interval(c.Ratio(r.baseline, i, load.ServerCPUPerOp))
	if r.State == Saturated { // a paced rate is the generator's choice
		s.RateRatio, s.RateLo, s.RateHi = interval(c.RateRatio(r.baseline, i))
	}
	s.P99Ratio, s.P99Lo, s.P99Hi = interval(c.Ratio(r.baseline, i, load.LatencyP99))
	if d := c.Difference(r.baseline, i, load.SyscallsPerOp); d.N > 1 {
		s.SyscallsMore, s.SyscallsLo, s.SyscallsHi = &d.Mean, &d.Lo, &d.Hi
	}
	s.Latency, err = c.Latency(i)
	for _, round := range c.Rounds {
		if round.Invalid == "" {
			r.doubts(round.Samples[i])
		}
	}
	return s, err
}

// limit is what the contender's limit was most often.
func (r *Report) limit(i int) (most load.Limit) {
	seen := map[load.Limit]int{}
	for _, round := range r.Comparison.Rounds {
		if round.Invalid != "" {
			continue
		}
		l := round.Samples[i].Limit
		if seen[l]++; seen[l] > seen[most] {
			most = l
		}
	}
	return most
}

// measuredRate is the rate whether or not it is a capacity.
func measuredRate(s *load.Sample) (float64, bool) { return s.Rate, s.Valid.Counts && s.Rate > 0 }

func busyShare(s *load.Sample) (float64, bool) {
	if s.ServerCPU == nil {
		return 0, false
	}
	return *s.ServerCPU, true
}

func outsideCPU(s *load.Sample) (float64, bool) { return s.OutsideCPU, true }

// interval is a ratio as pointers: nil is what is not known.
func interval(r load.Ratio) (mean, lo, hi *float64) {
	if r.N < 2 || math.IsNaN(r.Mean) || math.IsNaN(r.Lo) || math.IsNaN(r.Hi) {
		return nil, nil, nil
	}
	return &r.Mean, &r.Lo, &r.Hi
}

// geometric is the geometric mean of numbers above zero, nil of none.
func geometric(vs []float64) *float64 {
	sum, n := 0.0, 0
	for _, v := range vs {
		if v > 0 {
			sum, n = sum+math.Log(v), n+1
		}
	}
	if n == 0 {
		return nil
	}
	m := math.Exp(sum / float64(n))
	return &m
}

// arithmetic is the mean, nil of none.
func arithmetic(vs []float64) *float64 {
	if len(vs) == 0 {
		return nil
	}
	sum := 0.0
	for _, v := range vs {
		sum += v
	}
	m := sum / float64(len(vs))
	return &m
}
