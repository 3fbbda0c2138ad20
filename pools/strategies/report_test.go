package strategies

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
)

func TestASpreadHasAnIntervalFromSixValuesOn(t *testing.T) {
	ms := time.Millisecond
	assert.Equal(t, Spread{Median: 3 * ms, Min: ms, Max: 5 * ms}, spreadOf([]time.Duration{5 * ms, ms, 3 * ms, 2 * ms, 4 * ms}))
	assert.Equal(t, Spread{Median: 2500 * time.Microsecond, Min: ms, Max: 4 * ms}, spreadOf([]time.Duration{4 * ms, ms, 3 * ms, 2 * ms}))
	assert.Equal(t, Spread{Median: ms, Min: ms, Max: ms}, spreadOf([]time.Duration{ms}))
	// Of six values the least and the most bound the median with a confidence of
	// 1 - 2/2^6 = 97 %.
	six := spreadOf([]time.Duration{5 * ms, ms, 3 * ms, 2 * ms, 4 * ms, 6 * ms})
	assert.Equal(t, ms, six.Lo)
	assert.Equal(t, 6*ms, six.Hi)
}

func TestTheTableSaysWhatIsNotKnown(t *testing.T) {
	row := rowOf("lazy", AfterStart, []First{
		{Took: 2 * time.Millisecond, Dials: pools.Absent, DialsBefore: pools.Absent, Failures: 3, Lost: true, Err: errors.New("reset")},
		{Took: 4 * time.Millisecond, Dials: pools.Absent, DialsBefore: pools.Absent},
	})
	var b strings.Builder
	require.NoError(t, (&Report{Kind: "fake", Rows: []Row{row}}).Markdown(&b))
	assert.Contains(t, b.String(), "| start | lazy | 2 | 3ms | - | 2ms to 4ms | 1 (1 for good) | 1.5 | - | - | 0s |\n")
	assert.Contains(t, b.String(), "- start, lazy: reset\n")
}
