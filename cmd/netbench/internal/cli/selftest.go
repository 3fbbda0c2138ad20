package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"netbench/gate"
	"netbench/internal/leftover"
	"netbench/results"
	"netbench/testenv"
)

func selftestCommand() Command {
	return Command{
		Name:  "gate selftest",
		Short: "how often does the gate err? tried where the truth is known",
		Long: `The decision alone is tried on simulated noise of several kinds. Then the gate
itself is held where the truth is known: a program against itself, against itself
with calibrated extra work of 3, 5, 10 and 20 % of its CPU time per request, and
against itself with its functions laid out in another order by the linker, which
bounds what relinking alone does. Experiments take turns, gate by gate.

With the defaults it takes an hour and a quarter. The checkout is built for it, so
it has to run in one.

Exit codes: 0 the gate does what it promises; 1 it does not; 2 bad input; 3
interrupted, or something failed.`,
		Examples: []Example{
			{"All of it, as docs/gate.md shows it:", "netbench gate selftest -markdown docs/gate.md"},
			{"The decision alone, a minute:", "netbench gate selftest -gates 0"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			f := &selftestFlags{}
			flags.StringVar(&f.row, "row", "Echo/model=goroutine/conns=100/size=1024:cpu+syscalls+allocs", "`ROW:METRIC+METRIC` of real gates; the first is cpu")
			flags.IntVar(&f.gates, "gates", gate.DefaultGates, "real gates of each experiment (`number`, 0 for none)")
			f.pace.declare(flags)
			flags.IntVar(&f.trials, "trials", gate.DefaultTrials, "simulated gates of each noise and effect (`number`, 0 for none)")
			flags.Uint64Var(&f.pace.seed, "seed", 1, "`number` that noise and order are made from")
			flags.StringVar(&f.page, "markdown", "", "write the report as a page to `FILE` too")
			flags.BoolVar(&f.asJSON, "json", false, "print one JSON object")
			return func(ctx context.Context, _ []string, s Streams) (int, error) {
				return f.run(ctx, commandLine("gate selftest", flags), s)
			}
		},
	}
}

type selftestFlags struct {
	row           string
	gates, trials int
	pace          gatePace
	page          string
	asJSON        bool
}

func (f *selftestFlags) run(ctx context.Context, command string, s Streams) (int, error) {
	o, err := f.options(s)
	if err != nil {
		return results.ExitBadInput, err
	}
	defer leftover.Owe()() // further interrupts wait until servers have ended, and what is known is told
	page, err := createWhole(f.page)
	if err != nil {
		return results.ExitBadInput, fmt.Errorf("-markdown: %w", err)
	}
	defer page.discard()
	if f.gates > 0 {
		remove, exit, err := f.arms(ctx, &o)
		defer func() {
			if e := remove(); e != nil {
				fmt.Fprintf(s.Err, "warning: %v\n", e)
			}
		}()
		if err != nil {
			return exit, err
		}
	}
	r, err := gate.RunSelfTest(ctx, o)
	if err != nil && r != nil && !f.asJSON {
		// An hour's work is not thrown away because the last minute failed.
		if e := r.Print(s.Out); e != nil {
			return results.ExitUndecided, e
		}
	}
	switch {
	case ctx.Err() != nil:
		return results.ExitUndecided, errors.New("interrupted")
	case errors.Is(err, gate.ErrInput):
		return results.ExitBadInput, err
	case err != nil:
		return results.ExitUndecided, err
	}
	if f.asJSON {
		err = printJSON(s.Out, r)
	} else {
		err = r.Print(s.Out)
	}
	failed := page.commit(func(w io.Writer) error {
		host, err := results.Collect(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "# How often the gate errs\n\n    %s\n\nwrote this on %s with %s for %s/%s on %s, %d CPUs (%s).\n\n", command,
			host.Start.Format(time.DateOnly), host.GoVersion, host.GOOS, host.GOARCH, host.Kernel, host.CPUs, host.CPUModel)
		return r.Markdown(w)
	})
	if failed != nil {
		return results.ExitUndecided, errors.Join(err, fmt.Errorf("-markdown: %w", failed))
	}
	if !r.Kept() {
		return results.ExitFailed, err
	}
	return results.ExitGood, err
}

func (f *selftestFlags) options(s Streams) (o gate.SelfTest, err error) {
	switch {
	case f.gates < 0:
		return o, fmt.Errorf("-gates is %d (want 0 or more)", f.gates)
	case f.trials < 0:
		return o, fmt.Errorf("-trials is %d (want 0 or more)", f.trials)
	case f.gates+f.trials == 0:
		return o, errors.New("-gates and -trials are 0: there is nothing to do")
	}
	if err := f.pace.check(); err != nil {
		return o, err
	}
	o = gate.SelfTest{
		Options: f.pace.options(gate.DefaultRules()),
		Gates:   f.gates, Trials: f.trials,
	}
	if o.Gates == 0 {
		o.Gates = -1
	}
	if o.Trials == 0 {
		o.Trials = -1
	}
	o.Log = func(line string) { fmt.Fprintln(s.Err, line) }
	if o.Cells, err = cellsOf(f.row); err != nil {
		return o, err
	}
	return o, o.Check()
}

// arms builds what real gates compare, and places it.
func (f *selftestFlags) arms(ctx context.Context, o *gate.SelfTest) (remove func() error, exit int, err error) {
	remove = func() error { return nil }
	place, err := gatePlace()
	if err != nil {
		return remove, results.ExitBadInput, err
	}
	o.Place = place
	arms, remove, err := gate.BuildLayouts(ctx, "", f.gates, o.Log)
	switch {
	case ctx.Err() != nil:
		return remove, results.ExitUndecided, errors.New("interrupted")
	case errors.Is(err, gate.ErrInput):
		return remove, results.ExitBadInput, err
	case err != nil:
		return remove, results.ExitUndecided, err
	}
	if err := testenv.PinSelf(place.Generator); err != nil {
		return remove, results.ExitUndecided, err
	}
	o.Arms, o.Layouts = [2]gate.Arm{arms[0], arms[0]}, arms[1:]
	canary, note := canary(ctx, arms[0].Program)
	if o.Canary = canary; note != "" {
		o.Log(note)
	}
	return remove, results.ExitGood, nil
}
