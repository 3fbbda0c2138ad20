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

// streams compares the rates of ways with that of iperf3, which takes its turns among
// them. iperf3 sends the same 128 KiB again and again, which never leave the CPU's cache,
// so what is required is judged with a file that a cache holds, too; the large file tells
// what memory adds.
func streams(t *testing.T, doc *proof.Page, path string, small, large int64) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		t.Fatalf("iperf3 is needed (Debian has a package of that name): %v", err)
	}
	other := startIperf(t)
	defer other.stop()
	fmt.Fprintf(doc, `## Streams beside iperf3

A slice is a second of a new connection, of which the last %v count, for iperf3 and for
the ways, which send one file after the other, each asked for while the one before comes.
Sender and receiver of iperf3 have the CPUs of server and client. The ratio is to iperf3's
rate with its own defaults under the same congestion control; -Z makes it use sendfile.
The ways are those that were fastest above, and the cheapest user buffer. %s is to reach
what is required, as it does not pace; no other may be shown to miss it.

`, streamLength, unpaced)
	for _, of := range []struct {
		n      int64
		rounds int
		about  string
		judged bool
	}{
		{small, *streamRounds, "which the CPU's cache holds, as it does the 128 KiB that iperf3 sends again and again", true},
		{large, (*streamRounds + 3) / 4, "which come from memory, where those of iperf3 do not", false},
	} {
		fmt.Fprintf(doc, "Files of %s, %s; %d rounds:\n\n", FormatSize(of.n), of.about, of.rounds)
		streamsOf(t, doc, other, path, of.n, of.rounds, of.judged)
	}
}

// streamLength is how much of a slice counts.
const streamLength = time.Second - iperfWarm

// streamsOf compares the rates with files of n bytes.
func streamsOf(t *testing.T, doc *proof.Page, other iperf, path string, n int64, rounds int, judged bool) {
	m := measured{of: variants(t, Way{Kind: KindBuffer, Buffer: 1 << 20}, Way{Kind: KindCopy}, Way{Kind: KindSendfile}, Way{Kind: KindMmap})}
	controls := congestions(t)
	// After the ways come, by congestion control, iperf3 as it is and with sendfile.
	iperfs := [][]string{}
	for _, congestion := range controls {
		iperfs = append(iperfs, []string{"-C", congestion}, []string{"-C", congestion, "-Z"})
	}
	for round := range rounds {
		all := contenders(t, path, n, round, m.of)
		var runs []func(*sample)
		for _, c := range all {
			runs = append(runs, func(s *sample) {
				client, err := DialFileServer(t.Context(), c.server.Addr())
				require.NoError(t, err)
				sent, elapsed := stream(t, client, c.way, n)
				s.bytes += sent
				s.elapsed += elapsed
				require.NoError(t, client.Close())
			})
		}
		for _, args := range iperfs {
			runs = append(runs, func(s *sample) { other.slice(t, s, args...) })
		}
		m.rounds = append(m.rounds, inTurn(runs, round, 1))
		end(t, all, n)
	}
	doc.WriteString("| congestion control | way | MB/s | ratio to iperf3 |\n|---|---|---|---|\n")
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
	if !judged {
		return
	}
	for i, congestion := range controls {
		fastest := m.least(func(s sample) float64 { return 1 / s.rate() }, func(v variant) bool { return v.congestion == congestion })
		r := m.ratio(len(m.of)+2*i, fastest, sample.rate)
		fmt.Fprintf(doc, "The best way with %s, %v, reaches at least %.1f of iperf3's rate: %s, %s.\n\n",
			congestion, m.of[fastest].way, streamLimit, proof.Interval(r), atLeast(r, streamLimit))
		if congestion == unpaced {
			assert.Equal(t, met, atLeast(r, streamLimit), "the best way with %s beside iperf3: %v", congestion, r)
		}
		assert.NotEqual(t, missed, atLeast(r, streamLimit), "the best way with %s beside iperf3: %v", congestion, r)
	}
}

// stream asks for files of n bytes for a second, each while the one before is on its way,
// so that there is no gap between them. It returns how much came after the time that does
// not count, and how long that took.
func stream(t *testing.T, c *FileClient, way Way, n int64) (came int64, elapsed time.Duration) {
	t.Helper()
	r := request{verb: verbSend, way: way, n: n}
	require.NoError(t, c.conn.SetDeadline(time.Now().Add(time.Second+allowed(2*n))))
	ask := func() {
		_, err := io.WriteString(c.conn, r.String()+"\n")
		require.NoError(t, err)
	}
	take := func() {
		line, err := c.in.ReadSlice('\n')
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%s %d\n", replyOK, n), string(line))
		_, err = c.in.Discard(int(n))
		require.NoError(t, err)
	}
	ask()
	for begun := time.Now(); time.Since(begun) < iperfWarm; {
		ask()
		take()
	}
	begun := time.Now()
	for came == 0 || time.Since(begun) < streamLength {
		ask()
		take()
		came += n
	}
	elapsed = time.Since(begun)
	take()
	return came, elapsed
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

// iperfWarm is the time at the beginning of a slice of a stream that does not count, as
// a new connection has to find its rate.
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
