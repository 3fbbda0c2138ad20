package cache_test

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile/cache"
)

// watch is a clock that a test sets.
type watch struct{ t time.Time }

func newWatch() *watch                { return &watch{time.Unix(1_000_000, 0)} }
func (w *watch) now() time.Time       { return w.t }
func (w *watch) pass(d time.Duration) { w.t = w.t.Add(d) }

// departure is what OnEvict was told.
type departure struct {
	key   string
	value int
	why   cache.Reason
}

// small is a cache of 100 bytes in which a value is its cost, audited at the end.
func small(t *testing.T, w *watch, left *[]departure) *cache.Cache[string, int] {
	t.Helper()
	config := cache.Config[string, int]{
		MaxBytes: 100, TTL: time.Minute, Cost: func(_ string, v int) int64 { return int64(v) }, Now: w.now,
	}
	if left != nil {
		config.OnEvict = func(k string, v int, why cache.Reason) { *left = append(*left, departure{k, v, why}) }
	}
	c, err := cache.New(config)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, c.Audit())
		assert.NoError(t, c.Close())
	})
	return c
}

func TestWhatWasUsedLeastRecentlyLeavesFirst(t *testing.T) {
	var left []departure
	c := small(t, newWatch(), &left)
	for _, k := range []string{"a", "b", "c"} {
		require.NoError(t, c.Set(k, 30))
	}
	_, ok := c.Get("a")
	require.True(t, ok)
	require.NoError(t, c.Set("d", 30))
	assert.Equal(t, []string{"d", "a", "c"}, c.Keys())
	assert.Equal(t, []departure{{"b", 30, cache.Evicted}}, left)
	require.NoError(t, c.Set("e", 50), "one entry may need the room of several")
	assert.Equal(t, []string{"e", "d"}, c.Keys())
	require.NoError(t, c.Set("f", 100), "or of all")
	assert.Equal(t, []string{"f"}, c.Keys())
	s := c.Stats()
	assert.Equal(t, cache.Stats{Entries: 1, Bytes: 100, MaxBytes: 100, Hits: 1, Sets: 6, Evicted: 5}, s)
}

func TestOverwritingCountsTheKeyOnceAndNeverEvictsItForItself(t *testing.T) {
	var left []departure
	c := small(t, newWatch(), &left)
	require.NoError(t, c.Set("a", 40))
	require.NoError(t, c.Set("b", 40))
	require.NoError(t, c.Set("b", 10))
	assert.Equal(t, int64(50), c.Stats().Bytes)
	require.NoError(t, c.Set("a", 90), "a is the oldest, but it is b that leaves no room to lack")
	assert.Equal(t, int64(100), c.Stats().Bytes)
	require.NoError(t, c.Set("a", 91))
	assert.Equal(t, []string{"a"}, c.Keys())
	assert.Equal(t, []departure{
		{"b", 40, cache.Replaced}, {"a", 40, cache.Replaced}, {"a", 90, cache.Replaced}, {"b", 10, cache.Evicted},
	}, left)
	require.NoError(t, c.Set("a", 100))
	v, ok := c.Get("a")
	assert.True(t, ok)
	assert.Equal(t, 100, v)
}

func TestWhatCannotBeStoredIsRefusedAndTheOldValueLeaves(t *testing.T) {
	for name, test := range map[string]struct {
		value int
		ttl   time.Duration
		want  error
	}{
		"larger than the bound": {101, time.Hour, cache.ErrTooLarge},
		"as large as it gets":   {math.MaxInt, time.Hour, cache.ErrTooLarge},
		"no cost":               {0, time.Hour, cache.ErrCost},
		"negative cost":         {-1, time.Hour, cache.ErrCost},
		"the smallest cost":     {math.MinInt, time.Hour, cache.ErrCost},
		"no time to live":       {1, 0, cache.ErrTTL},
		"negative time to live": {1, -time.Second, cache.ErrTTL},
	} {
		t.Run(name, func(t *testing.T) {
			var left []departure
			c := small(t, newWatch(), &left)
			require.NoError(t, c.Set("a", 50))
			require.NoError(t, c.Set("b", 50))
			require.ErrorIs(t, c.SetFor("new", test.value, test.ttl), test.want)
			assert.Equal(t, []string{"b", "a"}, c.Keys(), "nothing makes room for it")
			require.ErrorIs(t, c.SetFor("a", test.value, test.ttl), test.want)
			assert.Equal(t, []string{"b"}, c.Keys())
			assert.Equal(t, []departure{{"a", 50, cache.Refused}}, left)
			s := c.Stats()
			assert.Equal(t, uint64(2), s.Refused)
			assert.Equal(t, int64(50), s.Bytes)
		})
	}
}

