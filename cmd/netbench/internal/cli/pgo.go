package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"netbench/gate"
	"netbench/internal/leftover"
	"netbench/results"
	"netbench/testenv"
)

func pgoCommand() Command {
	return Command{
		Name:  "pgo",
		Short: "what does a build that a CPU profile guides save?",
		Long: `It builds the working tree twice, without profile-guided optimization and with the
profile that is given (go build -pgo), and drives both in turn, as netbench gate does:
rounds of short slices with fresh processes of both. It prints, for each row, the CPU
time that the server needs for a request in both builds and the change with its
interval. The guided build compiles all packages anew, which takes minutes.

The profile is one that netbench profile took, or any CPU profile of this program. A
row that was not profiled tells what the build is worth to other loads.

Exit codes: 0 compared; 2 bad input, or the profile changes nothing; 3 some row could
not be compared, or interrupted.`,
		Examples: []Example{
			{"Profile the reactor, then compare:", "netbench pgo -profile results/runs/RUN.profiles/Echo_model=reactor_conns=100_size=1024/cpu.pprof -rows Echo/model=reactor/conns=100/size=1024"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			var f pgoFlags
			flags.StringVar(&f.profile, "profile", "", "CPU profile that guides (`file`)")
			flags.StringVar(&f.rows, "rows", "Echo/model=goroutine/conns=100/size=1024,HTTP/model=goroutine/conns=1000", "`list` of rows, as netbench gate takes them")
			f.pace.declare(flags)
			flags.Uint64Var(&f.pace.seed, "seed", 0, "`number` that payload and order are made from; taken from the clock unless given")
			flags.BoolVar(&f.asJSON, "json", false, "print one JSON object, that of netbench gate")
			return func(ctx context.Context, _ []string, s Streams) (int, error) { return f.run(ctx, flags, s) }
		},
	}
}

// pgoFlags are the flags of pgo.
type pgoFlags struct {
	profile, rows string
	pace          gatePace
	asJSON        bool
}

// options checks what was given.
func (f *pgoFlags) options(flags *flag.FlagSet) (o gate.Options, err error) {
	if f.profile == "" {
		return o, errors.New("no -profile is given (netbench profile takes one)")
	}
	if info, err := os.Stat(f.profile); err != nil {
		return o, fmt.Errorf("-profile: %w", err)
	} else if info.IsDir() {
		return o, fmt.Errorf("-profile: %s is a directory (give its cpu.pprof)", f.profile)
	}
	if err := f.pace.check(); err != nil {
		return o, err
	}
	if !isGiven(flags, "seed") {
		f.pace.seed = clockSeed()
	}
	o = f.pace.options(gate.DefaultRules())
	if o.Cells, err = cellsOf(f.rows); err != nil {
		return o, err
	}
	return o, o.Check()
}

func (f *pgoFlags) run(ctx context.Context, flags *flag.FlagSet, s Streams) (int, error) {
	o, err := f.options(flags)
	if err != nil {
		return results.ExitBadInput, err
	}
	place, err := gatePlace()
	if err != nil {
		return results.ExitBadInput, err
	}
	defer leftover.Owe()() // further interrupts wait until servers have ended
	o.Place = place
	o.Log = func(line string) { fmt.Fprintln(s.Err, line) }
	off, guided, remove, err := gate.BuildPGO(ctx, "", f.profile, o.Log)
	defer func() {
		if e := remove(); e != nil {
			fmt.Fprintf(s.Err, "warning: %v\n", e)
		}
	}()
	if err != nil {
		return pgoFailure(ctx, err)
	}
	if err := testenv.PinSelf(place.Generator); err != nil {
		return results.ExitUndecided, err
	}
	o.Arms = [2]gate.Arm{off, guided}
	o.Progress = func(round, rounds int, cell string, took time.Duration, invalid string) {
		if invalid != "" {
			invalid = ": does not count: " + invalid
		}
		fmt.Fprintf(s.Err, "round %d of %d: %s, %.1f s%s\n", round, rounds, cell, took.Seconds(), invalid)
	}
	host, err := hostOf(ctx, place)
	if err != nil {
		return pgoFailure(ctx, err)
	}
	r, err := gate.Run(ctx, o)
	if err != nil {
		return pgoFailure(ctx, err)
	}
	r.Fingerprint, r.Again = &host, fmt.Sprintf("%s -seed=%d", commandLine("pgo", flags), f.pace.seed)
	if f.asJSON {
		err = printJSON(s.Out, r)
	} else {
		err = printPGO(s, f.profile, r)
	}
	for _, row := range r.Rows {
		if err == nil && (row.Effect == nil || row.Lo == nil || row.Hi == nil) {
			return results.ExitUndecided, fmt.Errorf("%s, %s: there are too few rounds to tell (%d that count; the messages say why others do not)", row.Name, row.Unit, row.N)
		}
	}
	return results.ExitGood, err
}

func pgoFailure(ctx context.Context, err error) (int, error) {
	if errors.Is(err, gate.ErrInput) {
		return interruptedOr(ctx, results.ExitBadInput, err)
	}
	return interruptedOr(ctx, results.ExitUndecided, err)
}

// printPGO prints a row for each metric: less than zero is what the guided build saves.
func printPGO(s Streams, profile string, r *gate.Report) error {
	fmt.Fprintf(s.Out, "profile: %s\n\n", profile)
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "row\tunit\tplain\tguided\tcost of guiding\t95 % interval\trounds\t")
	number := func(format string, v *float64, scale float64) string {
		if v == nil {
			return "–"
		}
		return fmt.Sprintf(format, scale**v)
	}
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s to %s\t%d\t\n", row.Name, row.Unit,
			number("%.4g", row.Base, 1), number("%.4g", row.Head, 1), number("%+.1f %%", row.Effect, 100),
			number("%+.1f %%", row.Lo, 100), number("%+.1f %%", row.Hi, 100), row.N)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, row := range r.Rows {
		for _, warning := range row.Warnings {
			fmt.Fprintf(s.Out, "%s, %s: %s\n", row.Name, row.Unit, warning)
		}
	}
	fmt.Fprintf(s.Out, "\nBelow zero the guided build is better, above it is worse. An interval that holds zero tells nothing.\nAgain: %s\n", r.Again)
	return nil
}
