//go:build proof

package link

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"netbench/internal/proof"
)

// TestProofARoundTripIsWithinAMillisecond needs a machine that is quiet.
func TestProofARoundTripIsWithinAMillisecond(t *testing.T) {
	l := newLink(t, Both(Shape{Delay: 20 * time.Millisecond, Rate: 10e6}))
	all := exchanges(t, echoUDP(t, l), 200)
	t.Logf("least %v, median %v, p99 %v, most %v", all[0], all[100], all[198], all[199])
	assert.GreaterOrEqual(t, all[0], 40*time.Millisecond)
	assert.LessOrEqual(t, all[100], 41*time.Millisecond)
}

// TestProofABulkTransferIsWithinFivePercent sends with Reno, which keeps the link
// busy once its window has filled it. BBR, the default of some machines, does not:
// every ten seconds it sends next to nothing for 200 ms, which showed as 2.3 % less
// than the link carried.
func TestProofABulkTransferIsWithinFivePercent(t *testing.T) {
	l := newLink(t, Both(Shape{Delay: 20 * time.Millisecond, Rate: 10e6, QueuePackets: 100}))
	a, b := pair(t, l)
	raw, err := a.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
	}))
	require.NoError(t, err)
	got := goodput(t, a, b, 4*time.Second, 11*time.Second)
	t.Logf("%.0f bit/s of data, of at most %.0f", got, 10e6*1448/1500)
	assert.InEpsilon(t, 10e6, got, 0.05)
}

// tool returns what a command printed that ran at an end, and how it ended.
func tool(t *testing.T, end *End, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, end.Run(cmd), "%s: %s", name, out.String())
	return out.String()
}

// sent is what iperf3 says of its sender and receiver.
type sent struct {
	End struct {
		Sent struct {
			Retransmits int `json:"retransmits"`
		} `json:"sum_sent"`
		Received struct {
			Rate float64 `json:"bits_per_second"`
		} `json:"sum_received"`
	} `json:"end"`
}

// bulk sends by iperf3 from a to b for so many seconds, the first three of which do
// not count.
func bulk(t *testing.T, l *Link, seconds int) sent {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	server := exec.CommandContext(ctx, "iperf3", "-s", "--forceflush", "-B", l.B().Addr().String())
	said, err := server.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, l.B().Start(server))
	defer func() {
		cancel()
		_ = server.Wait() // by the signal that it was sent
	}()
	for lines := bufio.NewScanner(said); !strings.Contains(lines.Text(), "listening"); {
		require.True(t, lines.Scan(), "iperf3 ended before it listened")
	}
	go io.Copy(io.Discard, said)
	var r sent
	out := tool(t, l.A(), "iperf3", "-c", l.B().Addr().String(), "-J", "-C", "reno", "-O", "3", "-t", strconv.Itoa(seconds))
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	return r
}

// TestProofOtherPeoplesToolsSeeTheLinkAsItWasAskedFor needs ping and iperf3.
func TestProofOtherPeoplesToolsSeeTheLinkAsItWasAskedFor(t *testing.T) {
	for _, name := range []string{"ping", "iperf3"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%s is needed: %v", name, err)
		}
	}
	shape := Shape{Delay: 20 * time.Millisecond, Rate: 10e6, QueuePackets: 100}
	clean := newLink(t, Both(shape))
	said := tool(t, clean.A(), "ping", "-n", "-c", "50", "-i", "0.05", clean.B().Addr().String())
	times := regexp.MustCompile(`= ([\d.]+)/([\d.]+)/([\d.]+)/`).FindStringSubmatch(said)
	require.Len(t, times, 4, said)
	mean, err := strconv.ParseFloat(times[2], 64)
	require.NoError(t, err)
	full := bulk(t, clean, 12)

	lossy := shape
	lossy.Loss, lossy.QueuePackets = 0.01, 1000
	losing := newLink(t, Config{AToB: lossy, BToA: shape})
	lost := bulk(t, losing, 12)
	stats, err := losing.Stats()
	require.NoError(t, err)

	doc := proof.Begin(t, "What ping and iperf3 see of a shaped link", "./testenv/link")
	fmt.Fprint(doc, "A delay of 20 ms and 10 Mb/s each way, queues of 100 packets, of 1000 where packets are\nlost, so that none is lost to a full queue there; iperf3 sends with Reno for 12 s after 3 s\nthat do not count.\n\n")
	fmt.Fprintf(doc, "| | asked for | seen |\n|---|---|---|\n")
	fmt.Fprintf(doc, "| ping, 50 of them | 40 ms ± 1 | mean %s ms, least %s, most %s |\n", times[2], times[1], times[3])
	fmt.Fprintf(doc, "| iperf3, at the receiver | 10 Mb/s ± 5 %% | %.2f Mb/s (data only: 1448 of 1500 bytes of each packet, at most 9.65) |\n", full.End.Received.Rate/1e6)
	fmt.Fprintf(doc, "| the same | | %d retransmits, for the queue that it fills |\n", full.End.Sent.Retransmits)
	fmt.Fprintf(doc, "| iperf3 with 1 %% loss one way | retransmits | %d retransmits, %d packets lost of %d, %.2f Mb/s |\n",
		lost.End.Sent.Retransmits, stats.AToB.Lost, stats.AToB.Sent, lost.End.Received.Rate/1e6)
	assert.InDelta(t, 40, mean, 1)
	assert.InEpsilon(t, 10e6, full.End.Received.Rate, 0.05)
	assert.GreaterOrEqual(t, lost.End.Sent.Retransmits, int(stats.AToB.Lost)/2)
	assert.InDelta(t, 0.01, float64(stats.AToB.Lost)/float64(stats.AToB.Sent), 0.008)
	assert.Zero(t, stats.AToB.DroppedQueue, "packets that found the queue full")
	doc.Save(t, filepath.Join("..", "..", "docs", "link.md"))
}
