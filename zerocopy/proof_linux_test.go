//go:build proof

package zerocopy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/cpu"
	"netbench/load"
	"netbench/results"
)

// How long the proof measures: about five minutes with these.
var (
	proofRounds   = flag.Int("send-rounds", 12, "rounds of the comparison of all ways")
	proofSlices   = flag.Int("send-slices", 4, "slices of each way in a round")
	proofSlice    = flag.Duration("send-slice", 200*time.Millisecond, "length of a slice")
	streamRounds  = flag.Int("send-stream-rounds", 8, "rounds of the comparison with iperf3")
	proofMessages = flag.Int("send-messages", 1_000_000, "messages by MSG_ZEROCOPY")
	proofOut      = flag.String("send-out", filepath.Join("..", "docs", "zerocopy.md"), "file to write")
)

// What is required.
const (
	costLimit   = 0.7 // of sendfile's server CPU by KiB to that of the best user buffer
	streamLimit = 0.9 // of the best way's rate to that of iperf3
)

// contender is a way, on a server of its own.
type contender struct {
	way    Way
	server *ServerProcess
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
func contenders(t *testing.T, path string, n int64, round int) []contender {
	t.Helper()
	ways := Ways()
	all := make([]contender, len(ways))
	want := MaterialSum(1, n)
	for i := range ways {
		k := (i + round) % len(ways)
		c := contender{way: ways[k], server: remoteOf(t, path)}
		var err error
		c.client, err = DialFileServer(t.Context(), c.server.Addr())
		require.NoError(t, err)
		verify(t, c.client, c.way, n, want)
		all[k] = c
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
	before, err := c.server.CPU(t.Context())
	require.NoError(t, err)
	begun := time.Now()
	for sent := int64(0); sent == 0 || time.Since(begun) < length; sent += n {
		require.NoError(t, c.client.Fetch(c.way, n))
		s.bytes += n
	}
	s.elapsed += time.Since(begun)
	after, err := c.server.CPU(t.Context())
	require.NoError(t, err)
	s.cpu += after - before
}

// inTurn compares the ways in a round: slices in an order that turns around each time.
func inTurn(t *testing.T, all []contender, n int64, round, slices int, length time.Duration) []sample {
	t.Helper()
	samples := make([]sample, len(all))
	for pass := range slices {
		for i := range all {
			k := (i + round) % len(all)
			if pass%2 == 1 {
				k = (len(all) - 1 - i + round) % len(all)
			}
			all[k].slice(t, n, length, &samples[k])
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

// column is a figure of one way over rounds.
func column(rounds [][]sample, k int, of func(sample) float64) []float64 {
	var values []float64
	for _, r := range rounds {
		values = append(values, of(r[k]))
	}
	return values
}

// named is the place of a kind without a buffer among Ways.
func named(t *testing.T, kind Kind) int {
	t.Helper()
	for k, way := range Ways() {
		if way.Kind == kind {
			return k
		}
	}
	require.FailNow(t, "no such way", "%s", kind)
	return -1
}

// best is the way, among those that match, of which less is less.
func best(rounds [][]sample, of func(sample) float64, match func(Way) bool) int {
	least, at := math.Inf(1), -1
	for k, way := range Ways() {
		if v := mean(column(rounds, k, of)); match(way) && v < least {
			least, at = v, k
		}
	}
	return at
}

func interval(r load.Ratio) string { return fmt.Sprintf("%.3f | %.3f to %.3f", r.Mean, r.Lo, r.Hi) }

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "missed"
}

// TestProofZeroCopy sets all ways to send a file side by side, the best beside iperf3,
// and sends a million messages by MSG_ZEROCOPY.
func TestProofZeroCopy(t *testing.T) {
	host, err := results.Collect(t.Context())
	require.NoError(t, err)
	p := placed(t)
	const file, stream = 10 << 20, 100 << 20
	path := filepath.Join(t.TempDir(), "material")
	require.NoError(t, WriteMaterial(path, 1, stream))
	var doc strings.Builder
	fmt.Fprintf(&doc, `# Ways to send a file

    go test -tags proof -run '^TestProofZeroCopy$' -timeout 1h ./zerocopy

wrote this on %s with %s for %s/%s on %s, %d CPUs (%s).
Server on CPU %s, client on CPU %s, over loopback; the file is in the page cache. CPU is
that of the server's process, in which loopback also does the receiver's share of TCP up
to its socket. Each round has fresh servers of all ways, which send in turn, in slices of
an order that is turned around. Ratios are geometric means over rounds with 95 %% intervals.
Every server's bytes were checked by SHA-256 before and after.

`, time.Now().UTC().Format(time.DateOnly), host.GoVersion, host.GOOS, host.GOARCH, host.Kernel, host.CPUs, host.CPUModel,
		cpu.Format(p.Server), cpu.Format(p.Generator))
	costs(t, &doc, path, file)
	streams(t, &doc, path, stream)
	million(t, &doc)
	flags(t, &doc)
	t.Log("\n" + doc.String())
	require.NoError(t, os.MkdirAll(filepath.Dir(*proofOut), 0o755))
	require.NoError(t, os.WriteFile(*proofOut, []byte(doc.String()), 0o644))
}

// costs compares all ways at n bytes.
func costs(t *testing.T, doc *strings.Builder, path string, n int64) {
	var rounds [][]sample
	calls := make([]string, len(Ways()))
	for round := range *proofRounds {
		all := contenders(t, path, n, round)
		rounds = append(rounds, inTurn(t, all, n, round, *proofSlices, *proofSlice))
		if round == 0 {
			for k, c := range all {
				calls[k] = c.calls(t, n, *proofSlice)
			}
		}
		end(t, all, n)
	}
	user := best(rounds, sample.perKiB, func(w Way) bool { return w.Kind == KindBuffer || w.Kind == KindCopyHidden })
	base := column(rounds, user, sample.perKiB)
	fmt.Fprintf(doc, `## %s at a time

%d rounds of %d slices of %v each. The ratio is of the server's CPU by KiB to that of the
best way with a user buffer, %v.

| way | server CPU/KiB | ratio | 95 %% interval | MB/s | system calls/MiB |
|---|---|---|---|---|---|
`, FormatSize(n), *proofRounds, *proofSlices, *proofSlice, Ways()[user])
	for k, way := range Ways() {
		own := column(rounds, k, sample.perKiB)
		fmt.Fprintf(doc, "| %v | %.1f ns | %s | %.0f | %s |\n", way, mean(own), interval(load.RatioOf(base, own)), mean(column(rounds, k, sample.rate))/1e6, calls[k])
	}
	direct, copied := named(t, KindSendfile), named(t, KindCopy)
	cost := load.RatioOf(base, column(rounds, direct, sample.perKiB))
	speed := load.RatioOf(column(rounds, copied, sample.rate), column(rounds, direct, sample.rate))
	burden := load.RatioOf(column(rounds, copied, sample.perKiB), column(rounds, direct, sample.perKiB))
	fmt.Fprintf(doc, `
sendfile spends at most %.1f of the best user buffer's server CPU: %.3f (%.3f to %.3f), %s.

sendfile is not slower than io.Copy, which is the same system call by package net: rate
%.3f (%.3f to %.3f), server CPU %.3f (%.3f to %.3f), %s.

`, costLimit, cost.Mean, cost.Lo, cost.Hi, verdict(cost.Mean <= costLimit),
		speed.Mean, speed.Lo, speed.Hi, burden.Mean, burden.Lo, burden.Hi, verdict(speed.Hi >= 1 && burden.Lo <= 1))
	assert.LessOrEqual(t, cost.Mean, costLimit, "sendfile costs too much: %v", cost)
	assert.GreaterOrEqual(t, speed.Hi, 1.0, "sendfile is slower than io.Copy: %v", speed)
	assert.LessOrEqual(t, burden.Lo, 1.0, "sendfile costs more than io.Copy: %v", burden)
}

// streams compares the rates of all ways with that of iperf3.
func streams(t *testing.T, doc *strings.Builder, path string, n int64) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		t.Fatalf("iperf3 is needed: %v", err)
	}
	other := startIperf(t)
	defer other.stop()
	var rounds [][]sample
	var plain, zero []float64
	measure := func() {
		plain = append(plain, other.rate(t))
		zero = append(zero, other.rate(t, "-Z"))
	}
	const length = 500 * time.Millisecond
	for round := range *streamRounds {
		if round%2 == 0 {
			measure()
		}
		all := contenders(t, path, n, round)
		rounds = append(rounds, inTurn(t, all, n, round, 2, length))
		end(t, all, n)
		if round%2 == 1 {
			measure()
		}
	}
	fastest := best(rounds, func(s sample) float64 { return 1 / s.rate() }, func(Way) bool { return true })
	fmt.Fprintf(doc, `## Streams beside iperf3

%d rounds, in each of which each way sends %s at a time in two slices of %v, and iperf3
sends for two seconds after one that does not count, before or after the others in turn.
Sender and receiver of iperf3 have the CPUs of server and client. Its rate is %.0f MB/s with
its own defaults, %.0f MB/s with -Z (sendfile).

| way | MB/s | ratio to iperf3 | 95 %% interval |
|---|---|---|---|
`, *streamRounds, FormatSize(n), length, mean(plain)/1e6, mean(zero)/1e6)
	for k, way := range Ways() {
		own := column(rounds, k, sample.rate)
		fmt.Fprintf(doc, "| %v | %.0f | %s |\n", way, mean(own)/1e6, interval(load.RatioOf(plain, own)))
	}
	r := load.RatioOf(plain, column(rounds, fastest, sample.rate))
	fmt.Fprintf(doc, "\nThe best way, %v, reaches at least %.1f of iperf3's rate: %.3f (%.3f to %.3f), %s.\n\n",
		Ways()[fastest], streamLimit, r.Mean, r.Lo, r.Hi, verdict(r.Mean >= streamLimit))
	assert.GreaterOrEqual(t, r.Mean, streamLimit, "the best way is slower than iperf3: %v", r)
}

// iperf is a server of iperf3.
type iperf struct {
	port string
	stop func()
}

func startIperf(t *testing.T) iperf {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	ctx, cancel := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, "iperf3", "-s", "--forceflush", "-B", "127.0.0.1", "-p", port)
	said, err := server.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cpu.RunOn(placed(t).Generator, server.Start))
	read := make(chan struct{})
	stop := func() {
		cancel()
		<-read
		_ = server.Wait() // by the signal that it was sent
	}
	lines := bufio.NewScanner(said)
	for !strings.Contains(lines.Text(), "listening") {
		if !lines.Scan() {
			close(read)
			stop()
			require.FailNow(t, "iperf3 ended before it listened")
		}
	}
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, said)
	}()
	return iperf{port, stop}
}

// rate is what iperf3 says that its receiver got, in bytes a second.
func (i iperf) rate(t *testing.T, more ...string) float64 {
	t.Helper()
	const seconds = 2
	client := exec.CommandContext(t.Context(), "iperf3",
		append([]string{"-c", "127.0.0.1", "-p", i.port, "-J", "-O", "1", "-t", strconv.Itoa(seconds)}, more...)...)
	var out bytes.Buffer
	client.Stdout, client.Stderr = &out, &out
	require.NoError(t, cpu.RunOn(placed(t).Server, client.Start))
	require.NoError(t, client.Wait(), out.String())
	var said struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &said), out.String())
	require.Positive(t, said.End.Received.Rate, out.String())
	return said.End.Received.Rate / 8
}

// million sends messages with checksums.
func million(t *testing.T, doc *strings.Builder) {
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
func flags(t *testing.T, doc *strings.Builder) {
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
