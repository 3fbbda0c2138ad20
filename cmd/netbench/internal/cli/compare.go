package cli

import (
	"context"
	"flag"
	"fmt"

	"netbench/results"
)

func compareCommand() Command {
	return Command{
		Name:  "compare",
		Args:  "[OLD NEW]",
		Short: "set two runs side by side with benchstat",
		Long: `OLD and NEW are run files that netbench record wrote; without them, it takes the
last two complete runs. Around benchstat's table it prints what differs between
the environments of the two runs, and how much each benchmark scattered within
one run: a difference that is not clearly larger may be noise.

It shows and does not judge, as the host changes between two runs. It uses the
benchstat that the module in the working directory pins, or one in PATH.

Exit codes: 0 compared; 2 a file is missing, foreign, partial or of a profiled run,
or a service was a stand-in in one run and real in the other; 3 interrupted.`,
		Examples: []Example{
			{"The last two runs:", "netbench compare"},
			{"Two given runs:", "netbench compare results/baseline/a.txt results/runs/b.txt"},
			{"For a spreadsheet:", "netbench compare -format csv > table.csv"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			dir := flags.String("dir", defaultRuns, "`directory` where the last two runs are looked for")
			format := flags.String("format", "text", "`format` of the table: text or csv")
			return func(ctx context.Context, args []string, s Streams) (int, error) {
				o := results.CompareOptions{Dir: *dir, Format: *format, Verdict: verdictHint(), Out: s.Out, Err: s.Err}
				switch {
				case *format != "text" && *format != "csv":
					return results.ExitBadInput, fmt.Errorf("-format is %q (want text or csv)", *format)
				case len(args) == 2:
					o.Old, o.New = args[0], args[1]
				case len(args) != 0:
					return results.ExitBadInput, fmt.Errorf("%d arguments (give two run files, or none for the last two; flags go first)", len(args))
				}
				return results.ExitGood, results.Compare(ctx, o)
			}
		},
	}
}

// verdictHint says where a verdict is to be had, which depends on the commands
// that this binary has.
func verdictHint() string {
	if _, ok := find("gate"); ok {
		return "For a verdict, in rounds where both versions take turns: netbench gate"
	}
	return "A verdict takes rounds in which both versions take turns."
}
