// Package cli is the command line of netbench: it parses flags, calls the
// packages that do the work, prints what they return, and turns it into an exit
// code. It decides nothing itself.
//
// A command is a value in the table of [commands]. Its Setup declares its flags
// and returns what runs; so the flags are written down once, for parsing and for
// help. Everything a command touches comes in as an argument, so whole commands
// are tested in the test's own process.
//
// Exit codes: 0 good; 1 the answer is "worse" or "failed"; 2 the question is bad;
// 3 the answer could not be decided, or what was measured is not fit to judge.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"netbench/results"
)

// Streams is where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Action runs a command with the arguments that follow its flags. It returns the
// exit code. An error is printed as one line after the command's name; with one,
// a code of 0 becomes 2, or 3 if ctx ended.
type Action func(ctx context.Context, args []string, s Streams) (exit int, err error)

// Command is one of netbench's commands.
type Command struct {
	Name     string
	Args     string // what follows the flags, as in "[OLD NEW]", "" for nothing
	Short    string // one line: what it does
	Long     string // what a stranger has to know, in paragraphs
	Examples []Example
	Setup    func(*flag.FlagSet) Action
}

// Example is a command line and what it is good for.
type Example struct{ What, Line string }

// Run runs the command that args name and returns the exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s := Streams{In: stdin, Out: stdout, Err: stderr}
	if len(args) == 0 {
		fmt.Fprintln(stderr, "netbench: no command (see: netbench help)")
		return results.ExitBadInput
	}
	name, args := args[0], args[1:]
	switch name {
	case "-h", "-help", "--help":
		name = "help"
	case "-version", "--version":
		name = "version"
	}
	c, ok := find(name)
	// A command may be a part of another: "gate selftest".
	if len(args) > 0 {
		if part, is := find(name + " " + args[0]); is {
			c, args = part, args[1:]
		}
	}
	if !ok {
		hint := "see: netbench help"
		if near := nearest(name); near != "" {
			hint = "did you mean " + near + "? " + hint
		}
		fmt.Fprintf(stderr, "netbench: unknown command %q (%s)\n", name, hint)
		return results.ExitBadInput
	}
	return c.run(ctx, args, s)
}

func (c Command) run(ctx context.Context, args []string, s Streams) int {
	flags, action := c.flags()
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		c.help(s.Out)
		return results.ExitGood
	} else if err != nil {
		fmt.Fprintf(s.Err, "netbench %s: %v (see: netbench help %s)\n", c.Name, err, c.Name)
		return results.ExitBadInput
	}
	if c.Args == "" && flags.NArg() > 0 {
		fmt.Fprintf(s.Err, "netbench %s: unexpected argument %q (see: netbench help %s)\n", c.Name, flags.Arg(0), c.Name)
		return results.ExitBadInput
	}
	exit, err := action(ctx, flags.Args(), s)
	if err == nil {
		return exit
	}
	fmt.Fprintf(s.Err, "netbench %s: %v\n", c.Name, err)
	switch {
	case exit != results.ExitGood:
		return exit
	case ctx.Err() != nil:
		return results.ExitUndecided
	}
	return results.ExitBadInput
}

// commandLine is the command with the flags that were given, for a shell.
func commandLine(name string, flags *flag.FlagSet) string {
	line := "netbench " + name
	flags.Visit(func(f *flag.Flag) { line += fmt.Sprintf(" -%s=%s", f.Name, quoted(f.Value.String())) })
	return line
}

// quoted is a value as a shell takes it.
func quoted(value string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:,=+@%", r)
	}
	if value != "" && strings.IndexFunc(value, func(r rune) bool { return !plain(r) }) < 0 {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// isGiven tells whether a flag was given.
func isGiven(flags *flag.FlagSet, name string) (given bool) {
	flags.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

// flags declares the command's flags anew.
func (c Command) flags() (*flag.FlagSet, Action) {
	flags := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	return flags, c.Setup(flags)
}

func find(name string) (Command, bool) {
	for _, c := range commands() {
		if c.Name == name {
			return c, true
		}
	}
	return Command{}, false
}

// nearest returns the command that name was probably meant to be, "" if none is
// near.
func nearest(name string) string {
	best, distance := "", 3
	for _, c := range commands() {
		if d := editDistance(name, c.Name); d < distance {
			best, distance = c.Name, d
		}
	}
	return best
}

// editDistance is Levenshtein's: how many letters have to be inserted, deleted
// or replaced to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
