package redis_test

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/redis"
)

func TestLimitsAreJudgedWithinTheIntervalAndAgainstTheMaximum(t *testing.T) {
	calm := redis.PoolStats{Size: 20, Total: 10, Idle: 2, InUse: 8, Hits: 1_000_000, Misses: 900_000, Waits: 5000, Timeouts: 70, Stale: 4000}
	for name, tc := range map[string]struct {
		change func(*redis.PoolStats)
		want   []string
	}{
		"large totals are no news":       {func(*redis.PoolStats) {}, nil},
		"one time-out":                   {func(s *redis.PoolStats) { s.Timeouts++ }, []string{"timeouts"}},
		"a hundred waits":                {func(s *redis.PoolStats) { s.Waits += 100 }, nil},
		"a wait more":                    {func(s *redis.PoolStats) { s.Waits += 101 }, []string{"waits"}},
		"few requests, all misses":       {func(s *redis.PoolStats) { s.Misses += 999 }, nil},
		"many requests, 9 in 10 hits":    {func(s *redis.PoolStats) { s.Hits += 900; s.Misses += 100 }, nil},
		"many requests, fewer hits":      {func(s *redis.PoolStats) { s.Hits += 899; s.Misses += 101 }, []string{"hits"}},
		"all open ones in use":           {func(s *redis.PoolStats) { s.Idle, s.InUse = 0, 10 }, nil},
		"four in five in use":            {func(s *redis.PoolStats) { s.Total, s.InUse = 20, 16 }, nil},
		"more than that":                 {func(s *redis.PoolStats) { s.Total, s.InUse = 20, 17 }, []string{"in-use"}},
		"as many replaced as there are":  {func(s *redis.PoolStats) { s.Stale += 20 }, nil},
		"more replaced than there are":   {func(s *redis.PoolStats) { s.Stale += 21 }, []string{"stale"}},
		"several":                        {func(s *redis.PoolStats) { s.Timeouts += 5; s.Waits += 500; s.InUse = 20 }, []string{"timeouts", "waits", "in-use"}},
		"a counter that begins at zero":  {func(s *redis.PoolStats) { s.Hits += math.MaxUint32 - 2000; s.Hits += 2000 }, nil},
		"a pool that was closed is calm": {func(s *redis.PoolStats) { s.Total, s.Idle, s.InUse = 0, 0, 0 }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			now := calm
			tc.change(&now)
			for prefix, pair := range map[string][2]redis.Stats{
				"":          {{Main: calm}, {Main: now}},
				"pipeline ": {{Main: calm, Pipeline: calm}, {Main: calm, Pipeline: now}},
			} {
				var got, want []string
				for _, a := range redis.RecommendedLimits().Judge(pair[0], pair[1], time.Second) {
					got = append(got, a.Rule)
					assert.NotEmpty(t, a.Cause)
					assert.NotEmpty(t, a.Advice)
					assert.NotEmpty(t, a.Unit)
					assert.NotContains(t, a.String(), "\n")
				}
				for _, rule := range tc.want {
					want = append(want, prefix+rule)
				}
				assert.Equal(t, want, got)
			}
		})
	}
}

func TestDifferencesAreRightWhereACounterBeginsAgain(t *testing.T) {
	before := redis.PoolStats{Hits: math.MaxUint32 - 9, Misses: math.MaxUint32, Waited: time.Second}
	now := redis.PoolStats{Hits: 90, Misses: 0, Waited: 3 * time.Second}
	d := now.Since(before)
	assert.Equal(t, uint32(100), d.Hits)
	assert.Equal(t, uint32(1), d.Misses)
	assert.Equal(t, 2*time.Second, d.Waited)
	assert.Equal(t, uint64(101), d.Requests())
	assert.True(t, math.IsNaN(redis.PoolStats{}.HitShare()))
	assert.Zero(t, redis.PoolStats{}.MeanWait())
}

func TestTheMonitorNamesAPoolThatIsTooSmallAndFallsSilentAfterwards(t *testing.T) {
	s := onDemand(1)
	s.PoolTimeout, s.Retries = time.Millisecond, 0
	p := open(t, server(t).Options(), s)
	var mu sync.Mutex
	told := map[string]pools.Alert{}
	l := redis.RecommendedLimits()
	l.Every = 20 * time.Millisecond
	m, err := p.Watch(t.Context(), l, func(a pools.Alert) {
		mu.Lock()
		defer mu.Unlock()
		told[a.Rule] = a
	})
	require.NoError(t, err)
	defer m.Stop()
	free := hold(t, p, 1)
	assert.Error(t, p.Do(t.Context()))
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(told) == 2
	}, 30*time.Second, time.Millisecond)
	free()
	mu.Lock()
	assert.Equal(t, 1.0, told["timeouts"].Value)
	assert.Contains(t, told["timeouts"].Advice, "make Size larger")
	assert.Equal(t, 1.0, told["in-use"].Value)
	mu.Unlock()

	calmAfter := func(n int) func() bool { return func() bool { _, now := m.Last(); return now >= n } }
	_, then := m.Last()
	require.Eventually(t, calmAfter(then+2), 30*time.Second, time.Millisecond)
	mu.Lock()
	clear(told)
	mu.Unlock()
	require.Eventually(t, calmAfter(then+5), 30*time.Second, time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	assert.Empty(t, told, "what is over is not told again")
	last, _ := m.Last()
	assert.Equal(t, uint32(1), last.Main.Timeouts)
}

func TestWatchRefusesLimitsThatMakeNoSense(t *testing.T) {
	p := open(t, server(t).Options(), onDemand(1))
	for _, spoil := range []func(*redis.Limits){
		func(l *redis.Limits) { l.Every = 0 },
		func(l *redis.Limits) { l.Timeouts = -1 },
		func(l *redis.Limits) { l.HitShare = math.NaN() },
		func(l *redis.Limits) { l.InUse = 1.1 },
		func(l *redis.Limits) { l.Stale = math.NaN() },
	} {
		l := redis.RecommendedLimits()
		spoil(&l)
		_, err := p.Watch(t.Context(), l, func(pools.Alert) {})
		assert.Error(t, err, "%+v", l)
	}
}
