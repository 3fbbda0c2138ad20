package gate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"netbench/load"
	"netbench/testenv"
)

// Defaults of [Options]. With them a cell takes at most 4 s in a round.
const (
	DefaultRounds = 15
	defaultSlices = 14 // of each arm
	warmup        = 150 * time.Millisecond

	// MaxGating is the number of rows that may gate. Each makes it harder for
	// the others to fail.
	MaxGating = 10
)

// Options say what is compared.
type Options struct {
	Arms   [2]Arm // base, head
	Cells  []Cell
	Rules  Rules
	Rounds int           // default 15, at least 2
	Slices int           // of each arm in a round, default 14; see [load.Comparing]
	Slice  time.Duration // of load, default 100 ms
	Seed   uint64
	Place  testenv.Placement

	// Waivers let rows fail without the gate failing.
	Waivers []Waiver

	// Canary is driven against itself in each round, by its first metric; nil
	// for none.
	Canary *Cell

	// Log gets a line now and then, Progress is told about each round of each
	// cell when it is over; both may be nil.
	Log      func(line string)
	Progress func(round, rounds int, cell string, took time.Duration, invalid string)
}

// Check tells whether o can be run, but for its arms. The error wraps [ErrInput].
func (o Options) Check() error {
	_, err := o.normalize()
	return err
}

func (o Options) normalize() (Options, error) {
	o.Rounds = cmp.Or(o.Rounds, DefaultRounds)
	o.Slices = cmp.Or(o.Slices, defaultSlices)
	if o.Log == nil {
		o.Log = func(string) {}
	}
	if o.Progress == nil {
		o.Progress = func(int, int, string, time.Duration, string) {}
	}
	if err := o.Rules.check(); err != nil {
		return o, err
	}
	if o.Rounds < 2 {
		return o, badInput("rounds is %d (want 2 or more)", o.Rounds)
	}
	if len(o.Cells) == 0 {
		return o, badInput("there is nothing to compare (give one row or more)")
	}
	gating := 0
	for _, c := range o.Cells {
		for _, m := range c.Metrics {
			if m.Gates {
				gating++
			}
		}
	}
	if gating > MaxGating {
		return o, badInput("%d rows gate (want at most %d: each makes it harder for the others to fail)", gating, MaxGating)
	}
	return o, checkWaivers(o.Waivers, o.Cells)
}

// track is what became of a cell, round by round.
type track struct {
	cell   Cell
	names  [2]string
	canary bool
	plan   load.Plan
	rounds []*load.Round
	absent string // why it is not compared
}

// Run compares the arms. If ctx ends, its error is returned with a report of what
// was measured until then, which has no verdict.
func Run(ctx context.Context, o Options) (*Report, error) {
	o, err := o.normalize()
	if err != nil {
		return nil, err
	}
	tracks, err := o.tracks(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	for round := range o.Rounds {
		for _, t := range tracks {
			if t.absent != "" {
				continue
			}
			if err := o.round(ctx, t, round); err != nil {
				return o.report(tracks, time.Since(began), true), err
			}
		}
	}
	return o.report(tracks, time.Since(began), false), nil
}

// tracks prepares the cells: what one arm lacks is left out, and what is paced
// gets its rate.
func (o *Options) tracks(ctx context.Context) ([]*track, error) {
	var all []*track
	compared := 0
	for _, c := range o.Cells {
		t := &track{cell: c, names: [2]string{o.Arms[0].Name, o.Arms[1].Name}}
		if err := o.prepare(ctx, t); err != nil {
			return nil, err
		}
		if t.absent == "" {
			compared++
		} else {
			o.Log(fmt.Sprintf("without %s: %s", c.Name, t.absent))
		}
		all = append(all, t)
	}
	if compared == 0 {
		return nil, badInput("base and head have no row in common (first: %s: %s)", all[0].cell.Name, all[0].absent)
	}
	if o.Canary != nil {
		t := &track{cell: *o.Canary, names: [2]string{"canary", "its twin"}, canary: true}
		if err := o.prepare(ctx, t); err != nil {
			return nil, err
		}
		if t.absent != "" {
			return nil, badInput("the canary cannot be driven: %s", t.absent)
		}
		all = append(all, t)
	}
	return all, nil
}

// prepare finds out whether both arms have the cell's server, and what rate a
// paced one gets.
func (o *Options) prepare(ctx context.Context, t *track) error {
	if t.absent = t.cell.Missing(); t.absent != "" {
		return nil
	}
	for i := range t.names {
		s, err := o.contender(t, i).Start(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			t.absent = fmt.Sprintf("%s cannot serve it: %v", t.names[i], err)
			return nil
		}
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		err = s.Stop(stop)
		cancel()
		if err != nil {
			t.absent = fmt.Sprintf("%s does not stop: %v", t.names[i], err)
			return nil
		}
	}
	t.plan = t.cell.Plan
	t.plan.CPUs = o.Place.Generator
	if t.plan.Mode != load.Open {
		return nil
	}
	pilot := t.plan
	pilot.Mode, pilot.Rate = load.Closed, 0
	c, err := load.Interleave(ctx, load.Comparing{
		Plan: pilot, Rounds: 1, Slices: 4, Slice: o.Slice, CountSlices: -1, Warmup: warmup, Seed: o.Seed,
	}, o.contender(t, 0), o.contender(t, 1))
	if err != nil {
		return err
	}
	r := c.Rounds[0]
	if r.Invalid != "" {
		t.absent = "no rate was found for it: " + r.Invalid
		return nil
	}
	t.plan.Rate = t.cell.RateShare * min(r.Samples[0].Rate, r.Samples[1].Rate)
	o.Log(fmt.Sprintf("%s: paced at %.0f requests a second", t.cell.Name, t.plan.Rate))
	return nil
}

// contender is the cell's server in one of the arms.
func (o *Options) contender(t *track, arm int) load.Contender {
	s := t.cell.Scenario
	s.Server.CPUs = o.Place.Server
	if !t.canary {
		s.Server.Program = o.Arms[arm].Program
	}
	return s.Contender(t.names[arm])
}

// round holds one round of a cell.
func (o *Options) round(ctx context.Context, t *track, round int) error {
	began := time.Now()
	c, err := load.Interleave(ctx, load.Comparing{
		Plan: t.plan, Rounds: 1, Before: 1 + round, // one was held to see that both arms serve
		Slices: o.Slices, Slice: o.Slice, Warmup: warmup, Seed: o.Seed,
	}, o.contender(t, 0), o.contender(t, 1))
	if err != nil {
		return err
	}
	r := c.Rounds[0]
	t.rounds = append(t.rounds, r)
	o.Progress(round+1, o.Rounds, t.cell.Name, time.Since(began), r.Invalid)
	return nil
}

// faults counts the rounds that did not count because of each arm.
func (t *track) faults() (n [2]int) {
	for _, r := range t.rounds {
		for i, name := range t.names {
			if slices.Contains(r.Faulty, name) {
				n[i]++
			}
		}
	}
	return n
}
