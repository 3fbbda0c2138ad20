package results

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CompareOptions says what to compare.
type CompareOptions struct {
	// Old and New are run files. Both empty means the last two complete runs in
	// Dir.
	Old, New string
	Dir      string

	// Format is benchstat's: "text" (the default) or "csv". With csv, Out gets
	// the table alone, and everything else goes to Err.
	Format string

	// Verdict is a sentence that says where to get one.
	Verdict string

	Out, Err io.Writer
}

// Compare sets two runs side by side by benchstat, and adds what is needed to
// read its table: which facts of the two runs differ, and how much each
// benchmark scattered within one run.
//
// It does not judge. Two runs are two blocks of time, and a host changes between
// them by more than most changes of a program are worth.
//
// The error is of the input: a run that is missing, foreign, newer, partial or was
// profiled, a service that was a stand-in in one run only, or a benchstat that cannot be found
// or run.
func Compare(ctx context.Context, o CompareOptions) error {
	before, after, err := o.runs()
	if err != nil {
		return err
	}
	for _, run := range []*Run{before, after} {
		if err := run.Unprofiled(); err != nil {
			return err
		}
	}
	if err := sameServices(before, after); err != nil {
		return err
	}
	command, err := benchstat(ctx)
	if err != nil {
		return err
	}
	about := o.Out
	if o.Format == "csv" {
		about = o.Err
	}
	fmt.Fprintf(about, "old: %s\nnew: %s\n", describe(before), describe(after))
	for _, line := range differences(before, after) {
		fmt.Fprintln(about, line)
	}
	fmt.Fprintln(about)
	if err := runBenchstat(ctx, command, o, before.Path, after.Path); err != nil {
		return err
	}
	fmt.Fprintln(about)
	printScatter(about, Rows(before.Results), Rows(after.Results))
	fmt.Fprintln(about, "\nThe two runs are two blocks of time, and the host changes between blocks; the table shows, it does not judge.")
	if o.Verdict != "" {
		fmt.Fprintln(about, o.Verdict)
	}
	return nil
}

// runs reads both runs and insists that they are whole.
func (o CompareOptions) runs() (before, after *Run, err error) {
	switch {
	case o.Old == "" && o.New == "":
		runs, err := Latest(o.Dir, 2)
		if err != nil {
			return nil, nil, err
		}
		return runs[0], runs[1], nil
	case o.Old == "" || o.New == "":
		return nil, nil, errors.New("one run to compare (give two, or none for the last two)")
	}
	var runs []*Run
	for _, path := range []string{o.Old, o.New} {
		run, err := Read(path)
		if err == nil {
			err = run.Complete()
		}
		if err != nil {
			return nil, nil, err
		}
		runs = append(runs, run)
	}
	if a, errA := os.Stat(o.Old); errA == nil {
		if b, errB := os.Stat(o.New); errB == nil && os.SameFile(a, b) {
			return nil, nil, fmt.Errorf("%s is compared with itself (give two runs)", o.Old)
		}
	}
	return runs[0], runs[1], nil
}

// describe names a run by what tells it from others.
func describe(r *Run) string {
	s := fmt.Sprintf("%s (%s", r.Path, count(len(r.Results), "result"))
	if c := r.Fact("commit"); len(c) >= 7 {
		s += ", commit " + c[:7]
		if r.Fact("dirty") == "true" {
			s += " with changes"
		}
	}
	if at, err := time.Parse(time.RFC3339Nano, r.Fact("date")); err == nil {
		s += ", " + at.Format("2006-01-02 15:04:05Z")
	}
	return s + ")"
}

// mostSteal is the share of steal time above which a run is in doubt.
const mostSteal = 0.05

// differences lists what is not the same in the environments of two runs, and
// what makes one of them doubtful.
func differences(before, after *Run) []string {
	var lines []string
	var keys []string
	for _, r := range []*Run{before, after} {
		for _, f := range r.Facts {
			if !perRun[f.Key] && f.Key != "pkg" && !slices.Contains(keys, f.Key) {
				keys = append(keys, f.Key)
			}
		}
	}
	value := func(r *Run, key string) string {
		if v := r.Fact(key); v != "" {
			return v
		}
		return "absent"
	}
	for _, key := range keys {
		a, b := value(before, key), value(after, key)
		if a == b {
			continue
		}
		line := fmt.Sprintf("differs: %s: %s -> %s", key, a, b)
		if slices.ContainsFunc(slices.Concat(before.Facts, after.Facts), func(f KeyValue) bool { return f.Key == key && f.Config }) {
			line += " (hence tables of their own)"
		}
		lines = append(lines, line)
	}
	for _, side := range []struct {
		name string
		run  *Run
	}{{"old", before}, {"new", after}} {
		if steal, err := strconv.ParseFloat(side.run.Fact("steal"), 64); err == nil && steal > mostSteal {
			lines = append(lines, fmt.Sprintf("warning: %s: %.0f %% of the host's time went to other guests (steal time): its numbers are in doubt", side.name, 100*steal))
		}
		n := 0
		for _, note := range side.run.Notes {
			if note.Kind == Warning {
				n++
			}
		}
		if n > 0 {
			lines = append(lines, fmt.Sprintf("warning: %s holds %s (lines \"# warning:\" in the file)", side.name, count(n, "warning")))
		}
	}
	return lines
}

// benchstat finds the program: the one that the module in the working directory
// pins, or else one in PATH.
func benchstat(ctx context.Context) (string, error) {
	const path = "golang.org/x/perf/cmd/benchstat"
	why := "go is not in PATH"
	if _, err := exec.LookPath("go"); err == nil {
		cmd := exec.CommandContext(ctx, "go", "tool", "-n", path)
		cmd.WaitDelay = time.Second
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err == nil {
			return strings.TrimSpace(string(out)), nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		why = "go tool benchstat: " + cutLine(oneLine(stderr.String()), 200)
	}
	if found, err := exec.LookPath("benchstat"); err == nil {
		return found, nil
	}
	return "", fmt.Errorf("benchstat not found: %s (run this inside the checkout of netbench, or: go install %s@latest)", why, path)
}

// runBenchstat prints its table. It labels the columns itself, as file names
// would make them wide.
func runBenchstat(ctx context.Context, command string, o CompareOptions, before, after string) error {
	args := []string{"old=" + before, "new=" + after}
	if o.Format != "" {
		args = append([]string{"-format", o.Format}, args...)
	}
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.WaitDelay = time.Second
	var stderr strings.Builder
	cmd.Stdout, cmd.Stderr = o.Out, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// benchstat exits with 0 after an error, too; that begins with its name.
	said := oneLine(stderr.String())
	if err != nil || strings.HasPrefix(said, "benchstat: ") {
		if said == "" {
			said = err.Error()
		}
		return fmt.Errorf("benchstat failed: %s", strings.TrimPrefix(said, "benchstat: "))
	}
	io.WriteString(o.Err, stderr.String())
	return nil
}
