package gate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"netbench/internal/proc"
	"netbench/internal/scenario"
	"netbench/load"
	"netbench/testenv"
)

// Defaults of [Options]. With them a cell takes at most 4 s in a round.
const (
	DefaultRounds = 15
	DefaultSlices = 12 // of each arm
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
	Slices int           // of each arm in a round, default 12; see [load.Comparing]
	Slice  time.Duration // of load, default 100 ms
	Seed   uint64
	Place  testenv.Placement

	// Waivers let rows fail without the gate failing. Those of other rows have no
	// effect; see [CheckWaivers].
	Waivers []Waiver

	// Memory measures what an idle connection of a scenario's server costs, in
	// bytes; it is needed for cells of idle connections. Notes are reasons for
	// doubt. An error that wraps [ErrInput] is the host's or the row's, one that
	// wraps [ErrGenerator] is held against nobody, any other against the server.
	Memory func(ctx context.Context, name string, s scenario.Scenario) (perConn float64, notes []string, err error)

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
	o.Slices = cmp.Or(o.Slices, DefaultSlices)
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
	for _, c := range o.Cells {
		if c.idle() && o.Memory == nil {
			return o, badInput("%s: memory cannot be measured here", c.Name)
		}
		if err := c.check(); err != nil {
			return o, err
		}
	}
	if gating := o.gating(); gating > MaxGating {
		return o, badInput("%d rows gate (want at most %d: each makes it harder for the others to fail)", gating, MaxGating)
	}
	return o, nil
}

// gating is the number of rows that judge.
func (o Options) gating() (n int) {
	for _, c := range o.Cells {
		for _, m := range c.Metrics {
			if m.Gates {
				n++
			}
		}
	}
	return n
}

