package gate

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/aclements/go-moremath/stats"

	"netbench/load"
)

// Defaults of [SelfTest], and what the gate promises.
const (
	DefaultTrials = 20_000
	DefaultGates  = 10 // of each experiment

	simulatedRows = 10
	simulatedSD   = 0.027 // of a round

	promisedFalseAlarms  = 0.01
	promisedPower        = 0.95 // at 5 %
	promisedInconclusive = 0.05
	promisedSD           = 0.03 // of a round, real
	promisedRounds       = 150  // of each kind

	calibrationRounds = 8
	calibrationSpin   = 400
)

// simulatedEffects are those of one row; with none, a gate that fails is a false
// alarm.
var simulatedEffects = []float64{0, 0.03, 0.05, 0.10}

// handicaps are the shares of its CPU time by which head is made slower.
var handicaps = []float64{0.03, 0.05, 0.10, 0.20}

// SelfTest says how the gate is put to the proof.
type SelfTest struct {
	// Options are those of each gate: Arms[0] is both arms where nothing else
	// is said, its one cell reads CPU time and maybe more, and Canary is driven
	// in the gates in which both arms are the same only, as it takes as long as
	// a row.
	Options

	// Layouts are programs that differ from Arms[0] in nothing but the order in
	// which the linker laid them out, one for each gate; may be empty.
	Layouts []Arm

	Gates  int // real gates of each experiment; less than 0 for none
	Trials int // simulated gates of each noise and effect; less than 0 for none
}

// SelfReport is what a self-test found.
type SelfReport struct {
	Rules     Rules        `json:"rules"`
	Rounds    int          `json:"rounds"` // of a gate
	Simulated []Tried      `json:"simulated"`
	Real      []Experiment `json:"real"`
	Promises  []Promise    `json:"promises"`
	Seed      uint64       `json:"seed"`
	Row       string       `json:"row"`

	// SpinCost is what one round of extra work cost, in nanoseconds, and Spins
	// how many of them each handicap is.
	SpinCost float64 `json:"spin_cost_ns,omitempty"`
}

// Experiment is a number of real gates of one kind.
type Experiment struct {
	Name string  `json:"name"`
	Made float64 `json:"made"` // the slowdown that head was given
	Spin int     `json:"spin,omitempty"`

	Gates []Ran `json:"gates"`
	N     int   `json:"n"` // rounds that count

	// Seen is the mean ratio of CPU time over all rounds with its 95 % interval,
	// and SD the standard deviation of one round.
	Seen *load.Ratio `json:"seen"`
	SD   float64     `json:"sd"`
}

// Ran is one real gate.
type Ran struct {
	Verdict Verdict  `json:"verdict"`
	Effect  *float64 `json:"effect"` // on CPU time
	Canary  *float64 `json:"canary,omitempty"`
	Reasons []string `json:"reasons"`
}

// Count is how many gates had a verdict.
func (e Experiment) Count(v Verdict) (n int) {
	for _, g := range e.Gates {
		if g.Verdict == v {
			n++
		}
	}
	return n
}

// Promise is something that the gate is said to do, and whether it did.
type Promise struct {
	What string `json:"what"`
	Seen string `json:"seen"`
	Kept bool   `json:"kept"`
}

// RunSelfTest tries the decision on simulated noise, and the gate on servers that
// are known to differ or not to. Real gates of different experiments take turns, so
// that the machine's bad hours meet all of them. If ctx ends, its error is returned
// with what there is.
func RunSelfTest(ctx context.Context, o SelfTest) (*SelfReport, error) {
	options, err := o.normalize()
	if err != nil {
		return nil, err
	}
	o.Options = options
	if len(o.Cells) != 1 || !slices.ContainsFunc(o.Cells[0].Metrics, func(m Metric) bool { return m.Unit == serverCPU.Unit && m.Gates }) {
		return nil, badInput("a self-test is made of one row, which is judged by its CPU time")
	}
	o.Gates, o.Trials = cmp.Or(o.Gates, DefaultGates), cmp.Or(o.Trials, DefaultTrials)
	r := &SelfReport{Rules: o.Rules, Rounds: o.Rounds, Seed: o.Seed, Row: o.Cells[0].Name, Simulated: []Tried{}, Real: []Experiment{}}
	if err := o.simulate(ctx, r); err != nil {
		return r, err
	}
	if o.Gates > 0 {
		if err := o.real(ctx, r); err != nil {
			return r, err
		}
	}
	r.Promises = r.promises()
	return r, nil
}

