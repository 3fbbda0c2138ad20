package cli

import (
	"context"
	"flag"
	"fmt"

	"netbench/results"
)

func envCommand() Command {
	return Command{
		Name:  "env",
		Short: "print the environment that becomes part of every run",
		Long: `It prints what a run file says about the host and the process: versions, CPUs
and CPU sets, the settings of the collector and the kernel, limits, the commit.
The name of the host is not part of it. What the host does not tell is left out.`,
		Examples: []Example{
			{"One line for each fact:", "netbench env"},
			{"For a script:", "netbench env -json"},
		},
		Setup: func(flags *flag.FlagSet) Action {
			asJSON := flags.Bool("json", false, "print a JSON object")
			return func(ctx context.Context, _ []string, s Streams) (int, error) {
				f, err := results.Collect(ctx)
				if err != nil {
					return results.ExitGood, err
				}
				if *asJSON {
					return results.ExitGood, printJSON(s.Out, f)
				}
				for _, kv := range f.Lines() {
					fmt.Fprintf(s.Out, "%s: %s\n", kv.Key, kv.Value)
				}
				return results.ExitGood, nil
			}
		},
	}
}
