package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"netbench/internal/cc"
	"netbench/load/calibrate"
	"netbench/models"
	"netbench/results"
	"netbench/testenv"
)

func calibrateCommand() Command {
	return Command{
		Name:  "calibrate",
		Short: "measure what the load generator itself costs",
		Long: `A generator that needs much CPU caps the rates that it can measure, and changes how
the server works. So its CPU time per echo request is held against that of a
closed-loop client in C, which is compiled when it is needed (with cc), on 100
connections with 64 bytes and 1000 connections with 1 KiB. Both drive the same
server in turn, in short slices. Where wrk is installed, the two are also
compared on HTTP: requests per CPU-second.

It prints the ratios with their 95 % confidence intervals, the generator's ceiling
in requests per CPU-second, the highest closed-loop rate that it reached and what
limited it, and the verdicts: CPU per request at most 1.15 times the C client's,
requests per CPU-second at least wrk's.

Exit codes: 0 all met; 1 one is missed; 2 bad input; 3 one could not be decided,
the run was not fit (a connection lost, CPU time stolen, interrupted), or there is
no C compiler.`,
		Examples: []Example{
			{"All of it, about two minutes:", "netbench calibrate"},
			{"A quick look:", "netbench calibrate -rounds 3 -round 1s -wrk=false"},
			{"For a script:", "netbench calibrate -rounds 30 -json > calibration.json"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			var o calibrate.Options
			model := flags.String("model", "goroutine", "`model` of the server: "+modelNames())
			flags.IntVar(&o.Rounds, "rounds", 8, "rounds of each workload (`number`)")
			flags.DurationVar(&o.Round, "round", 4*time.Second, "`length` of a round")
			flags.DurationVar(&o.Slice, "slice", 100*time.Millisecond, "`length` of a slice")
			flags.DurationVar(&o.Block, "block", 2*time.Second, "`length` of a block beside wrk, whole seconds")
			wrk := flags.Bool("wrk", true, "compare with wrk, if it is installed")
			asJSON := flags.Bool("json", false, "print the report as one JSON object")
			page := flags.String("markdown", "", "write the report as a page to `FILE` too, if the run was fit")
			return func(ctx context.Context, _ []string, s Streams) (int, error) {
				if _, ok := Models()[*model]; !ok {
					return results.ExitBadInput, fmt.Errorf("model %q is unknown (use %s)", *model, modelNames())
				}
				if o.Rounds == 0 || o.Round == 0 || o.Slice == 0 || o.Block == 0 {
					return results.ExitBadInput, errors.New("-rounds, -round, -slice and -block have to be above zero")
				}
				file, err := createWhole(*page)
				if err != nil {
					return results.ExitBadInput, fmt.Errorf("-markdown: %w", err)
				}
				defer file.discard()
				place, err := testenv.Place()
				if err == nil {
					err = testenv.PinSelf(place.Generator)
				}
				if err != nil {
					return results.ExitUndecided, err
				}
				fmt.Fprintln(s.Err, place.Reason)
				o.CPUs, o.ServerCPUs, o.WithoutWrk = place.Generator, place.Server, !*wrk
				o.Progress = func(line string) { fmt.Fprintln(s.Err, line) }
				o.Start = func(ctx context.Context, service string) (calibrate.Server, error) {
					server, err := testenv.StartServer(ctx, testenv.ServerSpec{
						Model: *model, Service: service, CPUs: place.Server,
						Config: models.Config{IdleTimeout: models.NoLimit}, // one client rests while the other drives
					})
					if err != nil {
						return nil, err // not a nil *testenv.Server in the interface
					}
					return server, nil
				}
				return runCalibration(ctx, o, *asJSON, file, s)
			}
		},
	}
}

// runCalibration calibrates and prints, also what there is after an interrupt.
func runCalibration(ctx context.Context, o calibrate.Options, asJSON bool, page *wholeFile, s Streams) (int, error) {
	r, err := calibrate.Calibrate(ctx, o)
	if r != nil {
		show := func() error { return r.Print(s.Out) }
		if asJSON {
			show = func() error { return printJSON(s.Out, r) }
		}
		if e := show(); e != nil {
			return results.ExitBadInput, e
		}
	}
	if err == nil && r.Verdict() != calibrate.Unfit {
		if e := page.commit(r.Markdown); e != nil {
			return results.ExitBadInput, fmt.Errorf("-markdown: %w", e)
		}
	}
	switch {
	case err == nil:
		return calibrationExit[r.Verdict()], nil
	case errors.Is(err, calibrate.ErrOptions):
		return results.ExitBadInput, err
	case errors.Is(err, cc.ErrNoCompiler), errors.Is(err, errors.ErrUnsupported):
		return results.ExitUndecided, err
	case ctx.Err() != nil:
		return results.ExitUndecided, errors.New("interrupted")
	}
	return results.ExitUndecided, err
}

// calibrationExit turns a verdict into an exit code.
var calibrationExit = map[calibrate.Verdict]int{
	calibrate.Met:       results.ExitGood,
	calibrate.Missed:    results.ExitFailed,
	calibrate.Undecided: results.ExitUndecided,
	calibrate.Unfit:     results.ExitUndecided,
}
