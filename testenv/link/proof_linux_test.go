//go:build proof

package link

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestProofARoundTripIsWithinAMillisecond needs a machine that is quiet.
func TestProofARoundTripIsWithinAMillisecond(t *testing.T) {
	l := newLink(t, Both(Shape{Delay: 20 * time.Millisecond, Rate: 10e6}))
	all := exchanges(t, echoUDP(t, l), 200)
	t.Logf("least %v, median %v, p99 %v, most %v", all[0], all[100], all[198], all[199])
	assert.GreaterOrEqual(t, all[0], 40*time.Millisecond)
	assert.LessOrEqual(t, all[100], 41*time.Millisecond)
}

// TestProofABulkTransferIsWithinFivePercent needs a machine that is quiet.
func TestProofABulkTransferIsWithinFivePercent(t *testing.T) {
	l := newLink(t, Both(Shape{Delay: 20 * time.Millisecond, Rate: 10e6, QueuePackets: 100}))
	a, b := pair(t, l)
	got := goodput(t, a, b, 2*time.Second, 10*time.Second)
	t.Logf("%.0f bit/s", got)
	assert.InEpsilon(t, 10e6, got, 0.05)
}
