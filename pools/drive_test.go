package pools_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
)

// sleeper is an operation that takes a fixed time, or until its context ends.
func sleeper(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestAClosedLoopNeverHasMoreCallsThanWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		do := sleeper(10 * time.Millisecond)
		o, err := pools.Drive(t.Context(), pools.Load{Workers: 4, For: time.Second}, func(ctx context.Context) error {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			return do(ctx)
		})
		require.NoError(t, err)
		assert.Equal(t, int64(4), most.Load())
		assert.Equal(t, int64(400), o.Done)
		assert.Equal(t, time.Second, o.Elapsed)
		assert.InDelta(t, 400, o.Rate(), 1e-9)
		assert.InEpsilon(t, 10*time.Millisecond, o.P(50), 0.001)
		assert.Zero(t, o.Failed)
	})
}

func TestANumberOfCallsIsMadeExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := pools.Drive(t.Context(), pools.Load{Workers: 7, For: time.Hour, Calls: 100}, sleeper(time.Millisecond))
		require.NoError(t, err)
		assert.Equal(t, int64(100), o.Done)
		assert.Equal(t, 15*time.Millisecond, o.Elapsed, "seven at once")
	})
}

func TestAnOpenLoopCountsFromWhenACallWasDueAndDropsWhatNobodyCanBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Two callers of 100 ms each serve 20 calls a second of some 200.
		o, err := pools.Drive(t.Context(), pools.Load{Workers: 2, Rate: 200, For: 10 * time.Second}, sleeper(100*time.Millisecond))
		require.NoError(t, err)
		assert.InDelta(t, 200, o.Done, 10)
		assert.InDelta(t, 1800, o.Dropped, 200)
		assert.InEpsilon(t, 100*time.Millisecond, o.P(100), 0.01, "who was begun at once waited for nobody")
	})
}

func TestTimeOutsAreCountedApartFromOtherFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		var n atomic.Int64
		slow := sleeper(time.Second)
		o, err := pools.Drive(t.Context(), pools.Load{Workers: 1, For: 400 * time.Millisecond, Timeout: 100 * time.Millisecond}, func(ctx context.Context) error {
			if n.Add(1) == 2 {
				return broken
			}
			return slow(ctx)
		})
		require.NoError(t, err)
		assert.Equal(t, int64(5), o.Failed)
		assert.Equal(t, int64(4), o.Late)
		assert.ErrorIs(t, o.First, broken, "a time-out tells less")
		assert.Zero(t, o.Done)
	})
}

func TestDrivingEndsWithItsContext(t *testing.T) {
	for _, rate := range []float64{0, 50} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			o, err := pools.Drive(ctx, pools.Load{Workers: 3, Rate: rate, For: time.Hour}, sleeper(10*time.Millisecond))
			require.NoError(t, err)
			assert.LessOrEqual(t, o.Elapsed, 2*time.Second)
			assert.Positive(t, o.Done)
		})
	}
}

func TestInterleavingShowsTheDearerOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, err := pools.Interleave(t.Context(), 3, 4, pools.Load{Workers: 2, For: 100 * time.Millisecond},
			pools.Contender{Name: "a", Do: sleeper(time.Millisecond)},
			pools.Contender{Name: "b", Do: sleeper(2 * time.Millisecond)})
		require.NoError(t, err)
		require.Len(t, out[0], 3)
		r := pools.RatioOf((*pools.Outcome).Rate, out[0], out[1])
		assert.InDelta(t, 0.5, r.Mean, 0.01)
		assert.Equal(t, int64(800), out[0][0].Done, "four slices of 100 ms with two workers")
	})
}

func TestDriveRefusesLoadsThatMakeNoSense(t *testing.T) {
	do := sleeper(0)
	for _, l := range []pools.Load{{For: time.Second}, {Workers: 1}, {Workers: 1, For: time.Second, Rate: -1}, {Workers: 1, For: time.Second, Timeout: -1},
		{Workers: 1, For: time.Second, Calls: -1}, {Workers: 1, For: time.Second, Calls: 1, Rate: 1}} {
		_, err := pools.Drive(t.Context(), l, do)
		assert.Error(t, err, "%+v", l)
	}
	_, err := pools.Interleave(t.Context(), 1, 1, pools.Load{Workers: 1, For: 1}, pools.Contender{Do: do})
	assert.ErrorContains(t, err, "at least 2")
}
