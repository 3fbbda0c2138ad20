package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"netbench/results"
)

func helpCommand() Command {
	return Command{
		Name:  "help",
		Args:  "[COMMAND]",
		Short: "explain netbench, or one of its commands",
		Long: `Without an argument it lists the commands. With the name of a command it
explains that command, its flags and how to use it.`,
		Examples: []Example{{"What record does, and its flags:", "netbench help record"}},
		Setup: func(*flag.FlagSet) Action {
			return func(_ context.Context, args []string, s Streams) (int, error) {
				if len(args) == 0 {
					overview(s.Out)
					return results.ExitGood, nil
				}
				c, ok := find(strings.Join(args, " "))
				if !ok {
					return results.ExitBadInput, fmt.Errorf("unknown command %q (see: netbench help)", strings.Join(args, " "))
				}
				c.help(s.Out)
				return results.ExitGood, nil
			}
		},
	}
}

// overview lists the commands.
func overview(w io.Writer) {
	fmt.Fprint(w, `netbench is a laboratory for Go network servers.

Usage:

  netbench COMMAND [FLAGS] [ARGUMENTS]

Commands:

`)
	width := 0
	for _, c := range commands() {
		width = max(width, len(c.Name))
	}
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-*s  %s\n", width, c.Name, c.Short)
	}
	fmt.Fprint(w, `
More about a command, with examples:  netbench help COMMAND

Exit codes: 0 good; 1 something is worse, or failed; 2 bad input; 3 interrupted,
undecided, or not fit to judge.
`)
}

// help explains the command.
func (c Command) help(w io.Writer) {
	flags, _ := c.flags()
	any := false
	flags.VisitAll(func(*flag.Flag) { any = true })
	usage := "netbench " + c.Name
	if any {
		usage += " [FLAGS]"
	}
	if c.Args != "" {
		usage += " " + c.Args
	}
	fmt.Fprintf(w, "netbench %s: %s\n\nUsage:\n\n  %s\n\n%s\n", c.Name, c.Short, usage, strings.TrimSpace(c.Long))
	if any {
		fmt.Fprint(w, "\nFlags:\n\n")
		flags.VisitAll(func(f *flag.Flag) {
			name, text := flag.UnquoteUsage(f)
			head := "-" + f.Name
			if name != "" {
				head += " " + name
			}
			switch f.DefValue {
			case "", "false", "0", "0s": // as if it were not given
			default:
				text += " (default " + f.DefValue + ")"
			}
			fmt.Fprintf(w, "  %s\n", head)
			for _, line := range wrap(text, 70) {
				fmt.Fprintf(w, "        %s\n", line)
			}
		})
	}
	if len(c.Examples) > 0 {
		fmt.Fprint(w, "\nExamples:\n")
		for _, e := range c.Examples {
			fmt.Fprintf(w, "\n  %s\n    %s\n", e.What, e.Line)
		}
	}
}

// wrap breaks text into lines of at most width characters, if its words allow.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
