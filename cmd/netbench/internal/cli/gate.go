package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"netbench/gate"
	"netbench/internal/cpu"
	"netbench/internal/leftover"
	"netbench/results"
	"netbench/testenv"
)

func gateCommand() Command {
	return Command{
		Name:  "gate",
		Short: "did my change make it slower? a verdict between two versions",
		Long: `Base and head are built before anything runs, each from its own checkout, and are
driven in turn by this program's generator, in rounds of short slices with fresh
processes. A row fails if the exact signed rank test says that head is worse, at a
level adjusted for the number of rows, and the estimated effect is at least the
margin. It passes if its effect is shown to be below the tolerance. What is neither
is inconclusive. A canary that no change can touch tells whether the machine is fit.

The generator is always this program's, whatever -head is, so that both arms get the
same. Rows are loads that netbench's own servers are put under (-list prints them). At
most ten metrics judge; the others inform.

A server of any make and language is judged by its command lines: -base-cmd and
-head-cmd, in which {addr} stands for the address to listen on, and -url, what is
asked of it. Its whole process tree is measured.

A waiver lets a row fail until a day: a line of -waivers, such as
"2026-12-31 ROW UNIT REASON". One that has ended is an error.

Exit codes: 0 pass; 1 fail, also if head crashes or loses connections where base
does not; 2 bad input; 3 inconclusive, unfit, interrupted, or base failed.`,
		Examples: []Example{
			{"The working tree against a branch:", "netbench gate -base origin/main"},
			{"Three rows in four minutes:", "netbench gate -base origin/main -quick"},
			{"Two binaries, the verdict as JSON:", "netbench gate -base-bin old/netbench -head-bin new/netbench -json"},
			{"Your own server:", "netbench gate -base-cmd './old -listen {addr}' -head-cmd './new -listen {addr}' -url http://{addr}/"},
			{"What judges:", "netbench gate -list"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			f := declareGateFlags(flags)
			return func(ctx context.Context, _ []string, s Streams) (int, error) { return f.run(ctx, flags, s) }
		},
	}
}

// gateFlags are the flags of gate.
type gateFlags struct {
	sources      gate.Sources
	rows         string
	own          ownServer
	quick, list  bool
	pace         gatePace
	rules        gate.Rules
	margins      [3]float64
	tolerances   [3]float64
	inconclusive string
	waivers      string
	samples      string
	page         string
	asJSON       bool
}

// gateKinds are the kinds of metrics in the order of gateFlags' margins.
var gateKinds = [3]gate.Kind{gate.Timing, gate.Tail, gate.Count}

func declareGateFlags(fs *flag.FlagSet) *gateFlags {
	f := &gateFlags{rules: gate.DefaultRules()}
	fs.StringVar(&f.sources.Base, "base", "", "`ref` of git to compare with")
	fs.StringVar(&f.sources.Head, "head", "", "`ref` of git to judge; the working tree unless given")
	fs.StringVar(&f.sources.BaseBin, "base-bin", "", "a netbench to compare with, in place of -base (`file`)")
	fs.StringVar(&f.sources.HeadBin, "head-bin", "", "a netbench to judge, in place of -head (`file`)")
	fs.StringVar(&f.sources.BaseCmd, "base-cmd", "", "`command` line of a server to compare with, with {addr}")
	fs.StringVar(&f.sources.HeadCmd, "head-cmd", "", "`command` line of a server to judge, with {addr}")
	fs.StringVar(&f.own.url, "url", "", "what is asked of the commands' servers, as a `URL` with {addr}: http://{addr}/path, tcp://{addr} (echo), frame://{addr}, line://{addr}")
	fs.IntVar(&f.own.conns, "conns", 100, "`number` of connections to the commands' servers")
	fs.IntVar(&f.own.size, "size", 1024, "`bytes` of a message, of echo and frame")
	fs.StringVar(&f.own.judge, "judge", "cpu", "metrics that judge the commands' servers, `METRIC+METRIC` of cpu, rate, p99, syscalls; the others inform")
	fs.DurationVar(&f.own.startTimeout, "start-timeout", 10*time.Second, "how long a command may take until it listens (`time`)")
	fs.StringVar(&f.rows, "rows", "", "`list` of rows in place of the table: ROW or ROW:METRIC+METRIC, metrics being cpu (the default), rate, p99, syscalls, allocs, and memory of idle rows (the only one there)")
	fs.BoolVar(&f.quick, "quick", false, "three loads only, in four minutes")
	fs.BoolVar(&f.list, "list", false, "print the table of rows, and all that -rows knows, and end")
	f.pace.declare(fs)
	fs.Uint64Var(&f.pace.seed, "seed", 0, "`number` that payload and order are made from; taken from the clock unless given")
	fs.Float64Var(&f.rules.Alpha, "alpha", f.rules.Alpha, "the adjusted `p-value` at which a row fails")
	fs.Float64Var(&f.rules.Confidence, "confidence", f.rules.Confidence, "`share` of certainty with which a row that passes is below its tolerance")
	for i, kind := range gateKinds {
		fs.Float64Var(&f.margins[i], "margin-"+string(kind), f.rules.Margin[kind], "the least slowdown that fails, as a `share`, of metrics of this kind")
		fs.Float64Var(&f.tolerances[i], "tolerance-"+string(kind), f.rules.Tolerance[kind], "what a row that passes is shown to be below, as a `share`")
	}
	fs.StringVar(&f.inconclusive, "inconclusive", "undecided", "what an inconclusive gate is: `undecided` (exit 3) or pass")
	fs.StringVar(&f.waivers, "waivers", "", "`file` of waivers")
	fs.StringVar(&f.samples, "samples", "", "`directory` in which both arms' samples are kept, for benchstat")
	fs.StringVar(&f.page, "markdown", "", "write the result for a pull request to `FILE`")
	fs.BoolVar(&f.asJSON, "json", false, "print one JSON object")
	return f
}

func (f *gateFlags) run(ctx context.Context, flags *flag.FlagSet, s Streams) (int, error) {
	if f.list {
		return results.ExitGood, printGateRows(s)
	}
	o, err := f.options(flags)
	if err != nil {
		return results.ExitBadInput, err
	}
	defer leftover.Owe()() // further interrupts wait until servers have ended, and what is known is told
	page, err := createWhole(f.page)
	if err != nil {
		return results.ExitBadInput, fmt.Errorf("-markdown: %w", err)
	}
	defer page.discard()
	unmade, err := makeDirectory(f.samples)
	if err != nil {
		return results.ExitBadInput, fmt.Errorf("-samples: %w", err)
	}
	defer unmade()
	place, err := gatePlace()
	if err != nil {
		return results.ExitBadInput, err
	}
	o.Place = place
	o.Log = func(line string) { fmt.Fprintln(s.Err, line) }
	base, head, remove, err := gate.Build(ctx, f.sources, o.Log)
	defer func() {
		if e := remove(); e != nil {
			fmt.Fprintf(s.Err, "warning: %v\n", e)
		}
	}()
	if err != nil {
		return f.failure(ctx, err)
	}
	if err := testenv.PinSelf(place.Generator); err != nil {
		return results.ExitUndecided, err
	}
	o.Arms = [2]gate.Arm{base, head}
	canary, note := canary(ctx, head.Program)
	if o.Canary = canary; note != "" {
		o.Log(note)
	}
	o.Progress = func(round, rounds int, cell string, took time.Duration, invalid string) {
		if invalid != "" {
			invalid = ": does not count: " + invalid
		}
		fmt.Fprintf(s.Err, "round %d of %d: %s, %.1f s%s\n", round, rounds, cell, took.Seconds(), invalid)
	}
	host, err := hostOf(ctx, place)
	if err != nil {
		return f.failure(ctx, err)
	}
	r, failure := gate.Run(ctx, o)
	if r == nil {
		return f.failure(ctx, failure)
	}
	r.Fingerprint, r.Again = &host, f.again(flags)
	if failure != nil {
		if err := f.show(r, s); err != nil {
			return results.ExitUndecided, err
		}
		return f.failure(ctx, failure)
	}
	// Whatever cannot be written, the verdict is not lost.
	failure = f.show(r, s)
	if err := page.commit(func(w io.Writer) error { return r.Markdown(w) }); err != nil {
		failure = errors.Join(failure, fmt.Errorf("-markdown: %w", err))
	}
	if err := f.keep(r, s); err != nil {
		failure = errors.Join(failure, fmt.Errorf("-samples: %w", err))
	}
	exit := f.exit(r.Verdict)
	if failure != nil && exit == results.ExitGood {
		exit = results.ExitUndecided
	}
	return exit, failure
}

// makeDirectory makes a directory and sees that files can be made in it, so that a
// bad one is told before a long run. With no name it does nothing. Unmade removes
// the directory if it is still empty and was not there before.
func makeDirectory(name string) (unmade func(), err error) {
	if name == "" {
		return func() {}, nil
	}
	_, missing := os.Stat(name)
	unmade = func() {
		if errors.Is(missing, fs.ErrNotExist) {
			_ = os.Remove(name) // which fails, as it should, if there is something in it
		}
	}
	if err := os.MkdirAll(name, 0o755); err != nil {
		return unmade, err
	}
	f, err := os.CreateTemp(name, ".netbench-*")
	if err != nil {
		unmade()
		return unmade, fmt.Errorf("no file can be made in it: %w", err)
	}
	return unmade, errors.Join(f.Close(), os.Remove(f.Name()))
}

func (f *gateFlags) show(r *gate.Report, s Streams) error {
	if f.asJSON {
		return printJSON(s.Out, r)
	}
	return r.Print(s.Out)
}

// options checks what was given.
func (f *gateFlags) options(flags *flag.FlagSet) (o gate.Options, err error) {
	given := func(name string) bool { return isGiven(flags, name) }
	commands := given("base-cmd") || given("head-cmd")
	for _, name := range []string{"url", "conns", "size", "judge", "start-timeout"} {
		if given(name) && !commands {
			return o, fmt.Errorf("-%s has no effect without -base-cmd and -head-cmd", name)
		}
	}
	for _, name := range []string{"rows", "quick"} {
		if given(name) && commands {
			return o, fmt.Errorf("-%s has no effect with -base-cmd and -head-cmd (what they are asked is -url)", name)
		}
	}
	switch {
	case given("quick") && given("rows"):
		return o, errors.New("-quick has no effect with -rows (the rows are given)")
	case f.inconclusive != "undecided" && f.inconclusive != "pass":
		return o, fmt.Errorf("-inconclusive is %q (want undecided or pass)", f.inconclusive)
	}
	if err := f.pace.check(); err != nil {
		return o, err
	}
	if !given("seed") {
		f.pace.seed = clockSeed()
	}
	f.rules.Margin, f.rules.Tolerance = map[gate.Kind]float64{}, map[gate.Kind]float64{}
	for i, kind := range gateKinds {
		f.rules.Margin[kind], f.rules.Tolerance[kind] = f.margins[i], f.tolerances[i]
	}
	o = f.pace.options(f.rules)
	f.own.sized = given("size")
	rows := gateRows
	switch {
	case given("rows"):
		if rows, err = parseGateRows(f.rows); err != nil {
			return o, err
		}
	case f.quick:
		rows = nil
		for _, row := range gateRows {
			if row.quick {
				rows = append(rows, row)
			}
		}
	}
	if commands {
		o.Cells, err = f.own.cells()
	} else {
		o.Cells, err = gateCells(rows)
	}
	if err != nil {
		return o, err
	}
	if f.waivers == "" {
		return o, o.Check()
	}
	file, err := os.Open(f.waivers)
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return o, fmt.Errorf("-waivers %s: %w", f.waivers, err)
	}
	defer file.Close()
	if o.Waivers, err = gate.ReadWaivers(file, f.waivers, time.Now()); err != nil {
		return o, err
	}
	table, err := gateCells(gateRows) // a waiver may be of a row that is not driven this time
	if err != nil {
		return o, err
	}
	if err := gate.CheckWaivers(o.Waivers, append(table, o.Cells...)); err != nil {
		return o, err
	}
	return o, o.Check()
}

