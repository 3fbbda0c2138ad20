package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"netbench/pools/sizing"
	"netbench/results"
	"netbench/testenv"
)

func poolCommand() Command { return poolCommandOf(poolKinds()) }

// poolCommandOf is the command with kinds of its own.
func poolCommandOf(kinds map[string]poolOpener) Command {
	return Command{
		Name:  "pool",
		Short: "find how large a connection pool has to be",
		Long: `Pools of several sizes are driven in a closed loop by some numbers of callers, one
pool at a time: each round tries every size once, in an order that is shuffled anew.
A slice begins with a fresh pool whose connections are open and were used. Throughput
has a 95 % interval over the rounds; percentiles are those of all rounds together.

The knee is the smallest size whose throughput is within 3 % of the best one's and
whose p99 is not worse than that of larger sizes, both compared in pairs by round.
Where the intervals are too wide to tell, the answer is "undecided", and more rounds
or longer slices are needed. Beside it stands what cores x 2 + disks gives.

The server is started, on CPUs of its own where there are two or more: for http one
of this program, for postgres and redis the first of NETBENCH_POSTGRES_DSN or
NETBENCH_REDIS_ADDR, a local binary and a container that is there; where there is no
Redis a stand-in takes its place, and the output says so. -addr names a server that
runs: a URL for http, a DSN for postgres, host:port or a URL for redis.

-json prints one object: kind, service, stand_in, sizes, concurrency, rounds,
slice_ns, seed, interrupted; curves, one for each concurrency, with points (size,
ops_per_sec with mean, lo, hi, p50_ns, p99_ns, p999_ns, wait_ns_per_op, waits_per_op,
calls, failed, connections, judgement) and knee (answer, size, text); knee over all;
rule (cores, disks, size, text); notes. What is not known is left out.

Exit codes: 0 a size is recommended; 2 bad input, a server that cannot be had, a size
above what it permits; 3 interrupted, undecided, throughput still rises at the
largest size, no size fits, or a stand-in was measured.`,
		Examples: []Example{
			{"How many connections PostgreSQL needs here:", "netbench pool -kind postgres"},
			{"A quick look:", "netbench pool -kind redis -sizes 1,5,20 -concurrency 50 -rounds 4 -slice 100ms"},
			{"A server that runs already, as JSON:", "netbench pool -kind http -addr http://127.0.0.1:8080/ -json"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			f := declarePoolFlags(flags, kinds)
			return func(ctx context.Context, _ []string, s Streams) (int, error) {
				return f.run(ctx, flags, s)
			}
		},
	}
}

// poolFlags are the flags of pool.
type poolFlags struct {
	kinds map[string]poolOpener

	plan        sizing.Plan
	kind        string
	sizes       string
	concurrency string
	addr        string
	allowRemote bool
	page        string
	asJSON      bool
}

func declarePoolFlags(fs *flag.FlagSet, kinds map[string]poolOpener) *poolFlags {
	f := &poolFlags{kinds: kinds}
	fs.StringVar(&f.kind, "kind", "", "`kind` of pool: "+poolKindNames(kinds))
	fs.StringVar(&f.sizes, "sizes", "1,2,5,10,25,50", "`list` of sizes, connections")
	fs.StringVar(&f.concurrency, "concurrency", "10,100", "`list` of numbers of callers")
	fs.IntVar(&f.plan.Rounds, "rounds", sizing.DefaultRounds, "rounds at each concurrency (`number`)")
	fs.DurationVar(&f.plan.Slice, "slice", sizing.DefaultSlice, "`length` of a slice: one size in one round")
	fs.DurationVar(&f.plan.Warm, "warm", sizing.DefaultWarm, "`length` for which a pool is driven before its slice")
	fs.DurationVar(&f.plan.Timeout, "timeout", sizing.DefaultTimeout, "`limit` of one call")
	fs.Uint64Var(&f.plan.Seed, "seed", 1, "`number` that the order of sizes is made from")
	fs.IntVar(&f.plan.Rule.Cores, "cores", 0, "cores of the server's machine, for the rule (`number`); those that the server may use, where it is on this host, unless given")
	fs.IntVar(&f.plan.Rule.Disks, "disks", 1, "disks that the server really reads from, for the rule (`number`)")
	fs.StringVar(&f.addr, "addr", "", "`address` of a server that runs; may hold a password, which is not shown")
	fs.BoolVar(&f.allowRemote, "allow-remote", false, "permit a server that is not on this host")
	fs.StringVar(&f.page, "markdown", "", "write the results as a page to `FILE`, too, if all was measured")
	fs.BoolVar(&f.asJSON, "json", false, "print one JSON object")
	return f
}

// check looks at what was given, before anything is started.
func (f *poolFlags) check(fs *flag.FlagSet) error {
	if f.kind == "" {
		return fmt.Errorf("no -kind is given (use %s)", poolKindNames(f.kinds))
	}
	if f.kinds[f.kind] == nil {
		return fmt.Errorf("-kind %q is unknown (use %s)", f.kind, poolKindNames(f.kinds))
	}
	var err error
	if f.plan.Sizes, err = parseNumbers("sizes", f.sizes); err != nil {
		return err
	}
	if f.plan.Concurrency, err = parseNumbers("concurrency", f.concurrency); err != nil {
		return err
	}
	for _, name := range []string{"rounds", "slice", "warm", "timeout", "cores"} { // 0 would mean a default
		if value := fs.Lookup(name).Value.String(); isGiven(fs, name) && (value == "0" || value == "0s") {
			return fmt.Errorf("-%s is %s (want more than 0)", name, value)
		}
	}
	return f.plan.Check()
}

// parseNumbers reads a flag's list of numbers.
func parseNumbers(name, list string) ([]int, error) {
	var numbers []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("-%s: %q is not a number (want a list as in 1,2,5)", name, field)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

func (f *poolFlags) run(ctx context.Context, fs *flag.FlagSet, s Streams) (exit int, err error) {
	if err := f.check(fs); err != nil {
		return results.ExitBadInput, err
	}
	page, err := createWhole(f.page)
	if err != nil {
		return results.ExitBadInput, fmt.Errorf("-markdown: %w", err)
	}
	defer page.discard()
	place, err := testenv.Place()
	if err != nil {
		return results.ExitBadInput, err
	}
	subject, err := f.kinds[f.kind](ctx, poolOptions{
		addr: f.addr, allowRemote: f.allowRemote, cpus: place.Server,
	})
	if err != nil {
		return results.ExitGood, err // 3 if it was interrupted, else 2
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if e := subject.close(end); e != nil && err == nil {
			exit, err = results.ExitUndecided, fmt.Errorf("end the server: %w", e)
		}
	}()
	fmt.Fprintln(s.Err, subject.service)
	if err := f.arrange(subject, place, s.Err); err != nil {
		return results.ExitBadInput, err
	}
	f.plan.Kind = subject.kind
	f.plan.Progress = func(step sizing.Step) {
		fmt.Fprintf(s.Err, "%d callers: round %d of %d: %.1f s\n", step.Concurrency, step.Round, step.Rounds, step.Took.Seconds())
	}
	report, failure := sizing.Sweep(ctx, f.plan)
	if report != nil {
		report.Service, report.StandIn = subject.service, subject.standIn
		if err := f.print(report, s.Out); err != nil {
			return results.ExitBadInput, err
		}
	}
	switch {
	case errors.Is(failure, sizing.ErrInput):
		return results.ExitBadInput, failure
	case ctx.Err() != nil:
		return results.ExitUndecided, errors.New("interrupted")
	case failure != nil:
		return results.ExitUndecided, failure
	}
	if err := page.commit(f.markdown(ctx, fs, report)); err != nil {
		return results.ExitBadInput, fmt.Errorf("-markdown: %w", err)
	}
	if report.Knee.Answer != sizing.Found || report.StandIn { // a stand-in's knee is nobody's
		return results.ExitUndecided, nil
	}
	return results.ExitGood, nil
}

// arrange pins this process apart from a server that is pinned, and finds the
// cores of the server's machine.
func (f *poolFlags) arrange(subject *poolSubject, place testenv.Placement, log io.Writer) error {
	cores := 0
	if !subject.given && !subject.standIn {
		if err := testenv.PinSelf(place.Generator); err != nil {
			return err
		}
		fmt.Fprintln(log, place.Reason)
		cores = len(place.Server)
	}
	if cores == 0 && (subject.standIn || isThisHost(subject.addr)) {
		cores = runtime.NumCPU() // nothing is pinned, as far as is known
	}
	if f.plan.Rule.Cores == 0 {
		f.plan.Rule.Cores = cores
	}
	return nil
}

func (f *poolFlags) print(r *sizing.Report, w io.Writer) error {
	if f.asJSON {
		return printJSON(w, r)
	}
	return r.Print(w)
}

// markdown writes the page. The command on it does not show the address.
func (f *poolFlags) markdown(ctx context.Context, fs *flag.FlagSet, r *sizing.Report) func(io.Writer) error {
	return func(w io.Writer) error {
		host, err := results.Collect(ctx)
		if err != nil {
			return err
		}
		if isGiven(fs, "addr") {
			if err := fs.Set("addr", "ADDRESS"); err != nil {
				return err
			}
		}
		fmt.Fprintf(w, "# How large a %s pool has to be\n\n    %s\n\nwrote this on %s with %s for\n%s/%s on %s, %d CPUs (%s).\n\n", r.Kind, commandLine("pool", fs),
			host.Start.Format(time.DateOnly), host.GoVersion, host.GOOS, host.GOARCH, host.Kernel, host.CPUs, host.CPUModel)
		return r.Markdown(w)
	}
}
