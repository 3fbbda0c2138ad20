package race

import (
	"fmt"
	"strconv"
	"strings"

	"netbench/load"
	"netbench/results"
)

// Write adds the race to a run file: a line for each round that counts and
// contender, and what has to be said beside them as notes.
func (r *Report) Write(w *results.Writer) error {
	about := "Benchmark" + r.Benchmark("")
	for _, line := range append([]string{r.Title(), r.Verdict.Text}, r.Notes()...) {
		if err := w.Note(results.Note{Kind: results.Info, Benchmark: about, Text: line}); err != nil {
			return err
		}
	}
	if r.Comparison == nil {
		return nil
	}
	for _, round := range r.Comparison.Rounds {
		if round.Invalid != "" {
			continue
		}
		for _, s := range round.Samples {
			line := "Benchmark" + r.Benchmark(s.Name) + " " + strconv.FormatInt(s.Requests, 10) +
				r.values(s)
			if err := w.Result(line); err != nil {
				return err
			}
		}
	}
	for _, s := range r.Contenders {
		if s.UserBytesPerConn == nil {
			continue
		}
		if err := w.Result(fmt.Sprintf("Benchmark%s 1 %.1f user-B/conn", r.Benchmark(s.Model), *s.UserBytesPerConn)); err != nil {
			return err
		}
	}
	return nil
}

// Benchmark is the name of a contender's results, without its first word; with
// no model that of the whole race. What is as usual is left out of it.
func (r *Report) Benchmark(model string) string {
	parts := []string{"Race"}
	if model != "" {
		parts = append(parts, "model="+model)
	}
	if r.Service != "echo" {
		parts = append(parts, "service="+r.Service)
	}
	parts = append(parts, "conns="+strconv.Itoa(r.Conns))
	if r.Silent > 0 {
		parts = append(parts, "silent="+strconv.Itoa(r.Silent))
	}
	if r.Size > 0 {
		parts = append(parts, "size="+strconv.Itoa(r.Size))
	}
	if r.Pipeline > 1 {
		parts = append(parts, "pipeline="+strconv.Itoa(r.Pipeline))
	}
	return strings.Join(append(parts, "state="+string(r.State)), "/")
}

// values are a sample's metrics as far as they may be believed, " value unit"
// each. A rate is one only where the contender was saturated.
func (r *Report) values(s *load.Sample) string {
	var b strings.Builder
	add := func(v float64, unit string) {
		fmt.Fprintf(&b, " %s %s", strconv.FormatFloat(v, 'g', 8, 64), unit)
	}
	metric := func(m load.Metric, unit string) {
		if v, ok := m(s); ok {
			add(v, unit)
		}
	}
	if r.State == Saturated && s.Saturated() {
		metric(load.RequestRate, "req/s")
	}
	metric(load.ServerCPUPerOp, "server-cpu-ns/op")
	metric(load.LatencyP50, "p50-ns")
	metric(load.LatencyP99, "p99-ns")
	metric(load.SyscallsPerOp, "syscalls/op")
	metric(load.SwitchesPerOp, "ctxsw/op")
	metric(load.AllocsPerOp, "server-allocs/op")
	metric(load.GeneratorCPUPerOp, "gen-cpu-ns/op")
	add(100*s.GeneratorCPU, "gen-cpu-%")
	if s.Steal != nil {
		add(100**s.Steal, "steal-%")
	}
	return b.String()
}
