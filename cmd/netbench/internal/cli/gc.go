package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"netbench/gcprofile"
	"netbench/results"
)

func gcCommand() Command {
	return Command{
		Name:  "gc",
		Short: "find which GOGC and GOMEMLIMIT suit a server with a live heap",
		Long: `A server that answers JSON over HTTP/1.1 keeps a live set of -live bytes for its whole
life and allocates -alloc for each request. Settings of the garbage collector are
compared at one rate of requests, due at times fixed beforehand: each block has a fresh
process with the setting in its environment, one at a time, in an order shuffled anew
in each round, and lasts until -collections collections were seen, or -max-block.

For each setting: percentiles of latency from the due time, the collector's share of
the CPU time and the part that requests had to do (assist), the number of collections,
their pauses, how long goroutines waited to run, peak RSS and heap goal, all of the
server's process and from runtime/metrics.

-budget or -p99 asks for a recommendation: the setting that keeps a peak RSS or a p99
in a further block with a probability of 97.5 %, predicted from the blocks measured. A
limit so near the live set that collections follow each other (a death spiral) is
warned of: beforehand below 1.1 times the live set and 5 MiB, afterwards where
collections took 40 % of all CPU time or the runtime cut them short at half of it.

A setting is GOGC, and after an @ GOMEMLIMIT: 100, off@1.5 (times the live set),
off@512MiB, 400@2.

-json prints one object: spec, drive, capacity, share, rounds, seed, host, warnings,
recommendation (goal, answer, setting, text) and rows, one for each setting, with its
figures (value, lo, hi) and its blocks. What is not known is left out.

Exit codes: 0 measured, and if a goal was given a setting keeps it; 1 no setting keeps
it; 2 bad input, for instance a heap larger than memory or a limit below the live set;
3 interrupted, failed on the way, or undecided.`,
		Examples: []Example{
			{"What 256 MiB of small objects cost at 30 % of the capacity:", "netbench gc -live 256MiB -alloc 64KiB"},
			{"Which setting keeps a server of 128 MiB within 300 MiB:", "netbench gc -live 128MiB -alloc 64KiB -rate 2000 -budget 300MiB"},
			{"A quick look, as JSON:", "netbench gc -live 16MiB -alloc 64KiB -settings 100,off@1.5 -blocks 1 -json"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			f := declareGCFlags(flags)
			return func(ctx context.Context, _ []string, s Streams) (int, error) { return f.run(ctx, flags, s) }
		},
	}
}

// gcFlags are the flags of gc.
type gcFlags struct {
	plan           gcprofile.Plan
	goal           gcprofile.Goal
	live, budget   string
	objects, alloc string
	settings       string
	asJSON         bool
}

func declareGCFlags(fs *flag.FlagSet) *gcFlags {
	f := &gcFlags{}
	fs.StringVar(&f.live, "live", "256MiB", "`size` of the live set, 0 to 2GiB")
	fs.StringVar(&f.objects, "objects", "small", "what the live set is made of: small or large `objects`")
	fs.StringVar(&f.alloc, "alloc", "64KiB", "what each request allocates: none, small or a `size`")
	fs.StringVar(&f.plan.Spec.Model, "model", "goroutine", "`model`: "+modelNames())
	fs.StringVar(&f.settings, "settings", "50,100,200,400,off@1.2,off@1.5,off@2", "`list` of GOGC[@LIMIT]; without a live set those with a limit are left out unless given")
	fs.Float64Var(&f.plan.Drive.Rate, "rate", 0, "`requests` a second; -share of the capacity, which is measured, unless given")
	fs.Float64Var(&f.plan.Share, "share", gcprofile.DefaultShare, "`share` of the capacity, 0 to 1")
	fs.IntVar(&f.plan.Drive.Conns, "conns", gcprofile.DefaultConns, "connections (`number`)")
	fs.IntVar(&f.plan.Blocks, "blocks", gcprofile.DefaultBlocks, "blocks of each setting (`number`); a recommendation needs 3")
	fs.IntVar(&f.plan.Drive.Collections, "collections", gcprofile.DefaultCollections, "collections that a block has to see (`number`)")
	fs.DurationVar(&f.plan.Drive.Min, "min-block", gcprofile.DefaultMinBlock, "shortest `length` of a block")
	fs.DurationVar(&f.plan.Drive.Max, "max-block", gcprofile.DefaultMaxBlock, "longest `length` of a block, if there are too few collections")
	fs.DurationVar(&f.plan.Drive.Warm, "warm", gcprofile.DefaultWarm, "longest `length` for which a server is driven before its block, to its first collection")
	fs.Uint64Var(&f.plan.Seed, "seed", 1, "`number` that the order of the blocks is made from")
	fs.StringVar(&f.budget, "budget", "", "recommend a setting for a memory budget: peak RSS, a `size`")
	fs.DurationVar(&f.goal.P99, "p99", 0, "recommend a setting for a p99 of latency: a `time`")
	fs.BoolVar(&f.asJSON, "json", false, "print one JSON object")
	return f
}

// check reads what was given, before anything is started.
func (f *gcFlags) check(fs *flag.FlagSet) (err error) {
	if Models()[f.plan.Spec.Model] == nil {
		return fmt.Errorf("-model %q is unknown (use %s)", f.plan.Spec.Model, modelNames())
	}
	if f.plan.Spec.Live, err = gcprofile.ParseSize(f.live); err != nil {
		return fmt.Errorf("-live: %w", err)
	}
	f.plan.Spec.Objects, f.plan.Spec.Alloc = gcprofile.Objects(f.objects), gcprofile.Alloc(f.alloc)
	if isGiven(fs, "settings") {
		f.plan.Settings = []gcprofile.Setting{}
		for _, text := range strings.Split(f.settings, ",") {
			setting, err := gcprofile.ParseSetting(text, f.plan.Spec.Live)
			if err != nil {
				return fmt.Errorf("-settings: %w", err)
			}
			f.plan.Settings = append(f.plan.Settings, setting)
		}
	}
	if err := noZeros(fs, "live", "settings", "seed", "budget"); err != nil {
		return err
	}
	if isGiven(fs, "min-block") && isGiven(fs, "max-block") && f.plan.Drive.Min > f.plan.Drive.Max {
		return fmt.Errorf("-min-block is %v and -max-block %v (want no more than that)", f.plan.Drive.Min, f.plan.Drive.Max)
	}
	if f.budget != "" {
		if f.goal.Budget, err = gcprofile.ParseSize(f.budget); err != nil || f.goal.Budget == 0 {
			return fmt.Errorf("-budget is %q (want a size above the live set, for instance 512MiB)", f.budget)
		}
	}
	if err := f.goal.Check(f.plan.Spec.Live); err != nil {
		return err
	}
	return f.plan.Check()
}

func (f *gcFlags) run(ctx context.Context, fs *flag.FlagSet, s Streams) (int, error) {
	if err := f.check(fs); err != nil {
		return results.ExitBadInput, err
	}
	fmt.Fprintf(s.Err, "seed %d\n", f.plan.Seed)
	f.plan.Progress = func(line string) { fmt.Fprintln(s.Err, line) }
	report, failure := gcprofile.Sweep(ctx, f.plan)
	switch {
	case errors.Is(failure, gcprofile.ErrInput):
		return results.ExitBadInput, failure
	case report == nil:
		return results.ExitUndecided, failure
	}
	exit := results.ExitGood
	if failure == nil && f.goal != (gcprofile.Goal{}) {
		switch report.Recommend(f.goal).Answer {
		case gcprofile.None:
			exit = results.ExitFailed
		case gcprofile.Undecided:
			exit = results.ExitUndecided
		}
	}
	if err := f.print(report, s.Out); err != nil {
		return results.ExitBadInput, err
	}
	if failure != nil {
		return results.ExitUndecided, failure
	}
	return exit, nil
}

func (f *gcFlags) print(r *gcprofile.Report, w io.Writer) error {
	if f.asJSON {
		return printJSON(w, r)
	}
	return r.Print(w)
}