// clockSeed is a seed that differs from run to run, and that a reader of JSON who
// knows floating point only reads as it is.
func clockSeed() uint64 { return uint64(time.Now().UnixNano()) & (1<<53 - 1) }

// failure is the exit code of an error.
func (f *gateFlags) failure(ctx context.Context, err error) (int, error) {
	switch {
	case ctx.Err() != nil:
		return results.ExitUndecided, errors.New("interrupted")
	case errors.Is(err, gate.ErrInput):
		return results.ExitBadInput, err
	}
	return results.ExitUndecided, err
}

func (f *gateFlags) exit(v gate.Verdict) int {
	switch {
	case v == gate.Pass, v == gate.Inconclusive && f.inconclusive == "pass":
		return results.ExitGood
	case v == gate.Fail:
		return results.ExitFailed
	}
	return results.ExitUndecided
}

// again is the command that repeats the run.
func (f *gateFlags) again(flags *flag.FlagSet) string {
	line := commandLine("gate", flags)
	if !isGiven(flags, "seed") {
		line += fmt.Sprintf(" -seed=%d", f.pace.seed)
	}
	return line
}

// hostOf is the environment of a run on these CPUs.
func hostOf(ctx context.Context, place testenv.Placement) (results.Fingerprint, error) {
	host, err := results.Collect(ctx)
	host.ServerCPUs, host.GeneratorCPUs = cpu.Format(place.Server), cpu.Format(place.Generator)
	return host, err
}

