package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"netbench/models"
	"netbench/models/memory"
	"netbench/models/race"
	"netbench/results"
	"netbench/testenv"
)

func memoryCommand() Command {
	return Command{
		Name:  "memory",
		Short: "measure what an idle connection costs in memory",
		Long: `Each model is started in a process of its own. Connections are made to it, some
thousands more at each step, and used; then it collects its garbage, returns free
memory to the system, and is measured. What a connection costs is the slope of the
line through the steps, so what the server costs without connections is not in it.
All is repeated with fresh processes, which gives the 95 % interval.

User memory is the anonymous memory of the server's processes as the kernel counts
it; heap, stacks and runtime are the Go runtime's own account of it. Kernel memory
is counted for the whole host, with both ends of each connection: half of it is an
estimate of the server's end, and whatever else happens on the host disturbs it.

Needs Linux, and as many descriptors as connections.

Exit codes: 0 measured; 2 bad input, or too few descriptors; 3 interrupted, or a
server failed or lost connections.`,
		Examples: []Example{
			{"What a goroutine with its buffer costs, and without:",
				"netbench memory -models goroutine,goroutine-lean"},
			{"A quick look:", "netbench memory -models goroutine -conns 500,1000,2000 -repeat 2"},
			{"Keep the run beside the others, and print JSON:", "netbench memory -models goroutine -dir results/runs -json"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			list := flags.String("models", "goroutine", "`list` of models and groups: "+entrantNames(entrants())+"; "+groupNames())
			conns := flags.String("conns", "5000,10000,15000", "`list` of ascending numbers of connections")
			repeat := flags.Int("repeat", memory.DefaultRepetitions, "fresh server processes for each model (`number`)")
			service := flags.String("service", "echo", "`service`: "+strings.Join(models.ServiceNames(), ", "))
			dir := flags.String("dir", "", "keep a run file in this `directory`, too")
			page := flags.String("markdown", "", "write the table as a page to `FILE`, too, if all was measured")
			asJSON := flags.Bool("json", false, "print one JSON object")
			return func(ctx context.Context, _ []string, s Streams) (int, error) {
				var err error
				o := memory.Options{Repetitions: *repeat, Progress: func(line string) { fmt.Fprintln(s.Err, line) }}
				if o.Conns, err = parseCounts(*conns); err != nil {
					return results.ExitBadInput, err
				}
				if *repeat == 0 {
					return results.ExitBadInput, errors.New("-repeat is 0 (want at least 1)")
				}
				subjects, err := memorySubjects(ctx, *list, *service, s.Err)
				if err != nil {
					return results.ExitBadInput, err
				}
				file, err := createWhole(*page)
				if err != nil {
					return results.ExitBadInput, fmt.Errorf("-markdown: %w", err)
				}
				defer file.discard()
				all, exit, err := runMemory(ctx, subjects, o, *dir, *asJSON, s)
				if err != nil || exit != results.ExitGood {
					return exit, err
				}
				return exit, file.commit(memoryPage(ctx, commandLine("memory", flags), all))
			}
		},
	}
}

// memorySubjects are the servers that a list of models names, programs of their
// own among them, which it builds. One of a group that this host lacks, or that
// does not run the service, is left out, with the reason.
func memorySubjects(ctx context.Context, list, service string, log io.Writer) ([]memory.Subject, error) {
	if _, err := models.ParseService(service); err != nil {
		return nil, err
	}
	chosen, named, err := chooseEntrants(list)
	if err != nil {
		return nil, err
	}
	var subjects []memory.Subject
	for _, e := range chosen {
		subject, err := memorySubject(ctx, e, service)
		if err == nil {
			subjects = append(subjects, subject)
			continue
		}
		if named || ctx.Err() != nil {
			return nil, err
		}
		fmt.Fprintf(log, "without %s: %v\n", e.Name, err)
	}
	if len(subjects) == 0 {
		return nil, fmt.Errorf("none of the models %s can be had here", list)
	}
	return subjects, nil
}

func memorySubject(ctx context.Context, e race.Entrant, service string) (memory.Subject, error) {
	subject := memory.Subject{Name: e.Name, Server: testenv.ServerSpec{Model: e.Name, Service: service}}
	if e.Missing != "" {
		return subject, fmt.Errorf("%s: %s", e.Name, e.Missing)
	}
	if !e.Serves(service) {
		return subject, fmt.Errorf("%s does not serve %s (it serves %s)", e.Name, service, strings.Join(e.Services, ", "))
	}
	if e.Prepare == nil {
		return subject, nil
	}
	var err error
	subject.Server.Program, err = e.Prepare(ctx)
	return subject, err
}

// parseCounts reads a list of numbers of connections.
func parseCounts(list string) ([]int, error) {
	var counts []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("-conns: %q is not a number (want a list as in 5000,10000,15000)", field)
		}
		counts = append(counts, n)
	}
	return counts, nil
}

