package cli

import (
	"context"
	"errors"
	"flag"

	"netbench/results"
)

// defaultRuns is where runs are kept, from the root of the checkout.
const defaultRuns = "results/runs"

func recordCommand() Command {
	return Command{
		Name:  "record",
		Short: "keep a stream of Go benchmarks as a run",
		Long: `It reads what go test -bench prints, shows how far it is, and writes a run file:
the results as they are, the environment (netbench env), and what was skipped,
failed or doubtful. At the end it prints a table: medians where benchmarks were
repeated (-count), with the extremes below.

Run go test with -v, as it does not mention skipped benchmarks without it.

A run is complete only if every benchmark passed and the stream ended with "ok"
or "PASS". Otherwise the file is called NAME.partial, says why, and no command
takes it for a run. After an interrupt, what was measured is kept that way.

The file is Go benchmark format: benchstat FILE reads it.

Exit codes: 0 the run is complete; 1 a benchmark failed or the stream broke off;
2 there was no benchmark in the input; 3 interrupted, or everything was skipped.`,
		Examples: []Example{
			{"Measure all benchmarks six times and keep the run:",
				"go test -v -run '^$' -bench . -count 6 ./... | netbench record"},
			{"For a script: the summary as one JSON object:",
				"go test -v -run '^$' -bench Echo ./models/goroutine | netbench record -json"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			dir := flags.String("dir", defaultRuns, "`directory` of the run file")
			asJSON := flags.Bool("json", false, "print the summary as a JSON object in place of the table")
			raw := flags.Bool("raw", false, "show the stream itself in place of the progress")
			return func(ctx context.Context, _ []string, s Streams) (int, error) {
				if _, ok := terminal(s.In); ok {
					return results.ExitBadInput, errors.New("nothing is piped into it (go test -v -run '^$' -bench . | netbench record)")
				}
				width, onTerminal := terminal(s.Err)
				summary, err := results.Record(ctx, results.RecordOptions{
					Dir: *dir, In: s.In, Out: s.Out, Err: s.Err,
					Terminal: onTerminal, Width: width,
					Raw: *raw, Quiet: *asJSON,
				})
				if err == nil && *asJSON {
					err = printJSON(s.Out, summary)
				}
				return summary.Exit, err
			}
		},
	}
}