func (o *SelfTest) simulate(ctx context.Context, r *SelfReport) error {
	if o.Trials < 0 {
		return nil
	}
	for _, noise := range Noises {
		for _, effect := range simulatedEffects {
			if err := ctx.Err(); err != nil {
				return err
			}
			o.Log(fmt.Sprintf("%d simulated gates: %s, one row slower by %.0f %%", o.Trials, noise.Name, 100*effect))
			r.Simulated = append(r.Simulated, o.Rules.Simulate(noise, o.Trials, simulatedRows, o.Rounds, simulatedSD, effect, o.Seed+uint64(1000*effect)))
		}
	}
	return nil
}

// real holds the real gates.
func (o *SelfTest) real(ctx context.Context, r *SelfReport) error {
	base, cost, err := o.calibrate(ctx)
	if err != nil {
		return err
	}
	r.SpinCost = cost
	r.Real = append(r.Real, Experiment{Name: "A/A"})
	for _, made := range handicaps {
		r.Real = append(r.Real, Experiment{Name: fmt.Sprintf("%.0f %% slower", 100*made), Made: made, Spin: int(math.Round(made * base / cost))})
	}
	if len(o.Layouts) > 0 {
		r.Real = append(r.Real, Experiment{Name: "another layout"})
	}
	differences := make([][]float64, len(r.Real))
	for gate := range o.Gates {
		for i := range r.Real {
			e := &r.Real[i]
			o.Log(fmt.Sprintf("gate %d of %d, %s", gate+1, o.Gates, e.Name))
			report, err := Run(ctx, o.gate(e, i, gate))
			if err != nil {
				return err
			}
			differences[i] = append(differences[i], e.add(report)...)
			e.sum(differences[i])
		}
	}
	return nil
}

// gate are the options of one gate of an experiment.
func (o *SelfTest) gate(e *Experiment, experiment, gate int) Options {
	g := o.Options
	base, head := o.Arms[0], o.Arms[0]
	base.Name, head.Name = "base", "head"
	if e.Name == "another layout" {
		layout := o.Layouts[gate%len(o.Layouts)]
		head.Program, head.Hash = layout.Program, layout.Hash
	}
	head.Spin = e.Spin
	g.Arms = [2]Arm{base, head}
	g.Seed = o.Seed + uint64(100*gate+experiment)
	if experiment > 0 {
		g.Canary = nil
	}
	g.Progress = func(int, int, string, time.Duration, string) {}
	return g
}

// add takes a gate into account and returns the differences of its CPU time.
func (e *Experiment) add(r *Report) []float64 {
	row := r.Rows[slices.IndexFunc(r.Rows, func(row Outcome) bool { return row.Unit == serverCPU.Unit })]
	ran := Ran{Verdict: r.Verdict, Effect: row.Effect, Reasons: r.Reasons}
	if r.Canary != nil {
		ran.Canary = r.Canary.Effect
	}
	e.Gates = append(e.Gates, ran)
	return row.d
}

// sum describes the experiment's rounds.
func (e *Experiment) sum(d []float64) {
	e.N = len(d)
	ones, ratios := make([]float64, len(d)), make([]float64, len(d))
	for i := range d {
		ones[i], ratios[i] = 1, math.Exp(d[i])
	}
	seen := load.RatioOf(ones, ratios)
	e.Seen, e.SD = &seen, seen.SD
}

