//go:build proof

package buffers_test

import (
	"flag"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/buffers"
	"netbench/internal/proof"
	"netbench/load"
)

// How long the proof measures: about 18 minutes with these, half of it B4 and B5, and in
// proportion to the rounds. Slices are rounded up to what a balanced order of contenders
// needs (load.Interleave).
var (
	proofRounds = flag.Int("buffers-rounds", 6, "rounds of each comparison; over a distance two thirds of that")
	proofSlices = flag.Int("buffers-slices", 8, "slices of each contender in a round, the least")
	proofSlice  = flag.Duration("buffers-slice", 100*time.Millisecond, "length of a slice")
	proofSpan   = flag.Duration("buffers-span", 800*time.Millisecond, "how long a flow over a distance is measured in a round")
	proofConns  = flag.Int("buffers-conns", 4000, "idle connections whose memory is measured, the most")
	proofOut    = flag.String("buffers-out", filepath.Join("..", "docs", "buffers.md"), "file to write")
)

// farRounds are those over a distance. A link's rate scatters less than a server's CPU.
func farRounds() int { return max(2, *proofRounds*2/3) }

// section is a part of the page: what was measured, then what follows from it.
type section struct {
	title string
	text  strings.Builder
	found []string // sentences
}

func (s *section) printf(format string, args ...any) { fmt.Fprintf(&s.text, format, args...) }

// find adds a sentence to the answers.
func (s *section) find(format string, args ...any) {
	s.found = append(s.found, fmt.Sprintf(format, args...))
}

// TestProofBuffers measures every subject of this package and writes what helps, by how
// much, and which advice does not hold here. Its sentences are made of the intervals
// beside them: an effect that they do not show is not claimed.
func TestProofBuffers(t *testing.T) {
	_, err := place()
	require.NoError(t, err)
	doc := proof.Begin(t, "Buffers: which sizes help, by how much, and which advice does not hold here", "./buffers")
	limits, err := buffers.ReadKernelLimits()
	require.NoError(t, err)
	began := time.Now()
	var sections []*section
	var failed []string // a part that fails does not take the others along
	for _, s := range []struct {
		name string
		run  func(*testing.T) *section
	}{
		{"read", proveRead}, {"writer", proveWriter}, {"line", proveLine},
		{"distance", proveDistance}, {"socket", func(t *testing.T) *section { return proveSocket(t, limits) }},
		{"small", proveSmall}, {"pool", provePool},
	} {
		if !t.Run(s.name, func(t *testing.T) { sections = append(sections, s.run(t)) }) {
			failed = append(failed, s.name)
		}
		t.Logf("%s: %v since the beginning", s.name, time.Since(began).Round(time.Second))
	}
	fmt.Fprintf(doc, `It took %v. Contenders are driven in turn, %d rounds of %d slices or more of %v each with fresh processes
for each round; flows over a distance for %v each in %d rounds. Ratios are geometric means over rounds with 95 %% intervals; where an interval
includes 1 no difference is claimed. What a stream brings is compared with what was sent, before and
after what is timed. A field is empty where the machine did not allow a valid figure.

Limits of the host: tcp_rmem %v, tcp_wmem %v, rmem_max %d, wmem_max %d; congestion control %s
(streams use reno).

## In short

`, time.Since(began).Round(time.Second), *proofRounds, *proofSlices, *proofSlice, *proofSpan, farRounds(),
		limits.ReceiveTuning, limits.SendTuning, limits.ReceiveMost, limits.SendMost, limits.Congestion)
	if failed != nil {
		fmt.Fprintf(doc, "**Failed, so that this page is not to be published: %s.**\n\n", strings.Join(failed, ", "))
	}
	for _, s := range sections {
		fmt.Fprintf(doc, "**%s**\n\n", s.title)
		for _, sentence := range s.found {
			fmt.Fprintf(doc, "- %s\n", sentence)
		}
		doc.WriteString("\n")
	}
	for _, s := range sections {
		fmt.Fprintf(doc, "## %s\n\n%s\n", s.title, strings.TrimSpace(s.text.String()))
		doc.WriteString("\n")
	}
	doc.Save(t, *proofOut)
}

// differs tells whether a ratio is known to be other than 1.
func differs(r load.Ratio) bool { return r.N > 1 && (r.Lo > 1 || r.Hi < 1) }

// notable is the least change of a rate that is called one.
const notable = 0.10

// slower tells whether a ratio of rates is known to be notably less than 1.
func slower(r load.Ratio) bool { return differs(r) && r.Mean < 1-notable }

// asFast tells whether a ratio of rates is known not to be notably less than 1. What is
// neither is not known.
func asFast(r load.Ratio) bool { return r.N > 1 && r.Lo >= 1-notable }

// small tells whether a ratio is known to be within 1 ± notable.
func small(r load.Ratio) bool { return r.N > 1 && r.Lo >= 1-notable && r.Hi <= 1+notable }

// verdict is a ratio in words: how much more or less the second is than the first.
func verdict(r load.Ratio) string {
	if r.N < 2 {
		return "not known: too few rounds were valid"
	}
	change := func(v float64) string {
		if v >= 2 {
			return fmt.Sprintf("%.1f times", v)
		}
		return fmt.Sprintf("%+.1f %%", 100*(v-1))
	}
	if !differs(r) {
		return fmt.Sprintf("no difference shown (%s to %s)", change(r.Lo), change(r.Hi))
	}
	return fmt.Sprintf("%s (%s to %s)", change(r.Mean), change(r.Lo), change(r.Hi))
}

// cell is a ratio in a table.
func cell(r load.Ratio) string {
	if r.N < 2 {
		return ""
	}
	return fmt.Sprintf("%.3f (%.3f to %.3f)", r.Mean, r.Lo, r.Hi)
}

// meanOf is the mean of what there is; ok is false if there is nothing.
func meanOf(values []float64) (mean float64, ok bool) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	return mean, len(values) > 0
}

// figure prints the mean of values, or nothing.
func figure(format string, scale float64, values []float64) string {
	mean, ok := meanOf(values)
	if !ok || math.IsNaN(mean) {
		return ""
	}
	return fmt.Sprintf(format, mean*scale)
}
