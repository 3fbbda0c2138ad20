//go:build proof

package zerocopy

import (
	"flag"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/proof"
	"netbench/load"
	"netbench/testenv"
)

// How long the proof measures: about seventeen minutes with these.
var (
	proofRounds   = flag.Int("send-rounds", 16, "rounds of the comparison of all ways")
	proofSlices   = flag.Int("send-slices", 4, "slices of each way in a round")
	proofSlice    = flag.Duration("send-slice", 200*time.Millisecond, "length of a slice")
	twinRounds    = flag.Int("send-twin-rounds", 100, "rounds of the comparison of sendfile with io.Copy; a quarter of them where pacing hides the difference")
	streamRounds  = flag.Int("send-stream-rounds", 32, "rounds of the comparison with iperf3; a quarter of them with a file that no cache holds")
	proofMessages = flag.Int("send-messages", 1_000_000, "messages by MSG_ZEROCOPY")
	proofOut      = flag.String("send-out", filepath.Join("..", "docs", "zerocopy.md"), "file to write")
)

// What is required.
const (
	costLimit   = 0.7  // of sendfile's server CPU by KiB to that of the best user buffer
	streamLimit = 0.9  // of the best way's rate to that of iperf3
	twinMargin  = 0.03 // by which sendfile may be worse than io.Copy, as an interval is never a point
)

// variant is a way under a congestion control.
type variant struct {
	way        Way
	congestion string
	pacing     int64 // bytes a second; 0 leaves it to the congestion control
}

func (v variant) String() string { return fmt.Sprintf("%v with %s", v.way, v.congestion) }

// variants are ways under each congestion control.
func variants(t *testing.T, ways ...Way) (all []variant) {
	t.Helper()
	for _, congestion := range congestions(t) {
		for _, way := range ways {
			all = append(all, variant{way: way, congestion: congestion})
		}
	}
	return all
}

// contender is a variant, on a server of its own.
type contender struct {
	variant
	server *testenv.Server
	client *FileClient
}

// sample is what a contender did in a round.
type sample struct {
	bytes        int64
	elapsed, cpu time.Duration
}

func (s sample) rate() float64   { return float64(s.bytes) / s.elapsed.Seconds() }   // bytes a second
func (s sample) perKiB() float64 { return float64(s.cpu) / float64(s.bytes) * 1024 } // ns of the server

// contenders starts fresh servers in an order that goes round with the rounds.
func contenders(t *testing.T, path string, n int64, round int, of []variant) []contender {
	t.Helper()
	all := make([]contender, len(of))
	want := MaterialSum(1, n)
	for i := range of {
		k := (i + round) % len(of)
		p := remoteOf(t, ServerConfig{File: path, Congestion: of[k].congestion, Pacing: of[k].pacing})
		c, err := DialFileServer(t.Context(), p.Addr())
		require.NoError(t, err)
		verify(t, c, of[k].way, n, want)
		all[k] = contender{of[k], p, c}
	}
	return all
}

// end checks the bytes once more and stops the servers.
func end(t *testing.T, all []contender, n int64) {
	t.Helper()
	want := MaterialSum(1, n)
	for _, c := range all {
		verify(t, c.client, c.way, n, want)
		r, err := c.client.Report()
		require.NoError(t, err)
		require.Zero(t, r.FellBack, "%v took the path %s", c.way, PathReadWrite)
		require.NoError(t, c.client.Close())
		require.NoError(t, c.server.Kill())
	}
}

// slice lets a contender send files of n bytes for a while.
func (c contender) slice(t *testing.T, n int64, length time.Duration, s *sample) {
	t.Helper()
	before, err := blockedCPU(c.server)
	require.NoError(t, err)
	sent, elapsed := c.send(t, n, length)
	s.bytes += sent
	s.elapsed += elapsed
	after, err := blockedCPU(c.server)
	require.NoError(t, err)
	s.cpu += after - before
}

// send sends files of n bytes, at least one, for a while, and returns how much it was
// and how long that took.
func (c contender) send(t *testing.T, n int64, length time.Duration) (sent int64, elapsed time.Duration) {
	t.Helper()
	begun := time.Now()
	for sent == 0 || time.Since(begun) < length {
		require.NoError(t, c.client.Fetch(c.way, n))
		sent += n
	}
	return sent, time.Since(begun)
}

// slicesOf makes one function of each contender that runs a slice of it.
func slicesOf(t *testing.T, all []contender, n int64, length time.Duration) []func(*sample) {
	var runs []func(*sample)
	for _, c := range all {
		runs = append(runs, func(s *sample) { c.slice(t, n, length, s) })
	}
	return runs
}

// inTurn drives all in turn in slices. The order goes round with the rounds and turns
// around with each pass.
func inTurn(runs []func(*sample), round, passes int) []sample {
	samples := make([]sample, len(runs))
	for pass := range passes {
		for i := range runs {
			k := (i + round) % len(runs)
			if pass%2 == 1 {
				k = (len(runs) - 1 - i + round) % len(runs)
			}
			runs[k](&samples[k])
		}
	}
	return samples
}