func TestAKeyThatNobodyCouldFindIsRefused(t *testing.T) {
	c, err := cache.New(cache.Config[any, int]{MaxBytes: 10, Cost: func(any, int) int64 { return 1 }})
	require.NoError(t, err)
	defer c.Close()
	assert.ErrorIs(t, c.Set(math.NaN(), 1), cache.ErrKey)
	assert.Zero(t, c.Len())
	assert.Panics(t, func() { _ = c.Set([]int{1}, 1) }, "as with a map")
	assert.Panics(t, func() { c.Get([]int{1}) })
	require.NoError(t, c.Set(1.5, 1), "and it is not locked for ever")
	assert.NoError(t, c.Audit())
}

func TestANilIsAValueLikeAnyOther(t *testing.T) {
	c, err := cache.New(cache.Config[string, []byte]{MaxBytes: 10, Cost: func(k string, v []byte) int64 { return int64(len(k) + len(v)) }})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Set("none", nil))
	v, ok := c.Get("none")
	assert.True(t, ok)
	assert.Nil(t, v)
	_, ok = c.Get("other")
	assert.False(t, ok)
}

func TestAnExpiredEntryIsNeverReturned(t *testing.T) {
	w := newWatch()
	var left []departure
	c := small(t, w, &left)
	require.NoError(t, c.Set("a", 10))
	require.NoError(t, c.SetFor("soon", 10, time.Second))
	require.NoError(t, c.SetFor("never", 10, cache.NoLimit))
	w.pass(time.Second - 1)
	_, ok := c.Get("soon")
	assert.True(t, ok, "a nanosecond before")
	w.pass(1)
	v, ok := c.Get("soon")
	assert.False(t, ok, "reading did not prolong it")
	assert.Zero(t, v)
	assert.Equal(t, []departure{{"soon", 10, cache.Expired}}, left)
	w.pass(time.Minute)
	assert.False(t, c.Delete("a"), "it was not there any more")
	require.NoError(t, c.SetFor("b", 10, time.Second))
	w.pass(time.Second)
	require.NoError(t, c.Set("b", 20))
	assert.Equal(t, []departure{{"soon", 10, cache.Expired}, {"a", 10, cache.Expired}, {"b", 10, cache.Expired}}, left)
	w.pass(200 * 365 * 24 * time.Hour)
	_, ok = c.Get("never")
	assert.True(t, ok)
	s := c.Stats()
	assert.Equal(t, uint64(3), s.Expired)
	assert.Equal(t, uint64(1), s.Misses)
	assert.Equal(t, int64(30), s.Bytes, "b, which is not known to have expired, and never")
}

func TestAClockThatIsSetBackReturnsNothingExpired(t *testing.T) {
	w := newWatch()
	c := small(t, w, nil)
	require.NoError(t, c.Set("a", 10)) // for a minute
	w.pass(59 * time.Second)
	_, ok := c.Get("a")
	require.True(t, ok)
	w.pass(-time.Hour)
	_, ok = c.Get("a")
	require.True(t, ok)
	require.NoError(t, c.Set("b", 10))
	w.pass(time.Second)
	_, ok = c.Get("a")
	assert.False(t, ok, "59 s and 1 s, whatever lay between")
	w.pass(58 * time.Second)
	_, ok = c.Get("b")
	assert.True(t, ok)
	w.pass(time.Second)
	_, ok = c.Get("b")
	assert.False(t, ok, "and the new time is the one that counts")
	require.NoError(t, c.SetFor("ever", 1, math.MaxInt64))
	_, ok = c.Get("ever")
	assert.True(t, ok, "later than time goes is never")
	for _, at := range []time.Time{{}, time.Unix(1<<40, 0), {}, time.Unix(1<<40, 0)} { // further than a duration reaches
		w.t = at
		require.NoError(t, c.Set("c", 1))
		require.NoError(t, c.SetFor("d", 1, math.MaxInt64))
	}
	assert.NoError(t, c.Audit())
}

func TestDeleteAndClearGiveAllBack(t *testing.T) {
	var left []departure
	c := small(t, newWatch(), &left)
	require.NoError(t, c.Set("a", 10))
	require.NoError(t, c.Set("b", 10))
	assert.True(t, c.Delete("a"))
	assert.False(t, c.Delete("a"), "twice")
	assert.Equal(t, int64(10), c.Stats().Bytes)
	c.Clear()
	assert.Zero(t, c.Stats().Bytes)
	assert.Zero(t, c.Len())
	require.NoError(t, c.Set("b", 100), "it goes on")
	assert.Equal(t, []departure{{"a", 10, cache.Deleted}, {"b", 10, cache.Deleted}}, left)
}

func TestACacheThatBecameEmptyGivesItsMemoryBack(t *testing.T) {
	c, err := cache.New(cache.Config[int, int]{Cost: func(int, int) int64 { return 1 }})
	require.NoError(t, err)
	defer c.Close()
	for k := range 10_000 {
		require.NoError(t, c.Set(k, k))
	}
	require.Greater(t, c.Chunks(), 10)
	for k := range 10_000 {
		require.True(t, c.Delete(k))
	}
	assert.Equal(t, 1, c.Chunks())
	require.NoError(t, c.Set(1, 1))
	assert.NoError(t, c.Audit())
}

