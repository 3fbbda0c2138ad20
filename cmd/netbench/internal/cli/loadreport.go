package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"netbench/load"
)

// headerFlag collects 'Name: value' flags.
type headerFlag map[string][]string

func (h headerFlag) String() string { return "" }

func (h headerFlag) Set(s string) error {
	name, value, ok := strings.Cut(s, ":")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return fmt.Errorf("want 'Name: value'")
	}
	name = http.CanonicalHeaderKey(name)
	h[name] = append(h[name], strings.TrimSpace(value))
	return nil
}

func (h headerFlag) header() http.Header { return http.Header(h) }

// showProgress returns what a run reports to: a line that is redrawn on a
// terminal, a plain line every five seconds elsewhere.
func showProgress(w io.Writer) (report func(load.Progress), finish func()) {
	width, onTerminal := terminal(w)
	var lastPhase string
	var lastLine time.Duration
	drawn := false
	report = func(p load.Progress) {
		line := fmt.Sprintf("%s %.1f s", p.Phase, p.Elapsed.Seconds())
		if p.Of > 0 {
			line += fmt.Sprintf(" of %.0f s", p.Of.Seconds())
		}
		line += fmt.Sprintf(", %d connections", p.Conns)
		if p.Phase != "dial" {
			line += fmt.Sprintf(", %d requests", p.Requests)
		}
		switch {
		case onTerminal:
			if width > 1 && len(line) >= width {
				line = line[:width-1]
			}
			fmt.Fprintf(w, "\r\x1b[K%s", line)
			drawn = true
		case p.Phase != lastPhase || p.Elapsed-lastLine >= 5*time.Second:
			fmt.Fprintln(w, line)
			lastPhase, lastLine = p.Phase, p.Elapsed
		}
	}
	return report, func() {
		if drawn {
			fmt.Fprint(w, "\r\x1b[K")
		}
	}
}

// printLoad prints a result for a person.
func printLoad(w io.Writer, r *load.Result) error {
	var b strings.Builder
	what := fmt.Sprintf("%s, %d connections", r.Mode, r.Conns)
	if r.Size > 0 {
		what += fmt.Sprintf(", %d B", r.Size)
	}
	if r.Pipeline > 1 {
		what += fmt.Sprintf(", pipelined by %d", r.Pipeline)
	}
	if r.Offered > 0 {
		what += fmt.Sprintf(", %.0f requests/s due", r.Offered)
	}
	fmt.Fprintf(&b, "%s: %s, %.2f s\n\n", r.Target, what, r.Duration)
	unit := "requests"
	if r.Mode == load.Connect {
		unit = "cycles"
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	invalid := func(valid bool) string {
		if valid {
			return ""
		}
		return "  INVALID"
	}
	fmt.Fprintf(t, "%s\t%d\t%.0f /s%s\n", unit, r.Requests, r.Rate, invalid(r.Valid.Rate))
	if r.Duration > 0 {
		fmt.Fprintf(t, "bytes in, out\t%d, %d\t%.1f, %.1f MB/s\n", r.BytesIn, r.BytesOut,
			float64(r.BytesIn)/r.Duration/1e6, float64(r.BytesOut)/r.Duration/1e6)
	}
	fmt.Fprintf(t, "succeeded\t%.2f %%\t%s\n", 100*r.Success, errorList(r.Errors))
	if r.Mode == load.Idle {
		fmt.Fprintf(t, "alive\t%d\tof %d\n", r.Alive, r.Conns)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	t = tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	heading := "\n\tp50\tp90\tp99\tp99.9\tmax\tmean\t\n"
	for _, row := range []struct {
		name string
		q    *load.Quantiles
	}{
		{latencyName(r.Mode), r.Latency}, {"service", r.Service}, {"wait for conn", r.ConnWait},
		{"send lag", r.SendLag}, {"connect", r.Connect},
	} {
		if row.q == nil || row.q.Count == 0 || row.name == "service" && r.Mode == load.Closed {
			continue
		}
		fmt.Fprint(t, heading)
		heading = ""
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.name,
			nanos(row.q.P50), nanos(row.q.P90), nanos(row.q.P99), nanos(row.q.P999), nanos(row.q.Max),
			time.Duration(*row.q.Mean).Round(100*time.Nanosecond), invalid(r.Valid.Latency))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\ngenerator CPU %.0f %% of its set (%s engine", 100*r.GeneratorCPU, r.Engine)
	if r.Processes > 1 {
		fmt.Fprintf(&b, ", %d processes", r.Processes)
	}
	b.WriteString(")")
	if r.ServerPerOp != nil {
		fmt.Fprintf(&b, "; server CPU %.0f %%, %.2f µs per request%s", 100**r.ServerCPU, *r.ServerPerOp/1e3, invalid(r.Valid.CPU))
	}
	fmt.Fprintf(&b, "; limit: %s%s\n", r.Limit, inferred(r))
	for _, reason := range r.Reasons {
		fmt.Fprintf(&b, "  %s\n", reason)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "  warning: %s\n", warning)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// inferred says that a limit was not observed.
func inferred(r *load.Result) string {
	if r.LimitInferred {
		return " (inferred; -server-pid observes it)"
	}
	return ""
}

func latencyName(m load.Mode) string {
	if m == load.Connect {
		return "cycle"
	}
	return "latency"
}

// nanos shows a duration, or a dash where there were too few samples for it.
func nanos(v *int64) string {
	if v == nil {
		return "-"
	}
	return time.Duration(*v).Round(100 * time.Nanosecond).String()
}

func errorList(errors map[string]int64) string {
	var parts []string
	for kind, n := range errors {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return "no errors"
	}
	return strings.Join(parts, ", ")
}

// distribution is the file of -hgrm. It appears whole or not at all; of an
// interrupted run it is called FILE.partial.
type distribution struct {
	name string
	file *os.File
}

// createDistribution makes the temporary file at once, so that a bad name is
// told before the run and not after it.
func createDistribution(name string) (*distribution, error) {
	if name == "" {
		return &distribution{}, nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".tmp*")
	if err != nil {
		return nil, fmt.Errorf("-hgrm: no file can be made in directory %s: %w", filepath.Dir(name), errors.Unwrap(err))
	}
	return &distribution{name, f}, nil
}

// write fills the file and gives it its name.
func (d *distribution) write(r *load.Result) error {
	if d.file == nil {
		return nil
	}
	h := r.Histogram()
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	name := d.name
	if r.Interrupted {
		name += ".partial"
	}
	// Five lines for each halving of the distance to 100 %, in µs.
	_, err := h.PercentilesPrint(d.file, 5, 1000)
	if err == nil {
		err = d.file.Chmod(0o644)
	}
	if err == nil {
		err = d.file.Sync()
	}
	if e := d.file.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(d.file.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("-hgrm: %w", err)
	}
	d.file = nil
	return nil
}

// discard removes what was not written.
func (d *distribution) discard() {
	if d.file != nil {
		_ = d.file.Close()
		_ = os.Remove(d.file.Name())
	}
}
