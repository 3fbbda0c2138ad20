// Package proof is what the proofs of several rooms share: the page that each writes
// into docs. A page that does not say how and where it was made is worth nothing to its
// reader, so its head is written here, from what is in force and not from what a proof
// believes: the command with every flag that differs from its default, the day, the
// commit, the Go release and the machine, who ran on which CPUs, and the load that the
// machine had already.
package proof

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netbench/internal/cpu"
	"netbench/load"
	"netbench/results"
	"netbench/testenv"
)

// Page is what a proof has to say, in Markdown. What is written to it comes behind the
// head.
type Page struct {
	strings.Builder
}

// Begin makes a page with a title and its head. pkg is the package of the proof as it
// is given to go test, for instance "./zerocopy/proxy". It fails t if the machine
// cannot be told.
func Begin(t testing.TB, title, pkg string) *Page {
	t.Helper()
	host, err := results.Collect(t.Context())
	if err != nil {
		t.Fatalf("the machine that this runs on: %v", err)
	}
	place, err := testenv.Place()
	if err != nil {
		t.Fatalf("which CPUs there are: %v", err)
	}
	p := &Page{}
	p.WriteString(head(title, command(t.Name(), pkg, flag.CommandLine), host, place))
	return p
}

// head is the beginning of a page.
func head(title, command string, host results.Fingerprint, place testenv.Placement) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n    %s\n\nwrote this on %s", title, command, host.Start.UTC().Format(time.DateOnly))
	if host.Commit != "" {
		state := ""
		if host.Dirty != nil && *host.Dirty {
			state = " with changes"
		}
		fmt.Fprintf(&b, " at commit %.12s%s", host.Commit, state)
	}
	fmt.Fprintf(&b, " with %s for %s/%s\non %s, %d CPUs (%s)", host.GoVersion, host.GOOS, host.GOARCH, host.Kernel, host.CPUs, host.CPUModel)
	if control := host.Sysctls["net.ipv4.tcp_congestion_control"]; control != "" {
		fmt.Fprintf(&b, ", congestion control %s", control)
	}
	if len(host.LoadAverage) > 0 {
		fmt.Fprintf(&b, ",\nload average at the start %.2f", host.LoadAverage[0])
	}
	if len(place.Server) > 0 {
		fmt.Fprintf(&b, ".\nServers on CPU %s, clients on CPU %s", cpu.Format(place.Server), cpu.Format(place.Generator))
	}
	b.WriteString(".\n\n")
	return b.String()
}

// command runs a test of a package with the flags that were given to it, but for those
// of package testing and for where the page goes (-xxx-out).
func command(test, pkg string, given *flag.FlagSet) string {
	var own strings.Builder
	given.Visit(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") && !strings.HasSuffix(f.Name, "-out") && f.Value.String() != f.DefValue {
			fmt.Fprintf(&own, " -%s %s", f.Name, f.Value)
		}
	})
	return fmt.Sprintf("go test -tags proof -count=1 -timeout 0 -run '^%s$' %s%s", test, pkg, own.String())
}

// Save logs the page and writes it to a file, whose directory is made if need be. It
// fails t if that cannot be done.
func (p *Page) Save(t testing.TB, path string) {
	t.Helper()
	t.Log("\n" + p.String())
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(p.String()), 0o644)
	}
	if err != nil {
		t.Fatalf("write the page: %v", err)
	}
}

// Median formats the median of a contender's metric over the rounds of a comparison,
// times scale; "not known" if no round has a valid one.
func Median(c *load.Comparison, contender int, m load.Metric, scale float64, format string) string {
	values := slices.Clone(c.Values(contender, m))
	if len(values) == 0 {
		return "not known"
	}
	slices.Sort(values)
	n := len(values)
	return fmt.Sprintf(format, scale*(values[(n-1)/2]+values[n/2])/2)
}

// Interval formats a ratio with its interval, for a cell of a table or within a
// sentence; "not known" without a round.
func Interval(r load.Ratio) string {
	switch r.N {
	case 0:
		return "not known"
	case 1:
		return fmt.Sprintf("%.3f (one round, no interval)", r.Mean)
	}
	return fmt.Sprintf("%.3f (%.3f to %.3f)", r.Mean, r.Lo, r.Hi)
}

// Progress logs the last round of a comparison, and those that do not count. It is a
// function for load.Comparing.
func Progress(t testing.TB, what string) func(round, rounds int, took time.Duration, r *load.Round) {
	return func(round, rounds int, took time.Duration, r *load.Round) {
		if round == rounds || r.Invalid != "" {
			t.Logf("%s: round %d of %d, %.1f s %s", what, round, rounds, took.Seconds(), r.Invalid)
		}
	}
}
