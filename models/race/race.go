package race

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/testenv"
)

// Run carries out a race. The error wraps [ErrInput] if it cannot be run as
// asked; that is told before the first round where it can be. If ctx ends, the
// report has what was measured until then, and ctx's error is returned with it.
func Run(ctx context.Context, o Options) (*Report, error) {
	o, err := o.normalize()
	if err != nil {
		return nil, err
	}
	place, err := o.place()
	if err != nil {
		return nil, err
	}
	if err := o.resolveService(); err != nil {
		return nil, err
	}
	if err := o.checkPlan(ctx, place); err != nil {
		return nil, err
	}
	f, err := o.field(ctx, place)
	if err != nil {
		return nil, err
	}
	k := len(f.entrants)
	if f.apart, err = room(k, o.Conns); err != nil {
		return nil, err
	}
	if f.apart {
		o.Log(fmt.Sprintf("%s of %d connections each: more than one process may hold, so each is driven by generator processes of its own", contenders(k), o.Conns))
	}
	r := f.report(place)
	c := f.comparing()
	if o.State == Paced {
		if r.pacedBy, err = f.pace(ctx, &c); err != nil {
			return nil, err
		}
		rate := c.Plan.Rate
		r.PacedRate = &rate
	}
	c.Progress = o.Progress
	comparison, err := load.Interleave(ctx, c, f.contenders()...)
	if err != nil && ctx.Err() == nil {
		return nil, badInput("%v", err)
	}
	r.Interrupted = err != nil
	if e := r.fill(comparison, f); e != nil {
		return nil, e
	}
	if err == nil {
		err = f.memory(ctx, r)
	}
	return r, err
}

// place says where servers and generator run.
func (o *Options) place() (testenv.Placement, error) {
	place := o.Place
	if place == nil {
		p, err := testenv.Place()
		if err != nil {
			return p, badInput("%v", err)
		}
		place = &p
	}
	if !place.Disjoint {
		return *place, badInput("a race needs two CPUs or more, so that servers and generator have their own (%s)", place.Reason)
	}
	return *place, nil
}

// checkPlan has load look at what contenders will be driven with, before one is
// started.
func (o *Options) checkPlan(ctx context.Context, place testenv.Placement) error {
	scheme, path := scheme(o.Service)
	target, err := load.ParseTarget(ctx, scheme+"://127.0.0.1:1"+path)
	if err != nil {
		return badInput("%v", err)
	}
	p := (&field{o: *o, place: place}).comparing().Plan
	p.Targets = []load.Target{target}
	if _, err := p.Normalize(); err != nil {
		return badInput("%v", err)
	}
	return nil
}

// field is who races, once all is prepared.
type field struct {
	o        Options
	place    testenv.Placement
	entrants []Entrant
	programs []string // of each entrant, "" for this one
	absent   []Absence
	baseline int
	apart    bool
	infos    []testenv.ServerInfo // what each last said when it was ready
}

// field builds what has to be built, starts each entrant once, and leaves out who
// cannot take part. Who fails after that has failed in a round.
func (o *Options) field(ctx context.Context, place testenv.Placement) (*field, error) {
	f := &field{o: *o, place: place, absent: slices.Clone(o.Absent)}
	for _, e := range o.Entrants {
		var info testenv.ServerInfo
		program, err := o.prepare(ctx, e)
		if err == nil {
			info, err = f.try(ctx, e, program)
		}
		switch {
		case err == nil:
			f.entrants = append(f.entrants, e)
			f.programs = append(f.programs, program)
			f.infos = append(f.infos, info)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !o.LeaveOut || e.Name == o.Baseline:
			return nil, badInput("model %s: %v", e.Name, err)
		default:
			f.absent = append(f.absent, Absence{e.Name, err.Error()})
			o.Log(fmt.Sprintf("without %s: %v", e.Name, err))
		}
	}
	if len(f.entrants) < 2 {
		return nil, badInput("%d of %d models can race here (want two or more)", len(f.entrants), len(o.Entrants))
	}
	if o.Baseline != "" {
		f.baseline = slices.IndexFunc(f.entrants, func(e Entrant) bool { return e.Name == o.Baseline })
	}
	return f, nil
}