// track is what became of a cell, round by round.
type track struct {
	cell   Cell
	names  [2]string
	canary bool
	plan   load.Plan
	rounds []*load.Round
	absent string   // why it is not compared: one arm, or the host, lacks something
	deaf   [2]error // why an arm's command did not serve it, nil if it did
	unfit  string   // why it could not be compared, though both arms may have it
	over   bool     // it is not driven, as an arm failed before the first round

	notes []string // reasons for doubt, each once

	// perConn is, of idle connections, what each costs in either arm, by round.
	perConn [][2]float64
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
	if need := o.Rules.leastRounds(o.gating()); o.Rounds < need {
		o.Log(fmt.Sprintf("warning: no slowdown fails, however large: rounds %d, rows that judge %d (at least %d rounds are needed)", o.Rounds, o.gating(), need))
	}
	began := time.Now()
	for round := range o.Rounds {
		for _, t := range tracks {
			if t.absent != "" || t.unfit != "" || t.over {
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
	o.blameCommands(all)
	switch {
	case compared == 0 && len(all) == 1:
		return nil, badInput("%s: %s", all[0].cell.Name, all[0].absent)
	case compared == 0:
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

// blameCommands holds it against a command that it did not start for one cell if it
// did for another: then it is not the command line that is wrong.
func (o *Options) blameCommands(all []*track) {
	for arm, a := range o.Arms {
		serves := slices.ContainsFunc(all, func(t *track) bool { return t.absent == "" })
		for _, t := range all {
			if a.Command != "" && serves && t.deaf[arm] != nil {
				t.absent = ""
				t.fail(t.names[arm], t.deaf[arm])
			}
		}
	}
}

// fail ends the cell before its first round because of an arm.
func (t *track) fail(name string, why error) {
	if !t.over {
		t.over, t.rounds, t.perConn = true, []*load.Round{{Samples: make([]*load.Sample, 2)}}, make([][2]float64, 1)
	}
	r := t.rounds[0]
	r.Faulty = append(r.Faulty, name)
	r.Invalid = cmp.Or(r.Invalid, fmt.Sprintf("%s cannot serve it: %v", name, why))
}

// lacks tells whether a server could not be started because its program does not
// have the model or the service.
func lacks(err error) bool {
	text := err.Error()
	return strings.Contains(text, "unknown model") || strings.Contains(text, "unknown service")
}

// prepare finds out whether both arms have the cell's server, and what rate a
// paced one gets. An arm that has it and fails is at fault, as in a round.
func (o *Options) prepare(ctx context.Context, t *track) error {
	if t.absent = t.cell.Missing(); t.absent != "" {
		return nil
	}
	for i, name := range t.names {
		err := tryOut(ctx, o.contender(t, i))
		var ended *proc.ExitError
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &ended) && ended.Cause == nil && ended.State.Success():
			return badInput("%s ended in peace before it served: %v (is it a netbench?)", name, err)
		case lacks(err), t.canary, o.Arms[i].Command != "":
			if t.absent == "" {
				t.absent = fmt.Sprintf("%s cannot serve it: %v", name, err)
			}
			if !t.canary {
				t.deaf[i] = err
			}
			continue
		}
		t.fail(name, err)
	}
	if t.absent != "" || t.over {
		return nil
	}
	t.plan = t.cell.Plan
	t.plan.CPUs = o.Place.Generator
	if t.plan.Mode != load.Open {
		return nil
	}
	pilot := t.plan
	pilot.Mode, pilot.Rate = load.Closed, 0
	c, err := load.Interleave(ctx, load.Comparing{
		Plan: pilot, Rounds: 1, Before: 1, Slices: 4, Slice: o.Slice, CountSlices: -1, Warmup: warmup, Seed: o.Seed,
	}, o.contender(t, 0), o.contender(t, 1))
	if err != nil {
		return asInput(t, err)
	}
	r := c.Rounds[0]
	switch {
	case len(r.Faulty) > 0:
		t.over, t.rounds = true, []*load.Round{r}
		return nil
	case r.Invalid != "":
		t.unfit = "no rate was found for it: " + r.Invalid
		return nil
	}
	rates := [2]float64{r.Samples[0].Rate, r.Samples[1].Rate}
	switch {
	case rates == [2]float64{}:
		t.unfit = "no rate was found for it: neither arm completed a request in the pilot"
		return nil
	case min(rates[0], rates[1]) == 0:
		t.over, t.rounds = true, []*load.Round{r} // which is held against the one without
		return nil
	}
	t.plan.Rate = t.cell.RateShare * min(rates[0], rates[1])
	o.Log(fmt.Sprintf("%s: paced at %.0f requests a second", t.cell.Name, t.plan.Rate))
	return nil
}

// tryOut starts a server and stops it.
func tryOut(ctx context.Context, c load.Contender) error {
	s, err := c.Start(ctx)
	if err != nil {
		return err
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := s.Stop(stop); err != nil {
		return fmt.Errorf("it does not stop: %w", err)
	}
	return nil
}

// asInput makes bad input of a plan bad input of the gate.
func asInput(t *track, err error) error {
	if errors.Is(err, load.ErrInput) {
		return badInput("%s: %v", t.cell.Name, err)
	}
	return err
}

// contender is the cell's server in one of the arms.
func (o *Options) contender(t *track, arm int) load.Contender {
	s := t.cell.Scenario
	s.Server.CPUs = o.Place.Server
	if a := o.Arms[arm]; !t.canary {
		s.Server.Program, s.Command = a.Program, a.Command
		if a.Spin > 0 {
			s.Server.Service = fmt.Sprintf("%s+spin=%d", s.Server.Service, a.Spin)
		}
	}
	return s.Contender(t.names[arm])
}

// round holds one round of a cell.
func (o *Options) round(ctx context.Context, t *track, round int) error {
	began := time.Now()
	if t.cell.idle() {
		return o.idleRound(ctx, t, round)
	}
	c, err := load.Interleave(ctx, load.Comparing{
		Plan: t.plan, Rounds: 1, Before: 1 + round, // one was held to see that both arms serve
		Slices: o.Slices, Slice: o.Slice, Warmup: warmup, Seed: o.Seed,
	}, o.contender(t, 0), o.contender(t, 1))
	if err != nil {
		return asInput(t, err)
	}
	r := c.Rounds[0]
	t.rounds = append(t.rounds, r)
	o.Progress(round+1, o.Rounds, t.cell.Name, time.Since(began), r.Invalid)
	return nil
}

// idleRound holds one round of a cell that measures memory. Bytes do not depend on
// the machine's speed, so the arms are measured one after the other, but alternate.
func (o *Options) idleRound(ctx context.Context, t *track, round int) error {
	began := time.Now()
	r := &load.Round{Samples: make([]*load.Sample, 2)}
	var perConn [2]float64
	for i := range perConn {
		arm := (i + round) % 2
		s := t.cell.Scenario
		s.Server.CPUs, s.Server.Program = o.Place.Server, o.Arms[arm].Program
		bytes, notes, err := o.Memory(ctx, t.names[arm], s)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrInput):
			return badInput("%s: %v", t.cell.Name, err)
		case errors.Is(err, ErrGenerator):
			r.Invalid = cmp.Or(r.Invalid, err.Error())
		case err != nil:
			r.Faulty = append(r.Faulty, t.names[arm])
			r.Invalid = cmp.Or(r.Invalid, t.names[arm]+": "+err.Error())
		}
		perConn[arm] = bytes
		for _, note := range notes {
			if !slices.Contains(t.notes, note) {
				t.notes = append(t.notes, note)
			}
		}
	}
	t.rounds, t.perConn = append(t.rounds, r), append(t.perConn, perConn)
	o.Progress(round+1, o.Rounds, t.cell.Name, time.Since(began), r.Invalid)
	return nil
}
