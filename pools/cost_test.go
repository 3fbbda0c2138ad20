package pools_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/cpu"
	"netbench/load"
	"netbench/pools"
)

func TestCostIsWhatIsSwitchedOnInHalfOfTheSlices(t *testing.T) {
	// Real time: CPU time is what is compared.
	var on bool
	switched, slices := 0, 0
	spin := func(ctx context.Context) error {
		turns := 20_000
		if on {
			turns *= 3
		}
		for i := range turns {
			sink ^= uint64(i) * sink
		}
		return nil
	}
	c, err := pools.CostOf(t.Context(), 3, 2, pools.Load{Workers: 1, For: 20 * time.Millisecond}, spin, func() (func(), error) {
		switched++
		on = true
		return func() {
			on = false
			for used := cpu.Used(); cpu.Used()-used < 5*time.Millisecond; { // it is hard to switch off
			}
		}, nil
	})
	require.NoError(t, err)
	require.Len(t, c.On, 3)
	for i := range c.On {
		slices += 2
		assert.Positive(t, c.On[i].Done)
		assert.Positive(t, c.Off[i].Done)
	}
	assert.Equal(t, slices, switched, "two slices of four in each round")
	assert.False(t, on)
	assert.Greater(t, c.Mean, 1.5, "three times the work: %v", c.Ratio)
	assert.GreaterOrEqual(t, c.Switching, 5*time.Millisecond)
}

var sink uint64 = 1

func TestACallThatFailsEndsTheComparison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		off := 0
		_, err := pools.CostOf(t.Context(), 2, 1, pools.Load{Workers: 1, For: time.Second}, func(ctx context.Context) error {
			time.Sleep(10 * time.Millisecond)
			return broken
		}, func() (func(), error) { return func() { off++ }, nil })
		assert.ErrorIs(t, err, broken)
		assert.Zero(t, off, "it failed before anything was switched on")
		_, err = pools.CostOf(t.Context(), 0, 1, pools.Load{}, nil, nil)
		assert.ErrorContains(t, err, "at least 1 of each")
	})
}

func TestACostIsMetOnlyIfTheWholeIntervalIsBelow(t *testing.T) {
	for want, r := range map[string]load.Ratio{
		pools.Met:       {Mean: 1.001, Lo: 0.998, Hi: 1.004},
		pools.Undecided: {Mean: 1.001, Lo: 0.97, Hi: 1.03},
		pools.Missed:    {Mean: 1.05, Lo: 1.02, Hi: 1.08},
	} {
		assert.Equal(t, want, pools.Cost{Ratio: r}.Below(0.01))
	}
}

func TestMergeLeavesTheRoundsAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, err := pools.Interleave(t.Context(), 2, 1, pools.Load{Workers: 1, For: 100 * time.Millisecond},
			pools.Contender{Do: sleeper(time.Millisecond)}, pools.Contender{Do: sleeper(2 * time.Millisecond)})
		require.NoError(t, err)
		all := pools.Merge(out[0])
		assert.Equal(t, int64(200), all.Done)
		assert.Equal(t, int64(200), all.Latency.TotalCount())
		assert.Equal(t, int64(100), out[0][0].Latency.TotalCount())
		assert.Equal(t, 200*time.Millisecond, all.Elapsed)
	})
}