func (o *Options) prepare(ctx context.Context, e Entrant) (program string, err error) {
	if e.Missing != "" {
		return "", errors.New(e.Missing)
	}
	if !e.Serves(o.Service) {
		return "", errors.New(cannotRun(o.Service))
	}
	if e.Prepare == nil {
		return "", ctx.Err()
	}
	return e.Prepare(ctx)
}

// stopWithin bounds how long a server that was tried may take to end.
const stopWithin = 10 * time.Second

// try starts an entrant as the race will, and stops it.
func (f *field) try(ctx context.Context, e Entrant, program string) (info testenv.ServerInfo, err error) {
	s := f.scenario(e, program)
	server, _, err := s.Start(ctx)
	if err != nil {
		return info, fmt.Errorf("it cannot be started: %w", err)
	}
	info = server.Info()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		return info, fmt.Errorf("it cannot be stopped: %w", err)
	}
	return info, nil
}

// scenario is an entrant with the race's service and configuration.
func (f *field) scenario(e Entrant, program string) scenario.Scenario {
	s := scenario.Scenario{
		Name: e.Name,
		Server: testenv.ServerSpec{
			Model: e.Name, Program: program, Service: f.o.run, Config: f.o.Config,
			CPUs: f.place.Server, StartTimeout: 30 * time.Second,
		},
		Plan: f.comparing().Plan,
	}
	s.Scheme, s.Path = scheme(f.o.Service)
	return s
}

// contenders are the entrants as load drives them.
func (f *field) contenders() []load.Contender {
	var all []load.Contender
	for i, e := range f.entrants {
		c := f.scenario(e, f.programs[i]).Contender(e.Name)
		all = append(all, load.Contender{Name: e.Name, Start: func(ctx context.Context) (load.Subject, error) {
			subject, err := c.Start(ctx)
			if told, ok := subject.(interface{ Info() testenv.ServerInfo }); ok && err == nil {
				f.infos[i] = told.Info()
			}
			return subject, err
		}})
	}
	return all
}

// comparing is how they are driven, but for the rate of a paced race.
func (f *field) comparing() load.Comparing {
	o := f.o
	c := load.Comparing{
		Plan: load.Plan{
			Mode: load.Closed, Conns: o.Conns, Silent: o.silent(), Pipeline: o.Pipeline, Seed: o.Seed,
			CPUs: f.place.Generator, Apart: f.apart,
		},
		Before: 1, // each was started before, so that it can be
		Rounds: o.Rounds, Slice: o.Slice, Slices: o.Slices, CountSlices: o.CountSlices, Warmup: o.Warmup, Seed: o.Seed,
	}
	if Sized(o.Service) {
		c.Plan.Size = o.Size
	}
	return c
}

// pilotSlices is how many slices each contender gets in a race that finds the
// common rate, and pilotTries how often one is tried if a contender fails in it.
const (
	pilotSlices = 4
	pilotTries  = 3
	paceTries   = 8 // of lower rates, until the generator can pace one
)

// paceableCPU is the share of its CPUs that the generator may use in a paced
// race. Above 0.85 load takes no latency for valid; a race is longer than a
// pilot, and varies.
const paceableCPU = 0.75

