//go:build goexperiment.goroutineleakprofile

package leak

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// abandons starts a goroutine that waits on a channel which nobody else has.
func abandons() {
	alone := make(chan struct{})
	go func() { <-alone }()
}

func TestTheRuntimesProfileProvesOneGoroutineThatNothingCanWake(t *testing.T) {
	d, err := Start(often)
	require.NoError(t, err)
	held := make(chan struct{})
	defer close(held)
	go parked(held) // can be woken
	abandons()
	var found []Finding
	require.Eventually(t, func() bool {
		found = d.Findings()
		return len(found) > 0
	}, waitFor, poll)
	require.Len(t, found, 1)
	assert.Equal(t, 1, found[0].Proven)
	assert.Contains(t, found[0].Where, "leak.abandons.func1")
	assert.Contains(t, d.Stop().Method, "the runtime's goroutine leak profile")

	d, err = Start(often)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return d.Samples() > 2 }, waitFor, poll)
	assert.Empty(t, d.Findings(), "it had leaked before")
	d.Stop()
}
