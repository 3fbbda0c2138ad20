package cache_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile/cache"
)

func TestASweepComesEveryFiveMinutesAndEndsWhenNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := cache.New(cache.Config[int, int]{Cost: func(int, int) int64 { return 1 }})
		require.NoError(t, err)
		assert.False(t, c.Armed(), "nothing to sweep")
		for k := range 5_000 { // more than a batch
			require.NoError(t, c.Set(k, k))
			require.NoError(t, c.SetFor(-1-k, k, time.Minute))
		}
		assert.True(t, c.Armed())
		synctest.Wait()
		time.Sleep(5*time.Minute - 1)
		synctest.Wait()
		assert.Equal(t, 10_000, c.Len(), "half of them have expired, but it is not time yet")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, 5_000, c.Len())
		time.Sleep(54 * time.Minute)
		synctest.Wait()
		assert.Equal(t, 5_000, c.Len())
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		assert.Zero(t, c.Len(), "the hour is over")
		assert.False(t, c.Armed(), "an empty cache is not swept")
		require.NoError(t, c.Set(1, 1))
		assert.True(t, c.Armed())
		require.NoError(t, c.Close())
		require.NoError(t, c.Close(), "twice")
		assert.ErrorIs(t, c.Set(1, 1), cache.ErrClosed)
		_, ok := c.Get(1)
		assert.False(t, ok)
		assert.Zero(t, c.Len())
		// synctest fails if a goroutine is left.
	})
}

func TestEntriesThatNeverExpireAreNotSwept(t *testing.T) {
	c, err := cache.New(cache.Config[int, int]{TTL: cache.NoLimit, Cost: func(int, int) int64 { return 1 }})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Set(1, 1))
	assert.False(t, c.Armed())
	require.NoError(t, c.SetFor(1, 1, time.Hour))
	assert.True(t, c.Armed())
}

func TestACacheThatIsForgottenIsCollected(t *testing.T) {
	freed := make(chan bool, 1)
	func() {
		c, err := cache.New(cache.Config[int, int]{TTL: time.Millisecond, SweepEvery: time.Millisecond, Cost: func(int, int) int64 { return 1 }})
		require.NoError(t, err)
		for k := range 1000 {
			require.NoError(t, c.Set(k, k))
		}
		runtime.AddCleanup(c, func(done chan bool) { done <- true }, freed)
	}()
	require.Eventually(t, func() bool { runtime.GC(); return len(freed) == 1 }, 10*time.Second, time.Millisecond)
}

func TestASweepLooksAtEveryPlace(t *testing.T) {
	for _, n := range []int{1, 2, 1023, 1024, 1025, 2048, 2049} { // around the size of a batch
		w := newWatch()
		c, err := cache.New(cache.Config[int, int]{Cost: func(int, int) int64 { return 1 }, Now: w.now})
		require.NoError(t, err)
		for k := range n {
			require.NoError(t, c.Set(k, k))
		}
		w.pass(time.Hour)
		assert.Equal(t, n, c.Sweep())
		assert.Zero(t, c.Len())
		require.NoError(t, c.Close())
	}
}

// The next sweep would hold it for an hour.
func TestACacheThatIsClosedIsCollectedAtOnce(t *testing.T) {
	freed := make(chan bool, 1)
	func() {
		c, err := cache.New(cache.Config[int, int]{SweepEvery: time.Hour, Cost: func(int, int) int64 { return 1 }})
		require.NoError(t, err)
		require.NoError(t, c.Set(1, 1))
		require.True(t, c.Armed())
		runtime.AddCleanup(c, func(done chan bool) { done <- true }, freed)
		require.NoError(t, c.Close())
	}()
	require.Eventually(t, func() bool { runtime.GC(); return len(freed) == 1 }, 10*time.Second, time.Millisecond)
}
