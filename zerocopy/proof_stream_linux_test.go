//go:build proof

package zerocopy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/cpu"
	"netbench/internal/proof"
	"netbench/load"
)

// streams compares the rates of all ways with that of iperf3, which takes its turns
// among them.
func streams(t *testing.T, doc *proof.Page, path string, n int64) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		t.Fatalf("iperf3 is needed (Debian has a package of that name): %v", err)
	}
	const length, passes = 250 * time.Millisecond, 2
	m := measured{of: variants(t, Ways()...)}
	controls := congestions(t)
	other := startIperf(t)
	defer other.stop()
	// After the ways come, by congestion control, iperf3 as it is and with sendfile.
	iperfs := [][]string{}
	for _, congestion := range controls {
		iperfs = append(iperfs, []string{"-C", congestion}, []string{"-C", congestion, "-Z"})
	}
	for round := range *streamRounds {
		all := contenders(t, path, n, round, m.of)
		runs := slicesOf(t, all, n, length)
		for _, args := range iperfs {
			runs = append(runs, func(s *sample) { other.slice(t, s, args...) })
		}
		m.rounds = append(m.rounds, inTurn(runs, round, passes))
		end(t, all, n)
	}
	fmt.Fprintf(doc, `## Streams beside iperf3

%d rounds of %d slices each. A slice is %v of %s at a time, and of iperf3 what its sender
says of the last %v of a second. Sender and receiver of iperf3 have the CPUs of server and
client. The ratio is to iperf3's rate with its own defaults under the same congestion
control; -Z makes it use sendfile.

| congestion control | way | MB/s | ratio to iperf3 |
|---|---|---|---|
`, *streamRounds, passes, length, FormatSize(n), time.Second-iperfWarm)
	for i, congestion := range controls {
		base := m.column(len(m.of)+2*i, sample.rate)
		for k, v := range m.of {
			if v.congestion == congestion {
				own := m.column(k, sample.rate)
				fmt.Fprintf(doc, "| %s | %v | %.0f | %s |\n", congestion, v.way, mean(own)/1e6, proof.Interval(load.RatioOf(base, own)))
			}
		}
		fmt.Fprintf(doc, "| %s | iperf3 | %.0f | |\n", congestion, mean(base)/1e6)
		own := m.column(len(m.of)+2*i+1, sample.rate)
		fmt.Fprintf(doc, "| %s | iperf3 -Z | %.0f | %s |\n", congestion, mean(own)/1e6, proof.Interval(load.RatioOf(base, own)))
	}
	doc.WriteString("\n")
	for i, congestion := range controls {
		fastest := m.least(func(s sample) float64 { return 1 / s.rate() }, func(v variant) bool { return v.congestion == congestion })
		r := m.ratio(len(m.of)+2*i, fastest, sample.rate)
		fmt.Fprintf(doc, "The best way with %s, %v, reaches at least %.1f of iperf3's rate: %s, %s.\n\n",
			congestion, m.of[fastest].way, streamLimit, proof.Interval(r), atLeast(r, streamLimit))
		assert.Equal(t, met, atLeast(r, streamLimit), "the best way with %s beside iperf3: %v", congestion, r)
	}
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

// iperfWarm is the time at the beginning of a slice of iperf3 that does not count, as
// its connection is new, where those of the others have sent before.
const iperfWarm = 300 * time.Millisecond

// slice lets iperf3 send for a second.
func (i iperf) slice(t *testing.T, s *sample, more ...string) {
	t.Helper()
	const atOnce = 20 // tries, as the server needs a moment after the last client
	for try := 1; ; try++ {
		client := exec.CommandContext(t.Context(), "iperf3",
			append([]string{"-c", "127.0.0.1", "-p", i.port, "-J", "-t", "1", "-i", "0.1"}, more...)...)
		var out bytes.Buffer
		client.Stdout, client.Stderr = &out, &out
		require.NoError(t, cpu.RunOn(placed(t).Server, client.Start))
		err := client.Wait()
		if err != nil && try < atOnce && strings.Contains(out.String(), "busy") {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		require.NoError(t, err, out.String())
		s.add(t, out.Bytes())
		return
	}
}

// add enters what iperf3 said.
func (s *sample) add(t *testing.T, text []byte) {
	t.Helper()
	var said struct {
		Intervals []struct {
			Sum struct {
				Start   float64 `json:"start"`
				Seconds float64 `json:"seconds"`
				Bytes   int64   `json:"bytes"`
			} `json:"sum"`
		} `json:"intervals"`
	}
	require.NoError(t, json.Unmarshal(text, &said), "%s", text)
	before := s.bytes
	for _, part := range said.Intervals {
		if part.Sum.Start >= (iperfWarm - 20*time.Millisecond).Seconds() {
			s.bytes += part.Sum.Bytes
			s.elapsed += time.Duration(part.Sum.Seconds * float64(time.Second))
		}
	}
	require.Greater(t, s.bytes, before, "%s", text)
}
