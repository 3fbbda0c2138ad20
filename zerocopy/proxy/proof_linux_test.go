//go:build proof && linux

package proxy_test

import (
	"flag"
	"fmt"
	"math"
	"os"
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
	"netbench/zerocopy/proxy"
)

// How long the proof measures: about eight minutes with these.
var (
	proofRounds = flag.Int("proxy-rounds", 6, "rounds of each comparison")
	proofSlices = flag.Int("proxy-slices", 8, "slices of each contender in a round")
	proofSlice  = flag.Duration("proxy-slice", 100*time.Millisecond, "length of a slice")
	proofHeld   = flag.Int("proxy-held", 500, "idle connections that are held")
	proofOut    = flag.String("proxy-out", filepath.Join("..", "..", "docs", "proxy.md"), "file to write")
)

// TestProofProxy finds the size of message from which on splice costs the server less
// CPU time than a buffer, for this package's splice and for io.Copy's, and what an
// idle connection holds.
func TestProofProxy(t *testing.T) {
	doc := proof.Begin(t, "Proxying by splice and by a buffer", "./zerocopy/proxy")
	addr := backend(t)

	var costs, ratios strings.Builder
	points := make(map[contender][]proxy.Point)
	for _, size := range proxy.Sizes() {
		c, of := compareWays(t, size, addr)
		for i, v := range of {
			fmt.Fprintf(&costs, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", bytesOf(size), v.congestion, v.way,
				proof.Median(c, i, load.ServerCPUPerOp, 1e-3, "%.2f µs"),
				proof.Median(c, i, load.ServerCPUPerOp, 1024/float64(2*size), "%.1f ns"),
				proof.Median(c, i, load.RequestRate, float64(2*size)/1e6, "%.0f"),
				proof.Median(c, i, load.SyscallsPerOp, 1, "%.2f"),
				proof.Median(c, i, load.SyscallsPerOp, float64(1<<20)/float64(2*size), "%.0f"),
				proof.Median(c, i, load.AllocsPerOp, 1, "%.3f"))
		}
		for _, congestion := range controls(t) {
			at := func(w proxy.Way) int { return slices.Index(of, contender{w, congestion}) }
			fmt.Fprintf(&ratios, "| %s | %s ", bytesOf(size), congestion)
			for _, w := range []proxy.Way{proxy.Splice, proxy.Copy} {
				r := c.Ratio(at(proxy.Buffer), at(w), load.ServerCPUPerOp)
				require.Positive(t, r.N, "%s at %d bytes: no round counts", w, size)
				v := contender{w, congestion}
				points[v] = append(points[v], proxy.Point{Size: size, Ratio: r.Mean, Lo: r.Lo, Hi: r.Hi})
				fmt.Fprintf(&ratios, "| %s ", proof.Interval(r))
			}
			r := c.Ratio(at(proxy.Copy), at(proxy.Splice), load.ServerCPUPerOp)
			fmt.Fprintf(&ratios, "| %s | %d |\n", proof.Interval(r), r.N)
		}
	}

	fmt.Fprintf(doc, `The proxy is the server; behind it a server that echoes shares the CPU of the generator. %d
connections in a closed loop; %d rounds with fresh processes, %d slices of %v for each
way in a round, interleaved. Ratios are geometric means over rounds with 95 %% intervals.
Server CPU is that of the proxy alone. An echo passes it twice, so a KiB or MiB counts
in each direction. The generator compared every byte that came back.

What the proxy sends is under this host's congestion control, and under one that does not
pace, as pacing costs by the packet, however the bytes got there: both sides of a ratio are
under the same. What generator and echo send is under the host's.

buffer reads up to %d KiB and writes it; splice moves up to as much through a pipe from
a pool; iocopy is io.Copy, which moves up to 1 MiB through a pipe of its own.

## Where splice begins to pay

`, proxy.Conns, *proofRounds, *proofSlices, *proofSlice, proxy.Piece>>10)
	for _, congestion := range controls(t) {
		for _, w := range []proxy.Way{proxy.Splice, proxy.Copy} {
			line := verdict(fmt.Sprintf("%s with %s", w, congestion), points[contender{w, congestion}])
			t.Log(line)
			fmt.Fprintf(doc, "- %s\n", line)
		}
	}
	doc.WriteString(`
Server CPU per echo, less than 1 where splicing is the cheaper way:

| message | congestion control | splice / buffer | iocopy / buffer | splice / iocopy | rounds |
|---|---|---|---|---|---|
` + ratios.String() + `
## What a message costs

Medians over rounds. The rate is that of a closed loop whose generator and echo share a
CPU, and informs only; it is not known where the generator was the limit in every round.

| message | congestion control | way | server CPU/echo | server CPU/KiB | MB/s | syscalls/echo | syscalls/MiB | allocs/echo |
|---|---|---|---|---|---|---|---|---|
` + costs.String())

	fmt.Fprintf(doc, `
## What an idle connection holds

After one message of %d KiB on each of %d connections and a collection, as the slope
between none and all of them. Capacity is what a pipe may hold and what counts against
a user's budget (fs.pipe-user-pages-soft), not memory in use: what an empty pipe takes is
in the last column, which is the kernel's for the whole host (SUnreclaim), hence with the
sockets of the client and of the upstream, and differs by the pipes.

| way | descriptors | of these, pipes' | pipes | capacity of pipes | resident memory | kernel's slab |
|---|---|---|---|---|---|---|
`, proxy.Piece>>10, *proofHeld)
	holds := make(map[proxy.Way]perConn)
	for _, w := range proxy.Ways() {
		h := held(t, w, addr, *proofHeld)
		holds[w] = h
		fmt.Fprintf(doc, "| %s | %.2f | %.2f | %.2f | %.1f KiB | %.1f KiB | %.1f KiB |\n", w,
			h.descriptors(), h.PipeEnds, h.Pipes, h.PipeBytes/1024, h.UserBytes/1024, h.KernelBytes/1024)
	}
	doc.Save(t, *proofOut)

	assert.InDelta(t, 2, holds[proxy.Splice].descriptors(), 0.1, "an idle connection holds its two sockets only")
	assert.InDelta(t, 6, holds[proxy.Copy].descriptors(), 0.1, "io.Copy holds two pipes beside them")
}

