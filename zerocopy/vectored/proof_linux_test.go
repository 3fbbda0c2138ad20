//go:build proof && linux

package vectored_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/proof"
	"netbench/load"
	"netbench/testenv"
	"netbench/zerocopy/vectored"
)

// How long the proof measures: about ten minutes with these.
var (
	proofRounds = flag.Int("vectored-rounds", 6, "rounds of each comparison")
	proofSlices = flag.Int("vectored-slices", 8, "slices of each contender in a round")
	proofSlice  = flag.Duration("vectored-slice", 100*time.Millisecond, "length of a slice")
	proofOut    = flag.String("vectored-out", filepath.Join("..", "..", "docs", "vectored.md"), "file to write")
)

// TestProofVectored compares all ways to send a reply, with and without a cork, by
// the server's CPU time.
func TestProofVectored(t *testing.T) {
	doc := proof.Begin(t, "Sending a header and a body", "./zerocopy/vectored")
	fmt.Fprintf(doc, `%d connections in a closed loop of small HTTP
requests; %d rounds with fresh processes, %d slices of %v for each contender in a round,
interleaved. Ratios to join without a cork are geometric means over rounds with 95 %%
intervals, less than 1 where the way is cheaper; all else are medians over rounds. The
rate informs only, and is not known where the generator was the limit in every round.
Packets are those with data that a client received for a reply, one request at a time.

`, vectored.Conns, *proofRounds, *proofSlices, *proofSlice)
	for _, parts := range []int{1, 16} {
		verdicts := make(map[vectored.Options]*verdict)
		fmt.Fprintf(doc, "## A header and a body in %s\n\n", inParts(parts))
		doc.WriteString("| body | way | cork | CPU / join | server CPU/reply | req/s | syscalls/reply | packets/reply | allocs/reply | rounds |\n|---|---|---|---|---|---|---|---|---|---|\n")
		for _, size := range vectored.Sizes() {
			if parts > 1 && size < 1<<10 {
				continue
			}
			compare(t, doc, size, parts, verdicts)
		}
		doc.WriteString("\nAgainst join without a cork, by the 95 % intervals, each taken alone:\n\n")
		for _, o := range vectored.All() {
			if v := verdicts[o]; v != nil {
				line := fmt.Sprintf("%s: %s", name(o), v)
				t.Logf("in %s, %s", inParts(parts), line)
				fmt.Fprintf(doc, "- %s\n", line)
			}
		}
		doc.WriteString("\n")
	}
	doc.Save(t, *proofOut)
}

// verdict is at which sizes a way costs less than joining, and at which it costs more.
type verdict struct{ less, more, open []string }

func (v *verdict) add(size int, r load.Ratio) {
	at := fmt.Sprintf("%d B (%.2f)", size, r.Mean)
	switch {
	case r.Hi < 1:
		v.less = append(v.less, at)
	case r.Lo > 1:
		v.more = append(v.more, at)
	default:
		v.open = append(v.open, at)
	}
}

func (v *verdict) String() string {
	var all []string
	for _, x := range []struct {
		what string
		at   []string
	}{{"it costs less at ", v.less}, {"it costs more at ", v.more}, {"neither is certain at ", v.open}} {
		if len(x.at) > 0 {
			all = append(all, x.what+strings.Join(x.at, ", "))
		}
	}
	return strings.Join(all, "; ")
}

// compare sets all contenders beside each other at one size.
func compare(t *testing.T, doc *proof.Page, size, parts int, verdicts map[vectored.Options]*verdict) {
	t.Helper()
	all := vectored.All()
	var contenders []load.Contender
	for _, o := range all {
		contenders = append(contenders, vectored.Scenario(o, size, parts).Contender(name(o)))
	}
	plan, err := vectored.Scenario(all[0], size, parts).ComparingPlan()
	require.NoError(t, err)
	require.NoError(t, testenv.PinSelf(plan.CPUs))
	c, err := load.Interleave(t.Context(), load.Comparing{
		Plan: plan, Rounds: *proofRounds, Slices: *proofSlices, Slice: *proofSlice, Seed: uint64(size + parts),
		Progress: proof.Progress(t, fmt.Sprintf("%d bytes in %s", size, inParts(parts))),
	}, contenders...)
	require.NoError(t, err)
	base := slices.Index(all, vectored.Options{Way: vectored.Join})
	for i, o := range all {
		ratio, rounds := "1", len(c.Values(base, load.ServerCPUPerOp))
		if i != base {
			r := c.Ratio(base, i, load.ServerCPUPerOp)
			assert.Positive(t, r.N, "%s at %d bytes: no round counts", name(o), size)
			ratio, rounds = proof.Interval(r), r.N
			if verdicts[o] == nil {
				verdicts[o] = new(verdict)
			}
			verdicts[o].add(size, r)
		}
		cork := "off"
		if o.Cork {
			cork = "on"
		}
		fmt.Fprintf(doc, "| %d B | %s | %s | %s | %s | %s | %s | %.2f | %s | %d |\n", size, o.Way, cork, ratio,
			proof.Median(c, i, load.ServerCPUPerOp, 1e-3, "%.2f µs"), proof.Median(c, i, load.RequestRate, 1, "%.0f"),
			proof.Median(c, i, load.SyscallsPerOp, 1, "%.2f"), packets(t, o, size, parts), proof.Median(c, i, load.AllocsPerOp, 1, "%.3f"), rounds)
	}
}

// inParts says how many parts there are.
func inParts(n int) string {
	if n == 1 {
		return "one part"
	}
	return fmt.Sprintf("%d parts", n)
}

// packets is how many packets a reply takes.
func packets(t *testing.T, o vectored.Options, size, parts int) float64 {
	t.Helper()
	server, err := testenv.StartServer(t.Context(), testenv.ServerSpec{Model: o.Model(), Service: "http", StartTimeout: time.Minute})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Kill()) }()
	return perReply(t, server.Addr(), fmt.Sprintf("/bytes/%d/%d", size, parts), size, 200)
}
