package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"netbench/gcprofile/beforeafter"
	"netbench/results"
	"netbench/testenv"
)

func beforeAfterCommand() Command {
	return Command{
		Name:  "beforeafter",
		Short: "compare a service before and after caring about allocations",
		Long: `One service that takes orders in JSON over HTTP is there twice: as it is written when
nobody measures (maps, concatenation, fmt, a live set full of pointers, the collector
as it comes), and with buffers that are used again, a live set without pointers and a
collector that was set. Both answer the same bytes. They are driven by an open loop at
one rate, a share of what the naive one can do unless -rate says otherwise, one of
them alive at a time, in blocks in random order, each in a fresh process.

A block has to be several collections of the tuned service long to tell anything of
them, so the defaults take about eleven minutes. The table shows allocations, pauses,
collections, the collector's CPU share, heap, RSS and latency beside the figures that a
well-known article gives for such a change.

Exit codes: 0 all that is required of the tuned service holds (at most a quarter of the
allocations per request, at least 3 times fewer collections, p99 not worse); 1 some of
it does not; 2 bad input; 3 it could not be decided, or was interrupted.`,
		Examples: []Example{
			{"The whole comparison:", "netbench beforeafter"},
			{"A quick look, with a smaller live set:", "netbench beforeafter -products 50000 -rounds 3 -block 10s"},
			{"At a rate of your own, with JSON for a script:", "netbench beforeafter -rate 2000 -json"},
			{"What the collector's setting alone changes of the tuned one:", "netbench beforeafter -gogc 50"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			var o beforeafter.Options
			flags.Float64Var(&o.Rate, "rate", 0, "`requests` a second to both (default: the share of -share)")
			flags.Float64Var(&o.Share, "share", 0.6, "`share` of what the naive service can do, up to 0.9")
			flags.IntVar(&o.Products, "products", 350_000, "`number` of products in the live set of both; 350,000 are about 110 MiB")
			flags.IntVar(&o.Items, "items", 20, "`number` of items in an order")
			flags.IntVar(&o.Conns, "conns", 32, "`number` of connections")
			flags.IntVar(&o.Rounds, "rounds", 8, "`number` of rounds, a block of each service")
			flags.DurationVar(&o.Block, "block", 36*time.Second, "`length` of a block")
			flags.DurationVar(&o.Warmup, "warmup", 3*time.Second, "`time` at the same rate before a block")
			flags.StringVar(&o.Tuned.GOGC, "gogc", beforeafter.DefaultCollector.GOGC, "GOGC of the tuned service, a `percentage` or off")
			flags.StringVar(&o.Tuned.GOMEMLIMIT, "memlimit", beforeafter.DefaultCollector.GOMEMLIMIT, "GOMEMLIMIT of the tuned service, a `size` or off")
			flags.Uint64Var(&o.Seed, "seed", 1, "`seed` of the order of blocks, of arrivals and of the order that is sent")
			dir := flags.String("dir", "", "keep a run file in this `directory`, too")
			asJSON := flags.Bool("json", false, "print one JSON object")
			return func(ctx context.Context, _ []string, s Streams) (int, error) {
				if err := noZeros(flags, "seed", "dir"); err != nil {
					return results.ExitBadInput, err
				}
				o.Progress = func(line string) { fmt.Fprintln(s.Err, line) }
				return runBeforeAfter(ctx, o, *dir, *asJSON, s)
			}
		},
	}
}

// noZeros refuses flags that were given as 0 or "", which an option's zero value would
// take for its default. Those named may be.
func noZeros(flags *flag.FlagSet, but ...string) (err error) {
	flags.Visit(func(f *flag.Flag) {
		if slices.Contains(but, f.Name) {
			return
		}
		switch value := f.Value.String(); value {
		case "":
			err = fmt.Errorf("-%s is empty (give a value, or leave it out for the default)", f.Name)
		case "0", "0s":
			err = fmt.Errorf("-%s is %s (want more than 0, or leave it out for the default)", f.Name, value)
		}
	})
	return err
}

// runBeforeAfter measures, keeps and prints what there is.
func runBeforeAfter(ctx context.Context, o beforeafter.Options, dir string, asJSON bool, s Streams) (exit int, err error) {
	if err := o.Check(); err != nil {
		return results.ExitBadInput, err
	}
	place, err := testenv.Place()
	if err == nil {
		err = testenv.PinSelf(place.Generator)
	}
	if err != nil {
		return results.ExitUndecided, err
	}
	run, err := createRun(ctx, dir)
	if err != nil {
		return results.ExitBadInput, err
	}
	report, failure := beforeafter.Measure(ctx, o, place)
	path, err := keepBeforeAfter(run, report, failure)
	if err != nil {
		return results.ExitBadInput, err
	}
	switch {
	case report == nil:
	case asJSON:
		err = printJSON(s.Out, report)
	default:
		err = report.Print(s.Out)
	}
	switch {
	case err != nil:
		return results.ExitBadInput, err
	case errors.Is(failure, beforeafter.ErrInput):
		return results.ExitBadInput, failure
	case ctx.Err() != nil:
		return results.ExitUndecided, errors.New("interrupted")
	case failure != nil:
		return results.ExitUndecided, failure
	}
	if path != "" {
		fmt.Fprintln(s.Err, "kept as "+path)
	}
	switch report.Worst() {
	case beforeafter.Failed:
		return results.ExitFailed, nil
	case beforeafter.Undecided:
		return results.ExitUndecided, nil
	}
	return results.ExitGood, nil
}

// keepBeforeAfter ends a run file, which may be nil, and returns where it is.
func keepBeforeAfter(run *results.Writer, report *beforeafter.Report, failure error) (string, error) {
	if run == nil {
		return "", nil
	}
	if report == nil || report.Rounds == 0 {
		return "", run.Discard()
	}
	if err := report.Write(run); err != nil {
		return "", errors.Join(err, run.Abandon("a result could not be written"))
	}
	if failure != nil {
		return run.Path(), run.Abandon(failure.Error())
	}
	err := run.Commit()
	return run.Path(), err
}