// pace sets the rate of a paced race. by tells how it was found.
func (f *field) pace(ctx context.Context, c *load.Comparing) (by string, err error) {
	c.Plan.Mode, c.Plan.Rate = load.Open, f.o.Rate
	if f.o.Rate > 0 {
		return "as asked", nil
	}
	pilot := f.comparing()
	all := f.contenders()
	samples, err := f.pilot(ctx, pilot, all)
	if err != nil {
		return "", err
	}
	rate, slowest := commonRate(samples)
	by = fmt.Sprintf("%.0f %% of the %.0f requests a second of %s, the slowest in a saturated race before (limit: %s)", 100*paceShare, slowest.Rate, slowest.Name, slowest.Limit)
	// What the generator needs for a rate hardly depends on who answers, so two
	// contenders tell.
	two := extremes(all, samples)
	pilot.Plan.Mode = load.Open
	for range paceTries {
		pilot.Plan.Rate = rate
		if samples, err = f.pilot(ctx, pilot, two); err != nil {
			return "", err
		}
		used := 0.0
		for _, s := range samples {
			used = max(used, s.GeneratorCPU)
		}
		if used <= paceableCPU {
			break
		}
		lower := threeDigits(rate * paceableCPU / used * 0.95) // the fewer at once, the dearer each
		f.o.Log(fmt.Sprintf("the generator needs %.0f %% of its CPUs for %.0f requests a second, so %.0f are tried", 100*used, rate, lower))
		by = fmt.Sprintf("what the generator can pace; the slowest, %s, reached %.0f in a saturated race before", slowest.Name, slowest.Rate)
		rate = lower
	}
	c.Plan.Rate = rate
	f.o.Log(fmt.Sprintf("paced at %.0f requests a second: %s", rate, by))
	return by, nil
}

// extremes are the contenders with the lowest and the highest rate.
func extremes(all []load.Contender, samples []*load.Sample) []load.Contender {
	slowest, fastest := 0, 0
	for i, s := range samples {
		if s.Rate < samples[slowest].Rate {
			slowest = i
		}
		if s.Rate >= samples[fastest].Rate {
			fastest = i
		}
	}
	return []load.Contender{all[slowest], all[fastest]}
}

// pilot races one short round and returns what each contender did. A round in
// which one fails is tried again.
func (f *field) pilot(ctx context.Context, c load.Comparing, all []load.Contender) ([]*load.Sample, error) {
	c.Rounds, c.Slices, c.CountSlices = 1, pilotSlices, -1
	var failed string
	for try := range pilotTries {
		c.Seed = f.o.Seed + uint64(try)
		comparison, err := load.Interleave(ctx, c, all...)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, badInput("%v", err)
		}
		round := comparison.Rounds[0]
		if round.Invalid == "" {
			return round.Samples, nil
		}
		failed = round.Invalid
		f.o.Log("the pilot does not count: " + failed)
	}
	return nil, &raceError{fmt.Sprintf("no common rate was found in %d tries (last: %s; -rate sets one)", pilotTries, failed), ErrUndecided}
}

// commonRate is the rate at which all contenders can be paced: a share of the
// capacity of the slowest.
func commonRate(samples []*load.Sample) (rate float64, slowest *load.Sample) {
	slowest = slices.MinFunc(samples, func(a, b *load.Sample) int {
		switch {
		case a.Rate < b.Rate:
			return -1
		case a.Rate > b.Rate:
			return 1
		}
		return 0
	})
	return threeDigits(paceShare * slowest.Rate), slowest
}

// threeDigits rounds a rate down to three digits, which are easily repeated; it
// is at least 1.
func threeDigits(rate float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(max(rate, 100)))-2)
	return max(1, math.Floor(rate/unit)*unit)
}

// memory has the memory of each contender measured. One that fails lacks the
// figure, with the reason.
func (f *field) memory(ctx context.Context, r *Report) error {
	if f.o.Memory == nil {
		return nil
	}
	for i := range r.Contenders {
		s := &r.Contenders[i]
		f.o.Log("memory per connection of " + s.Model)
		bytes, err := f.o.Memory(ctx, f.entrants[s.index])
		switch {
		case ctx.Err() != nil:
			r.Interrupted = true
			return ctx.Err()
		case err != nil:
			r.because("user_bytes_per_conn of %s: %v", s.Model, err)
		default:
			s.UserBytesPerConn = &bytes
		}
	}
	return nil
}
