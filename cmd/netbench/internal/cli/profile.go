package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"netbench/buffers"
	"netbench/gcprofile"
	"netbench/internal/leftover"
	"netbench/internal/profiles"
	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models"
	"netbench/results"
	"netbench/testenv"
	"netbench/zerocopy/vectored"
)

func profileCommand() Command {
	return Command{
		Name:  "profile",
		Short: "take the profiles of a server under load",
		Long: `It drives the servers of benchmarks as the benchmarks do, and has each take profiles
of its own process meanwhile: cpu, heap, allocs, mutex, block and goroutine, and an
execution trace in a time of its own. They are kept beside a run file, in a directory
of the same name that ends in .profiles, and the largest entries of each are printed.

-bench chooses as go test -bench does: a regular expression for each element of the
name. -list prints the names: those of the models, of the collector's settings, of
buffers and of vectored writes.

Profiling costs time, so the run says that it was profiled, and no command compares
it with another. cpu.pprof can be given to netbench pgo.

Exit codes: 0 profiled; 1 a server or the load failed; 2 bad input; 3 interrupted.`,
		Examples: []Example{
			{"The goroutine model with 100 connections:", "netbench profile -bench 'Echo/model=goroutine$/conns=100$/size=1024'"},
			{"A server with a live set whose collector is off up to a limit:", "netbench profile -bench GC/gogc=off/limit=1.5x"},
			{"A web server on the reactor, 10 s of load, CPU and allocations only:", "netbench profile -bench HTTP/model=reactor$ -time 10s -kinds cpu,allocs"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			var f profileFlags
			flags.StringVar(&f.bench, "bench", "", "benchmarks to profile (regular `expression`)")
			flags.DurationVar(&f.load, "time", 5*time.Second, "`time` of load while all but the trace are taken")
			flags.DurationVar(&f.trace, "trace-time", 500*time.Millisecond, "`time` of load while the trace is taken")
			flags.StringVar(&f.kinds, "kinds", profiles.List(profiles.Kinds), "`list` of profiles")
			flags.IntVar(&f.top, "top", 10, "`number` of the largest entries of each that are printed, 0 for none")
			flags.StringVar(&f.dir, "dir", defaultRuns, "`directory` of the run file, and of the profiles beside it")
			flags.BoolVar(&f.list, "list", false, "print the names of the benchmarks, and end")
			return func(ctx context.Context, _ []string, s Streams) (int, error) { return f.run(ctx, s) }
		},
	}
}

// profileFlags are the flags of profile.
type profileFlags struct {
	bench, kinds, dir string
	load, trace       time.Duration
	top               int
	list              bool
}

// subjects are the benchmarks with requests whose servers this binary has.
func subjects() []scenario.Scenario {
	all := slices.Concat(scenarios(), gcprofile.Scenarios(), buffers.Scenarios(), vectored.Scenarios())
	return slices.DeleteFunc(all, func(s scenario.Scenario) bool { return s.Plan.Mode == load.Idle })
}

// Factories are the models of the servers that commands start: those of [Models], and
// those that other rooms have for their benchmarks alone.
func Factories() map[string]models.Factory {
	all := Models()
	maps.Copy(all, buffers.Models())
	maps.Copy(all, vectored.Models())
	return all
}

// check returns what is to be profiled, and how.
func (f *profileFlags) check() (chosen []scenario.Scenario, p scenario.Profiling, err error) {
	switch {
	case f.bench == "":
		return nil, p, errors.New("no -bench is given (netbench profile -list prints names)")
	case f.load < 100*time.Millisecond || f.load > time.Hour:
		return nil, p, fmt.Errorf("-time is %v (want 100ms to 1h)", f.load)
	case f.trace < 10*time.Millisecond || f.trace > time.Minute:
		return nil, p, fmt.Errorf("-trace-time is %v (want 10ms to 1m: a trace grows by megabytes a second)", f.trace)
	case f.top < 0:
		return nil, p, fmt.Errorf("-top is %d (want 0 or more)", f.top)
	}
	p.For, p.Trace = f.load, f.trace
	for name := range strings.SplitSeq(f.kinds, ",") {
		k := profiles.Kind(name)
		if !slices.Contains(profiles.Kinds, k) {
			return nil, p, fmt.Errorf("-kinds: %q is unknown (use %s)", name, profiles.List(profiles.Kinds))
		}
		if slices.Contains(p.Kinds, k) {
			return nil, p, fmt.Errorf("-kinds: %s is given twice", k)
		}
		p.Kinds = append(p.Kinds, k)
	}
	if f.top > 0 {
		if err := profiles.Tools(); err != nil {
			return nil, p, fmt.Errorf("%w (or give -top 0)", err)
		}
	}
	chosen, err = benchmarksNamed(f.bench)
	return chosen, p, err
}

// benchmarksNamed are the scenarios with requests that an expression chooses, as go
// test -bench would.
func benchmarksNamed(expression string) ([]scenario.Scenario, error) {
	var elements []*regexp.Regexp
	for e := range strings.SplitSeq(expression, "/") {
		re, err := regexp.Compile(e)
		if err != nil {
			return nil, fmt.Errorf("-bench: %w", err)
		}
		elements = append(elements, re)
	}
	var chosen []scenario.Scenario
	for _, s := range subjects() {
		names := strings.Split("Benchmark"+s.Name, "/")
		matches := len(names) >= len(elements)
		for i, re := range elements {
			matches = matches && re.MatchString(names[i])
		}
		if matches {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-bench %s matches no benchmark with requests (netbench profile -list prints names)", expression)
	}
	return chosen, nil
}

func (f *profileFlags) run(ctx context.Context, s Streams) (int, error) {
	if f.list {
		for _, sc := range subjects() {
			fmt.Fprintf(s.Out, "Benchmark%s\n", sc.Name)
		}
		return results.ExitGood, nil
	}
	chosen, p, err := f.check()
	if err != nil {
		return results.ExitBadInput, err
	}
	unmade, err := makeDirectory(f.dir)
	if err != nil {
		return results.ExitBadInput, fmt.Errorf("-dir %s: %w", f.dir, err)
	}
	defer unmade()
	defer leftover.Owe()() // an interrupt waits until servers have ended
	place, err := testenv.Place()
	if err != nil {
		return results.ExitBadInput, err
	}
	host, err := hostOf(ctx, place)
	if err != nil {
		return interruptedOr(ctx, results.ExitFailed, err)
	}
	if err := testenv.PinSelf(place.Generator); err != nil {
		return results.ExitFailed, err
	}
	w, err := results.Create(f.dir, host)
	if err != nil {
		return results.ExitBadInput, fmt.Errorf("-dir: %w", err)
	}
	// Both have names of the run from here on; a run that fails keeps what there is.
	dir := strings.TrimSuffix(strings.TrimSuffix(w.Path(), ".partial"), ".txt") + ".profiles"
	err = w.Fact(results.ProfiledFact(profiles.List(p.Kinds)))
	for _, sc := range chosen {
		if err == nil {
			err = f.profile(ctx, s, w, sc, p, filepath.Join(dir, fileName(sc.Name)))
		}
	}
	if err != nil {
		exit, err := interruptedOr(ctx, results.ExitFailed, err)
		return exit, errors.Join(err, w.Abandon(err.Error()))
	}
	if err := w.Commit(); err != nil {
		return results.ExitFailed, err
	}
	fmt.Fprintf(s.Out, "run: %s (profiled: not comparable)\nprofiles: %s\n", w.Path(), dir)
	return results.ExitGood, nil
}

// interruptedOr is the exit code of an error, which is another one if the user ended it.
func interruptedOr(ctx context.Context, exit int, err error) (int, error) {
	if ctx.Err() != nil {
		return results.ExitUndecided, errors.New("interrupted")
	}
	return exit, err
}

// profile takes the profiles of one benchmark's server and shows them.
func (f *profileFlags) profile(ctx context.Context, s Streams, w *results.Writer, sc scenario.Scenario, p scenario.Profiling, dir string) error {
	name := "Benchmark" + sc.Name
	if why := sc.Missing(); why != "" {
		return w.Note(results.Note{Kind: results.Skip, Benchmark: name, Text: why})
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	p.Dir = dir
	fmt.Fprintf(s.Err, "profiling %s\n", name)
	res, err := sc.Profile(ctx, p)
	if err != nil {
		return err
	}
	if res != nil {
		line := fmt.Sprintf("%s-%d %d %.1f req/s", name, runtime.GOMAXPROCS(0), res.Answered, res.Rate)
		if res.ServerPerOp != nil {
			line += fmt.Sprintf(" %.1f server-cpu-ns/op", *res.ServerPerOp)
		}
		if err := w.Result(line); err != nil {
			return err
		}
	}
	for _, k := range p.Kinds {
		fmt.Fprintf(s.Out, "\n%s: %s\n", name, filepath.Join(dir, k.FileName()))
		if f.top == 0 {
			continue
		}
		table, err := profiles.Top(ctx, dir, k, f.top)
		if err != nil {
			return err
		}
		fmt.Fprintln(s.Out, table)
	}
	fmt.Fprintln(s.Out)
	return nil
}

// fileName is a benchmark's name as that of a directory.
func fileName(benchmark string) string { return strings.ReplaceAll(benchmark, "/", "_") }
