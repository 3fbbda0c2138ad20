package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"netbench/internal/cpu"
	"netbench/models"
	"netbench/models/race"
	"netbench/results"
	"netbench/testenv"
)

func raceCommand() Command {
	return Command{
		Name:  "race",
		Short: "put models on one start line and see which costs least",
		Long: `Fresh servers of all models are alive together, on CPUs of their own, with the same
configuration and service, and are driven in turn, in slices of a tenth of a second
and balanced order. A round gives one number for each metric and model; over
rounds they give ratios to the baseline with 95 % intervals. Server CPU time for
each request is what decides; where answers wait, latency.

States: saturated, a closed loop, where rates are compared if every model kept its
CPUs busy; paced, an open loop at one rate for all, 70 % of what the slowest
reached in a short race before, where latencies are compared.

Models are names and groups: all, ours, peers, floor (the echo in C), recommended
(peers with the settings that their own documentation advises). A model of a group
that this host lacks is left out, with the reason; one that was named is an error.

Services are those of serve, with suffixes: echo+wait=1ms blocks before each
answer, echo+compute=10us computes, for so many rounds of arithmetic as take that
long on this host.

With -cells it runs races that were set up beforehand and says which model to
choose in each. A model that crashes or loses connections makes its round
worthless, by name. The run is kept as a file for benchstat -col /model.

Needs Linux and two CPUs.

Exit codes: 0 raced; 2 bad input, a model that cannot be had, too few CPUs or
descriptors; 3 interrupted, or too few rounds count to decide.`,
		Examples: []Example{
			{"Everything that this host has, on 100 connections with 64 bytes:", "netbench race"},
			{"Two models at one common rate:", "netbench race -models goroutine,reactor -conns 1000 -size 1024 -state paced"},
			{"A quick look:", "netbench race -models goroutine,goroutine-naive -rounds 2 -slice 20ms -slices 4 -dir ''"},
			{"10,000 connections of which 80 % are idle, as JSON:", "netbench race -models goroutine,c-epoll -conns 10000 -idle 0.8 -json"},
			{"Cells that were set up beforehand:", "netbench race -cells standard"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			f := declareRaceFlags(flags)
			return func(ctx context.Context, _ []string, s Streams) (int, error) {
				return f.run(ctx, flags, s)
			}
		},
	}
}

// raceFlags are the flags of race.
type raceFlags struct {
	o      race.Options
	models string
	state  string
	cells  string
	memory bool
	dir    string
	page   string
	asJSON bool

	command string // that was given

	measured map[[2]string]float64 // memory, by model and service
}

func declareRaceFlags(fs *flag.FlagSet) *raceFlags {
	f := &raceFlags{measured: map[[2]string]float64{}}
	o := &f.o
	fs.StringVar(&f.models, "models", "all", "`list` of models and groups: "+entrantNames(entrants())+"; "+groupNames())
	fs.StringVar(&o.Service, "service", "echo", "`service`: "+strings.Join(models.ServiceNames(), ", ")+", with suffixes")
	fs.IntVar(&o.Conns, "conns", race.DefaultConns, "connections to each model (`number`)")
	fs.IntVar(&o.Size, "size", race.DefaultSize, "payload of an echo or frame request in `bytes`")
	fs.IntVar(&o.Pipeline, "pipeline", 1, "requests outstanding on one connection (`number`)")
	fs.Float64Var(&o.IdleShare, "idle", 0, "`share` of the connections, 0 to 1, that are held without traffic")
	fs.IntVar(&o.Rounds, "rounds", race.DefaultRounds, "rounds, each with fresh processes (`number`)")
	fs.DurationVar(&o.Slice, "slice", 0, "`length` of a slice; 100ms unless given, and more with more than 2000 active connections")
	fs.IntVar(&o.Slices, "slices", 0, "slices of each model in a round (`number`), rounded up to a multiple of twice the models; 20 unless given, fewer if they are longer")
	fs.StringVar(&f.state, "state", "saturated", "`state`: saturated or paced; with -cells both unless given")
	fs.Float64Var(&o.Rate, "rate", 0, "the common rate in state paced, requests a second (`number`); found unless given")
	fs.StringVar(&o.Baseline, "baseline", "", "`model` that ratios refer to; goroutine, or else the first, unless given")
	fs.Uint64Var(&o.Seed, "seed", 1, "`number` that payload and order are made from")
	fs.StringVar(&f.cells, "cells", "", "run races that were set up beforehand: `list` of cells and groups ("+race.CellGroups()+"), in place of -service, -conns, -size, -pipeline and -idle")
	fs.BoolVar(&f.memory, "memory", false, "measure memory for each idle connection too; takes a minute or so for each model")
	fs.StringVar(&f.dir, "dir", defaultRuns, "`directory` of the run file; '' keeps none")
	fs.StringVar(&f.page, "markdown", "", "with -cells, write the results as a page to `FILE` too, if all were held")
	fs.BoolVar(&f.asJSON, "json", false, "print one JSON object, with -cells an array of them")
	return f
}

// setByCells are the flags that -cells takes the place of.
var setByCells = map[string]bool{"service": true, "conns": true, "size": true, "pipeline": true, "idle": true, "rate": true}

// raceFlagsAboveZero are those whose value, if given, has to be.
var raceFlagsAboveZero = map[string]bool{"conns": true, "size": true, "pipeline": true, "rounds": true, "slice": true, "slices": true, "rate": true}

// check looks at what was given, and at what does not go together.
func (f *raceFlags) check(fs *flag.FlagSet) (bad error) {
	given := map[string]bool{}
	fs.Visit(func(g *flag.Flag) {
		given[g.Name] = true
		value := g.Value.String()
		switch {
		case bad != nil:
		case raceFlagsAboveZero[g.Name] && (value == "0" || value == "0s" || strings.HasPrefix(value, "-")):
			bad = fmt.Errorf("-%s is %s (want more than 0)", g.Name, value)
		case f.cells != "" && setByCells[g.Name]:
			bad = fmt.Errorf("-%s has no effect with -cells (each cell has its own)", g.Name)
		}
	})
	switch {
	case bad != nil:
		return bad
	case f.page != "" && f.cells == "":
		return errors.New("-markdown belongs to -cells")
	case given["size"] && !race.Sized(f.o.Service):
		return fmt.Errorf("-size has no effect on service %s (it belongs to echo and frame)", f.o.Service)
	}
	if f.cells != "" && !given["state"] {
		f.state = ""
	}
	return nil
}

func (f *raceFlags) run(ctx context.Context, fs *flag.FlagSet, s Streams) (int, error) {
	if err := f.check(fs); err != nil {
		return results.ExitBadInput, err
	}
	f.command = commandLine("race", fs)
	races, err := f.races()
	if err != nil {
		return results.ExitBadInput, err
	}
	page, err := createWhole(f.page)
	if err != nil {
		return results.ExitBadInput, fmt.Errorf("-markdown: %w", err)
	}
	defer page.discard()
	place, err := testenv.Place()
	if err == nil {
		err = testenv.PinSelf(place.Generator)
	}
	if err != nil {
		return results.ExitBadInput, err
	}
	fmt.Fprintln(s.Err, place.Reason)
	run, err := f.createRun(ctx, place)
	if err != nil {
		return results.ExitBadInput, err
	}
	m := &raceMeeting{f: f, run: run, s: s}
	exit, err := m.hold(ctx, races)
	if e := m.close(err); err == nil {
		err = e
	}
	if ctx.Err() == nil && err == nil && f.page != "" {
		if e := page.commit(m.markdown(ctx)); e != nil {
			return results.ExitBadInput, fmt.Errorf("-markdown: %w", e)
		}
	}
	return exit, err
}

// races are what the flags ask for: one race, or those of the cells.
func (f *raceFlags) races() ([]race.CellRace, error) {
	chosen, named, err := chooseEntrants(f.models)
	if err != nil {
		return nil, err
	}
	f.o.Entrants, f.o.LeaveOut = chosen, !named
	if f.o.Baseline == "" {
		for _, e := range chosen {
			if e.Name == "goroutine" {
				f.o.Baseline = e.Name
			}
		}
	}
	races, err := f.heats()
	for i := range races {
		if f.memory {
			races[i].Options.Memory = f.measureMemory(races[i].Options.Service)
		}
	}
	return races, err
}

// heats are one race, or those of the cells, but for memory.
func (f *raceFlags) heats() ([]race.CellRace, error) {
	if f.cells == "" {
		f.o.State = race.State(f.state)
		return []race.CellRace{{Options: f.o}}, nil
	}
	if f.state != "" && f.state != string(race.Saturated) && f.state != string(race.Paced) {
		return nil, fmt.Errorf("state %q is unknown (use saturated or paced)", f.state)
	}
	return race.Cells(f.o, f.cells, race.State(f.state))
}

// createRun begins the run file; nil for none.
func (f *raceFlags) createRun(ctx context.Context, place testenv.Placement) (*results.Writer, error) {
	if f.dir == "" {
		return nil, nil
	}
	print, err := results.Collect(ctx)
	if err != nil {
		return nil, err
	}
	print.ServerCPUs, print.GeneratorCPUs = cpu.Format(place.Server), cpu.Format(place.Generator)
	return results.Create(f.dir, print)
}