// calibrate finds what base costs a request and what a round of extra work costs
// it, in nanoseconds.
func (o *SelfTest) calibrate(ctx context.Context) (base, cost float64, err error) {
	o.Log("calibrating the extra work")
	plain, heavy := o.Arms[0], o.Arms[0]
	heavy.Spin = calibrationSpin
	g := o.Options
	g.Arms = [2]Arm{plain, heavy}
	t := &track{cell: o.Cells[0], names: [2]string{"base", "heavy"}}
	if err := g.prepare(ctx, t); err != nil {
		return 0, 0, err
	}
	if t.absent != "" {
		return 0, 0, badInput("%s: %s", t.cell.Name, t.absent)
	}
	c, err := load.Interleave(ctx, load.Comparing{
		Plan: t.plan, Rounds: calibrationRounds, Slices: o.Slices, Slice: o.Slice, CountSlices: -1, Warmup: warmup, Seed: o.Seed,
	}, g.contender(t, 0), g.contender(t, 1))
	if err != nil {
		return 0, 0, err
	}
	a, b := c.Values(0, load.ServerCPUPerOp), c.Values(1, load.ServerCPUPerOp)
	if len(a) == 0 || len(b) == 0 {
		return 0, 0, fmt.Errorf("calibrate the extra work: no round counts: %s", c.Rounds[0].Invalid)
	}
	base = stats.Mean(a)
	cost = (stats.Mean(b) - base) / calibrationSpin
	if cost <= 0 {
		return 0, 0, fmt.Errorf("calibrate the extra work: %d rounds of it cost nothing (%.0f ns a request without, %.0f ns with)", calibrationSpin, base, stats.Mean(b))
	}
	o.Log(fmt.Sprintf("a request costs %.0f ns, a round of extra work %.2f ns", base, cost))
	return base, cost, nil
}

// promises holds what was found against what the gate is said to do.
func (r *SelfReport) promises() []Promise {
	all := []Promise{}
	keep := func(kept bool, seen, what string, args ...any) {
		all = append(all, Promise{What: fmt.Sprintf(what, args...), Seen: seen, Kept: kept})
	}
	for _, s := range r.Simulated {
		if s.Noise != Noises[0].Name {
			continue
		}
		switch s.Effect {
		case 0:
			bound := ShareBelow(s.Failed, s.Trials, 0.95)
			keep(bound <= promisedFalseAlarms, fmt.Sprintf("%d of %d, at most %.2f %%", s.Failed, s.Trials, 100*bound),
				"simulated: false alarms of ten rows, upper 95 %% bound, at most %.0f %%", 100*promisedFalseAlarms)
			share, _, _ := Share(s.Inconclusive, s.Trials)
			keep(share <= promisedInconclusive, fmt.Sprintf("%d of %d, %.2f %%", s.Inconclusive, s.Trials, 100*share),
				"simulated: innocent gates that are inconclusive, at most %.0f %%", 100*promisedInconclusive)
		case 0.05:
			share, lo, _ := Share(s.Found, s.Trials)
			keep(share >= promisedPower, fmt.Sprintf("%d of %d, %.2f %% (at least %.2f %%)", s.Found, s.Trials, 100*share, 100*lo),
				"simulated: one of ten rows slower by 5 %% is found, at least %.0f %%", 100*promisedPower)
		}
	}
	if len(r.Real) > 0 {
		rounds := len(r.Real[0].Gates) * r.Rounds
		keep(rounds >= promisedRounds, fmt.Sprint(rounds), "real: at least %d rounds of each kind", promisedRounds)
	}
	for _, e := range r.Real {
		failed := fmt.Sprintf("%d of %d gates failed", e.Count(Fail), len(e.Gates))
		switch {
		case e.Name == "A/A":
			keep(e.Count(Fail) == 0 && e.Count(Unfit) < len(e.Gates), failed, "real: no gate of a program against itself fails")
			keep(e.N > 1 && e.SD <= promisedSD, fmt.Sprintf("%.2f %% over %d rounds", 100*e.SD, e.N),
				"real: standard deviation of a round at most %.0f %%", 100*promisedSD)
		case e.Made == 0.10:
			keep(e.Count(Fail) == len(e.Gates), failed, "real: each gate of a program against itself with 10 %% more work fails")
		}
	}
	return all
}

// Kept tells whether all promises were.
func (r *SelfReport) Kept() bool {
	for _, p := range r.Promises {
		if !p.Kept {
			return false
		}
	}
	return true
}
