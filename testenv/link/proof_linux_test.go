//go:build proof

package link

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
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
