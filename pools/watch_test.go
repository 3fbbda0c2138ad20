package pools_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/pools"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// total is a counter that a pool would keep.
type total struct{ waits int64 }

func TestAMonitorJudgesWhatHappenedWithinTheIntervalOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits atomic.Int64
		waits.Store(1_000_000)
		var alerts []pools.Alert
		m, err := pools.Watch(t.Context(), pools.Watching[total]{
			Every: time.Second,
			Read:  func() total { return total{waits: waits.Load()} },
			Judge: func(before, now total, within time.Duration) []pools.Alert {
				if n := now.waits - before.waits; n > 100 {
					return []pools.Alert{{Rule: "waits", Value: float64(n), Limit: 100, Unit: "waits"}}
				}
				return nil
			},
			Alert: func(a pools.Alert) { alerts = append(alerts, a) },
		})
		require.NoError(t, err)

		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		assert.Empty(t, alerts, "a large total is no news")

		waits.Add(101)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, alerts, 1)
		assert.Equal(t, 101.0, alerts[0].Value)
		assert.Equal(t, time.Second, alerts[0].Within)

		time.Sleep(time.Second)
		m.Stop()
		m.Stop()
		assert.Len(t, alerts, 1, "what is over is not told again")
		last, samples := m.Last()
		assert.Equal(t, total{waits: waits.Load()}, last)
		assert.Equal(t, 4, samples, "the first at the start, then one each second")
	})
}

func TestAMonitorEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m, err := pools.Watch(ctx, pools.Watching[total]{
			Every: time.Second,
			Read:  func() total { return total{} },
			Judge: func(total, total, time.Duration) []pools.Alert { return nil },
			Alert: func(pools.Alert) {},
		})
		require.NoError(t, err)
		cancel()
		synctest.Wait()
		time.Sleep(3 * time.Second)
		_, samples := m.Last()
		assert.Equal(t, 1, samples)
		m.Stop()
	})
}

func TestAMonitorRefusesWhatItCannotDo(t *testing.T) {
	_, err := pools.Watch(t.Context(), pools.Watching[total]{Every: time.Microsecond})
	assert.ErrorContains(t, err, "at least 1 ms")
	_, err = pools.Watch(t.Context(), pools.Watching[total]{Every: time.Second})
	assert.ErrorContains(t, err, "are all needed")
}
