package memory

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"netbench/results"
)

// Print writes results as a table, a line for each server, and what there is to
// say about them.
func Print(w io.Writer, all []*Result) error {
	if len(all) == 0 {
		return nil
	}
	counts := make([]string, len(all[0].Conns))
	for i, n := range all[0].Conns {
		counts[i] = fmt.Sprint(n)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "bytes per idle connection, %s, slope over %s connections, %d repetitions, ± 95 %%\n\n",
		all[0].Service, strings.Join(counts, ", "), all[0].Repetitions)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "model\tuser\theap\tstacks\truntime\tRSS\tkernel, both ends\tkernel, one end (half)\t\n")
	for _, r := range all {
		fmt.Fprintf(t, "%s\t%v\t%s\t%s\t%s\t%v\t%v\t%v\t\n", r.Model, r.User,
			orAbsent(r.Heap), orAbsent(r.Stacks), orAbsent(r.Runtime), r.RSS, r.KernelBothEnds, r.KernelPerEnd)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteString("\nuser: anonymous memory of the server's processes; heap, stacks and runtime: by the Go runtime's\n" +
		"account. kernel: slab and TCP buffers of the whole host, so the generator's end is in it.\n")
	for _, r := range all {
		for _, why := range r.Warnings {
			fmt.Fprintf(&b, "warning: %s: %s\n", r.Model, why)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func orAbsent(s *Slope) string {
	if s == nil {
		return "-"
	}
	return s.String()
}

// BenchmarkName is what the result is called in Go benchmark format.
func (r *Result) BenchmarkName() string {
	return fmt.Sprintf("BenchmarkMemory/model=%s/service=%s", r.Model, r.Service)
}

// Lines are the results in Go benchmark format, a line for each repetition. Its
// iterations are connections, B/conn is user memory and the kernel's at one end,
// which is estimated as half of both.
func (r *Result) Lines() []string {
	var lines []string
	for i, user := range r.User.ByRepetition {
		kernel := r.KernelPerEnd.ByRepetition[i]
		lines = append(lines, fmt.Sprintf("%s %d %.1f B/conn %.1f user-B/conn %.1f kernel-B/conn",
			r.BenchmarkName(), r.Conns[len(r.Conns)-1], user+kernel, user, kernel))
	}
	return lines
}

// Write adds the result to a run file.
func (r *Result) Write(w *results.Writer) error {
	for _, line := range r.Lines() {
		if err := w.Result(line); err != nil {
			return err
		}
	}
	for _, why := range r.Warnings {
		if err := w.Note(results.Note{Kind: results.Warning, Benchmark: r.BenchmarkName(), Text: why}); err != nil {
			return err
		}
	}
	return nil
}