// memoryPage writes the table of what command has measured.
func memoryPage(ctx context.Context, command string, all []*memory.Result) func(io.Writer) error {
	return func(w io.Writer) error {
		host, err := results.Collect(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "# What an idle connection costs in memory\n\n    %s\n\nwrote this on %s with %s for\n%s/%s on %s, %d CPUs (%s).\n\n```\n", command,
			host.Start.Format(time.DateOnly), host.GoVersion, host.GOOS, host.GOARCH, host.Kernel, host.CPUs, host.CPUModel)
		if err := memory.Print(w, all); err != nil {
			return err
		}
		_, err = io.WriteString(w, "```\n")
		return err
	}
}

// runMemory measures one subject after the other, keeps and prints what there is.
func runMemory(ctx context.Context, subjects []memory.Subject, o memory.Options, dir string, asJSON bool, s Streams) (all []*memory.Result, exit int, err error) {
	place, err := testenv.Place()
	if err == nil {
		err = testenv.PinSelf(place.Generator)
	}
	if err != nil {
		return all, results.ExitUndecided, err
	}
	run, err := createRun(ctx, dir)
	if err != nil {
		return all, results.ExitBadInput, err
	}
	var failure error
	for _, subject := range subjects {
		r, err := memory.Measure(ctx, subject, o)
		if err != nil {
			failure = err
			break
		}
		all = append(all, r)
	}
	path, err := keepMemory(run, all, failure)
	if err != nil {
		return all, results.ExitBadInput, err
	}
	switch {
	case len(all) == 0:
	case asJSON:
		err = printJSON(s.Out, struct {
			Results []*memory.Result `json:"results"`
		}{all})
	default:
		err = memory.Print(s.Out, all)
	}
	switch {
	case err != nil:
		return all, results.ExitBadInput, err
	case errors.Is(failure, memory.ErrInput), errors.Is(failure, errors.ErrUnsupported):
		return all, results.ExitBadInput, failure
	case ctx.Err() != nil:
		return all, results.ExitUndecided, errors.New("interrupted")
	case failure != nil:
		return all, results.ExitUndecided, failure
	}
	if path != "" {
		fmt.Fprintln(s.Err, "kept as "+path)
	}
	return all, results.ExitGood, nil
}

// createRun begins a run file in a directory; without one it returns nil.
func createRun(ctx context.Context, dir string) (*results.Writer, error) {
	if dir == "" {
		return nil, nil
	}
	f, err := results.Collect(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	return results.Create(dir, f)
}

// keepMemory ends a run file, which may be nil, and returns where it is. One with
// nothing in it is not kept; one that lacks a model is not whole.
func keepMemory(run *results.Writer, all []*memory.Result, failure error) (string, error) {
	if run == nil {
		return "", nil
	}
	if len(all) == 0 {
		return "", run.Discard()
	}
	for _, r := range all {
		if err := r.Write(run); err != nil {
			return "", errors.Join(err, run.Abandon("a result could not be written"))
		}
	}
	if failure != nil {
		return run.Path(), run.Abandon(failure.Error())
	}
	err := run.Commit()
	return run.Path(), err
}