// keep writes both arms' samples.
func (f *gateFlags) keep(r *gate.Report, s Streams) error {
	if f.samples == "" {
		return nil
	}
	for arm, a := range r.Arms {
		host := *r.Fingerprint
		host.Commit, host.Dirty = a.Commit, nil
		if a.Commit != "" {
			host.Dirty = &a.Dirty
		}
		w, err := results.CreateArm(f.samples, a.Name, host)
		if err != nil {
			return err
		}
		if err := r.WriteSamples(w, arm); err != nil {
			return errors.Join(err, w.Abandon(err.Error()))
		}
		if err := w.Commit(); err != nil {
			return err
		}
		fmt.Fprintf(s.Err, "samples of %s: %s\n", a.Name, w.Path())
	}
	return nil
}

// printGateRows prints the table, and what else there is to choose from.
func printGateRows(s Streams) error {
	fmt.Fprintln(s.Out, "Rows of a gate, the metrics that judge, those that inform, and whether -quick has them:")
	fmt.Fprintln(s.Out)
	for _, row := range gateRows {
		quick := ""
		if row.quick {
			quick = "quick"
		}
		fmt.Fprintln(s.Out, strings.TrimRight(fmt.Sprintf("%-48s  %-19s  %-14s  %s", row.scenario, row.gates, row.informs, quick), " "))
	}
	fmt.Fprintf(s.Out, "\nOther rows for -rows:\n\n")
	for _, c := range scenarios() {
		if !isGateRow(c.Name) {
			fmt.Fprintln(s.Out, c.Name)
		}
	}
	fmt.Fprintf(s.Out, "\nRows whose name begins with Idle have one metric, memory.\n")
	return nil
}

func isGateRow(name string) bool {
	for _, row := range gateRows {
		if row.scenario == name {
			return true
		}
	}
	return false
}