// calls is the system calls of a contender's server by MiB; "-" if they cannot be
// counted.
func (c contender) calls(t *testing.T, n int64, length time.Duration) string {
	t.Helper()
	set, err := c.server.Counters()
	if err != nil {
		return "-"
	}
	defer set.Close()
	from, err := set.Read()
	require.NoError(t, err)
	var s sample
	c.slice(t, n, length, &s)
	to, err := set.Read()
	require.NoError(t, err)
	d := to.Sub(from)
	if d.NoSyscalls != "" {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(d.Syscalls)/float64(s.bytes)*(1<<20))
}

// mean is the geometric mean.
func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(values)))
}

// measured is what variants did, by round and in the order of the variants.
type measured struct {
	of     []variant
	rounds [][]sample
}

// column is a figure of one variant by round.
func (m measured) column(k int, figure func(sample) float64) []float64 {
	var values []float64
	for _, r := range m.rounds {
		values = append(values, figure(r[k]))
	}
	return values
}

// place is where a variant is.
func (m measured) place(t *testing.T, v variant) int {
	t.Helper()
	for k, other := range m.of {
		if v == other {
			return k
		}
	}
	require.FailNow(t, "no such variant", "%v", v)
	return -1
}

// ratio is a figure of b to that of a.
func (m measured) ratio(a, b int, figure func(sample) float64) load.Ratio {
	return load.RatioOf(m.column(a, figure), m.column(b, figure))
}

// least is the variant, among those that match, with the least figure.
func (m measured) least(figure func(sample) float64, match func(variant) bool) int {
	best, at := math.Inf(1), -1
	for k, v := range m.of {
		if !match(v) {
			continue
		}
		if x := mean(m.column(k, figure)); x < best {
			best, at = x, k
		}
	}
	return at
}

// The answers to whether something that is required was met.
const (
	met       = "met"
	missed    = "missed"
	undecided = "undecided (the interval has the limit in it: more rounds, or a quieter machine)"
)

// atMost answers whether a ratio is no larger than a limit.
func atMost(r load.Ratio, limit float64) string {
	switch {
	case r.Hi <= limit:
		return met
	case r.Lo > limit:
		return missed
	}
	return undecided
}

// atLeast answers whether a ratio is no smaller than a limit.
func atLeast(r load.Ratio, limit float64) string {
	switch {
	case r.Lo >= limit:
		return met
	case r.Hi < limit:
		return missed
	}
	return undecided
}

// TestProofZeroCopy sets all ways to send a file side by side, the best beside iperf3,
// and sends a million messages by MSG_ZEROCOPY.
func TestProofZeroCopy(t *testing.T) {
	const file, large = 10 << 20, 100 << 20
	path := filepath.Join(t.TempDir(), "material")
	require.NoError(t, WriteMaterial(path, 1, large))
	doc := proof.Begin(t, "Ways to send a file", "./zerocopy")
	doc.WriteString(`Over loopback; the file is in the page cache. CPU is that of the server's process, in which
loopback also does the receiver's share of TCP up to its socket. Each round has fresh servers
of all variants, which send in turn, in slices of an order that is turned around. Ratios are
geometric means over rounds with 95 % intervals; what is required is met if the whole interval
says so. Every server's bytes were checked by SHA-256 before and after each round.

`)
	costs(t, doc, path, file)
	twins(t, doc, path, file)
	streams(t, doc, path, file, large)
	million(t, doc)
	flags(t, doc)
	doc.Save(t, *proofOut)
}

// million sends messages with checksums.
func million(t *testing.T, doc *proof.Page) {
	near, far := pair(t)
	begun := time.Now()
	counts := exchange(t, near, far, *proofMessages, time.Hour)
	fmt.Fprintf(doc, `## MSG_ZEROCOPY keeps its promise

%d messages of 13 bytes to 64 KiB, each with a checksum and compared with what it should
be, from %d buffers that were overwritten in the moment their completion was read: none
arrived with another byte. That took %.0f s and %d sends, completed by %d notices, of
which %d came out of order; %d sends were refused for want of notices.

`, *proofMessages, messageBuffers, time.Since(begun).Seconds(), counts.Sent, counts.Notices, counts.OutOfOrder, counts.NoBuffers)
	assert.Equal(t, counts.Sent, counts.Completed)
}

// flags shows over which devices the kernel copied.
func flags(t *testing.T, doc *proof.Page) {
	fmt.Fprintf(doc, `## Where the kernel copies all the same

The kernel must not let a receiver on the same machine hold pinned pages of the sender for
as long as it likes, and copies what comes to one. The last line is of a veth pair whose
far end is down: the device drops the packets as they are.

| device | sends | copied all the same |
|---|---|---|
`)
	for _, d := range devices(t) {
		counts := exchange(t, d.near, d.far, 10_000, 10*time.Minute)
		fmt.Fprintf(doc, "| %s | %d | %d (%.0f %%) |\n", d.name, counts.Completed, counts.Copied, 100*float64(counts.Copied)/float64(counts.Completed))
	}
	counts := stranded(t)
	fmt.Fprintf(doc, "| veth, far end down | %d | %d (%.0f %%) |\n", counts.Completed, counts.Copied, 100*float64(counts.Copied)/float64(counts.Completed))
}
