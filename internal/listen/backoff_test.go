package listen

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBackoffDoublesFrom5MillisecondsTo1Second(t *testing.T) {
	var waits []time.Duration
	for last := time.Duration(0); len(waits) < 10; waits = append(waits, last) {
		last = Backoff(last)
	}
	for i, want := range []int{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
		assert.Equal(t, time.Duration(want)*time.Millisecond, waits[i])
	}
}