func TestWhatHasLeftIsNotKeptAlive(t *testing.T) {
	c, err := cache.New(cache.Config[int, *[1 << 16]byte]{MaxBytes: 2, Cost: func(int, *[1 << 16]byte) int64 { return 1 }})
	require.NoError(t, err)
	defer c.Close()
	freed := make(chan int, 100)
	for k := range 10 {
		v := new([1 << 16]byte)
		runtime.AddCleanup(v, func(k int) { freed <- k }, k)
		require.NoError(t, c.Set(k, v))
	}
	require.True(t, c.Delete(9))
	require.Eventually(t, func() bool { runtime.GC(); return len(freed) == 9 }, 10*time.Second, time.Millisecond,
		"all but the one that is left")
	_, ok := c.Get(8)
	assert.True(t, ok)
}

func TestAFullCacheAllocatesNothing(t *testing.T) {
	c, err := cache.New(cache.Config[uint64, []byte]{MaxBytes: 1000, Cost: func(uint64, []byte) int64 { return 1 }})
	require.NoError(t, err)
	defer c.Close()
	value := make([]byte, 1)
	key := uint64(0)
	for ; key < 100_000; key++ { // until its index has its size
		require.NoError(t, c.Set(key, value))
	}
	assert.Zero(t, testing.AllocsPerRun(10_000, func() {
		_ = c.Set(key, value)
		c.Get(key - 500)
		key++
	}))
	assert.Equal(t, 1000, c.Len())
	assert.Equal(t, 4, c.Chunks(), "places of what has left are used again: 1,000 and the root, 256 in each")
}

// A hundred times the entries may cost some times the memory accesses, but not a hundred
// times the work.
func TestAnEvictionTakesAsLongInALargeCacheAsInASmallOne(t *testing.T) {
	evicting := func(entries int) time.Duration {
		c, err := cache.New(cache.Config[uint64, uint64]{MaxBytes: int64(entries), Cost: func(uint64, uint64) int64 { return 1 }})
		require.NoError(t, err)
		defer c.Close()
		key := uint64(0)
		for ; key < uint64(2*entries); key++ {
			require.NoError(t, c.Set(key, key))
		}
		least := time.Duration(math.MaxInt64)
		for range 20 { // that which others disturbed least
			began := time.Now()
			for range 200 {
				_ = c.Set(key, key)
				key++
			}
			least = min(least, time.Since(began))
		}
		require.GreaterOrEqual(t, c.Stats().Evicted, uint64(entries+20*200))
		return least
	}
	small, large := evicting(1_000), evicting(100_000)
	t.Logf("200 evictions: %v of 1,000 entries, %v of 100,000", small, large)
	assert.Less(t, large, 40*small)
}

func TestConfigThatCannotBeMeantIsAnError(t *testing.T) {
	one := func(int, int) int64 { return 1 }
	for field, config := range map[string]cache.Config[int, int]{
		"Cost":       {},
		"MaxBytes":   {Cost: one, MaxBytes: -1},
		"TTL":        {Cost: one, TTL: -2},
		"SweepEvery": {Cost: one, SweepEvery: time.Microsecond},
	} {
		_, err := cache.New(config)
		assert.ErrorContains(t, err, "Config."+field)
	}
	c, err := cache.New(cache.Config[int, int]{Cost: one})
	require.NoError(t, err)
	assert.Equal(t, int64(10<<20), c.Stats().MaxBytes)
	assert.NoError(t, c.Close())
}

// 10,000 sets and as many gets, of which most evict, with sums that are counted beside.
func TestTenThousandSetsAndGetsKeepTheBoundAndEvict(t *testing.T) {
	var evicted, gaveBack int64
	c, err := cache.New(cache.Config[int, []byte]{
		Cost: func(_ int, v []byte) int64 { return int64(len(v)) },
		OnEvict: func(_ int, v []byte, why cache.Reason) {
			if why == cache.Evicted {
				evicted++
			}
			gaveBack += int64(len(v))
		},
	})
	require.NoError(t, err)
	defer c.Close()
	r := rand.New(rand.NewPCG(1, 2))
	buffer := make([]byte, 8<<10)
	var stored int64
	for k := range 10_000 {
		n := 1 + r.IntN(len(buffer))
		require.NoError(t, c.Set(k, buffer[:n]))
		stored += int64(n)
		got, ok := c.Get(k)
		require.True(t, ok)
		require.Len(t, got, n)
		s := c.Stats()
		require.LessOrEqual(t, s.Bytes, int64(10<<20))
		require.Equal(t, stored-gaveBack, s.Bytes)
	}
	s := c.Stats()
	assert.Greater(t, evicted, int64(5_000), "40 MiB went through 10")
	assert.Equal(t, uint64(evicted), s.Evicted)
	assert.Equal(t, 10_000-int(evicted), s.Entries)
	assert.Greater(t, s.Bytes, int64(10<<20-8<<10), "it is full")
}