// contender is a way, and the congestion control of what the proxy sends.
type contender struct {
	way        proxy.Way
	congestion string
}

// controls are the host's own congestion control, and one that every kernel has and that
// does not pace.
func controls(t *testing.T) []string {
	t.Helper()
	const unpaced = "reno"
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	require.NoError(t, err)
	if own := strings.TrimSpace(string(text)); own != unpaced {
		return []string{own, unpaced}
	}
	return []string{unpaced}
}

// compareWays drives all ways with messages of a size, in turn.
func compareWays(t *testing.T, size int, upstream string) (c *load.Comparison, of []contender) {
	t.Helper()
	var all []load.Contender
	for _, congestion := range controls(t) {
		for _, w := range proxy.Ways() {
			s := proxy.Scenario(w, size, upstream)
			s.Server.Env = append(s.Server.Env, proxy.EnvCongestion+"="+congestion)
			all = append(all, s.Contender(string(w)+" with "+congestion))
			of = append(of, contender{w, congestion})
		}
	}
	plan, err := proxy.Scenario(proxy.Buffer, size, upstream).ComparingPlan()
	require.NoError(t, err)
	require.NoError(t, testenv.PinSelf(plan.CPUs))
	c, err = load.Interleave(t.Context(), load.Comparing{
		Plan: plan, Rounds: *proofRounds, Slices: *proofSlices, Slice: *proofSlice, Seed: uint64(size),
		Progress: proof.Progress(t, bytesOf(size)),
	}, all...)
	require.NoError(t, err)
	return c, of
}

// verdict says where a way begins to pay.
func verdict(w string, points []proxy.Point) string {
	c, ok := proxy.Crossover(points)
	var s string
	switch {
	case ok:
		s = fmt.Sprintf("**%s: from messages of about %s on** it costs less than a buffer", w, bytesOf(int(math.Round(c.Size))))
	case points[len(points)-1].Ratio < 1:
		s = fmt.Sprintf("**%s: at every size that was measured** it costs less than a buffer", w)
	default:
		s = fmt.Sprintf("**%s: at no size that was measured** it pays: the largest costs %.2f of a buffer", w, points[len(points)-1].Ratio)
	}
	if c.Dearer > 0 {
		s += fmt.Sprintf("; by the 95 %% interval it costs more at %s", bytesOf(c.Dearer))
	}
	if c.Cheaper > 0 {
		s += fmt.Sprintf("; by the 95 %% intervals it costs less from %s on", bytesOf(c.Cheaper))
	}
	return s + "."
}

// bytesOf prints a size.
func bytesOf(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.3g MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.3g KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
