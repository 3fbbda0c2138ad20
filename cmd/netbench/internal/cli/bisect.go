package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"netbench/gate"
	"netbench/internal/leftover"
	"netbench/results"
	"netbench/testenv"
)

func bisectCommand() Command {
	return Command{
		Name:  "bisect",
		Short: "which commit made it slower? found by gates",
		Long: `Good and bad are compared by a gate first. If bad is slower, the commits between them
are halved, by gates between good and the one in the middle, until one is left: the
first that has more than half of the slowdown. The search follows first parents, so
a merged branch is one commit. Commits that do not build or cannot be decided about
are left out, and if that leaves several, all are named.

Each gate takes two minutes with the defaults, canary and build included, and there
are as many as the number of commits has binary digits, and two more.

Exit codes: 0 one commit was found; 2 bad input; 3 bad is not shown to be slower,
several commits are left, or interrupted.`,
		Examples: []Example{
			{"Since a release:", "netbench bisect -good v1.2.0 -row Echo/model=reactor/conns=100/size=1024"},
			{"By allocations:", "netbench bisect -good HEAD~20 -bad HEAD -row Echo/model=goroutine/conns=100/size=1024:allocs"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			f := &bisectFlags{}
			flags.StringVar(&f.good, "good", "", "`ref` of git that is not slow yet")
			flags.StringVar(&f.bad, "bad", "HEAD", "`ref` of git that is slow")
			flags.StringVar(&f.row, "row", "", "`ROW` or ROW:METRIC that became slower (netbench gate -list)")
			f.pace.declare(flags)
			flags.Uint64Var(&f.pace.seed, "seed", 1, "`number` that payload and order are made from")
			flags.BoolVar(&f.asJSON, "json", false, "print one JSON object")
			return f.run
		},
	}
}

type bisectFlags struct {
	good, bad, row string
	pace           gatePace
	asJSON         bool
}

func (f *bisectFlags) run(ctx context.Context, _ []string, s Streams) (int, error) {
	o, err := f.options(s)
	if err != nil {
		return results.ExitBadInput, err
	}
	defer leftover.Owe()() // further interrupts wait until servers have ended, and what is known is told
	if err := testenv.PinSelf(o.Place.Generator); err != nil {
		return results.ExitUndecided, err
	}
	canary, note := canary(ctx, "")
	if o.Canary = canary; note != "" {
		o.Log(note)
	}
	r, err := gate.RunBisect(ctx, o)
	if err != nil && r != nil && (len(r.Candidates) > 0 || f.asJSON && r.Total.Effect != nil) { // what is known is not lost
		if e := f.show(s.Out, r, false); e != nil {
			return results.ExitUndecided, errors.Join(err, e)
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
	err = f.show(s.Out, r, true)
	if len(r.Candidates) != 1 {
		return results.ExitUndecided, err
	}
	return results.ExitGood, err
}

// show prints what was found, by a search that came to its end or did not.
func (f *bisectFlags) show(w io.Writer, r *gate.Bisected, ended bool) error {
	if f.asJSON {
		return printJSON(w, r)
	}
	return printBisected(w, r, ended)
}

func (f *bisectFlags) options(s Streams) (o gate.Bisect, err error) {
	switch {
	case f.good == "":
		return o, errors.New("-good is missing (give a ref of git that is not slow yet)")
	case f.row == "":
		return o, errors.New("-row is missing (netbench gate -list prints them)")
	}
	if err := f.pace.check(); err != nil {
		return o, err
	}
	place, err := gatePlace()
	if err != nil {
		return o, err
	}
	cells, err := cellsOf(f.row)
	if err != nil {
		return o, err
	}
	if len(cells) != 1 || len(cells[0].Metrics) != 1 {
		return o, fmt.Errorf("-row is %q (want one row, with one metric)", f.row)
	}
	o = gate.Bisect{Good: f.good, Bad: f.bad, Options: f.pace.options(gate.DefaultRules())}
	o.Cells, o.Place = cells, place
	o.Log = func(line string) { fmt.Fprintln(s.Err, line) }
	return o, nil
}

// printBisected writes what was found for people.
func printBisected(w io.Writer, r *gate.Bisected, ended bool) error {
	fmt.Fprintf(w, "%s %s\n\n", r.Row, r.Unit)
	for _, step := range r.Steps {
		fmt.Fprintln(w, step)
	}
	if len(r.Candidates) == 1 {
		fmt.Fprintf(w, "\n%s made it slower", r.Candidates[0])
		if own := r.Own; own != nil && own.Effect != nil && own.Lo != nil && own.Hi != nil {
			fmt.Fprintf(w, ", by %+.1f %% [%+.1f, %+.1f]", 100**own.Effect, 100**own.Lo, 100**own.Hi)
		}
		_, err := fmt.Fprintln(w)
		return err
	}
	why := "none between could be judged"
	if !ended {
		why = "the search did not come to its end"
	}
	fmt.Fprintf(w, "\none of these %d made it slower; %s:\n", len(r.Candidates), why)
	for _, c := range r.Candidates {
		if _, err := fmt.Fprintln(w, c); err != nil {
			return err
		}
	}
	return nil
}
