package cache_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile/cache"
)

// page is a value that says what it is.
type page struct {
	key   uint64
	bytes int64
}

func TestManyGoroutinesNeverSeeTheBoundBrokenNorAnothersValue(t *testing.T) {
	const workers, steps, bound = 16, 4_000, 5_000
	var in, out atomic.Int64 // bytes
	c, err := cache.New(cache.Config[uint64, page]{
		MaxBytes: bound, TTL: 200 * time.Microsecond, SweepEvery: time.Millisecond,
		Cost: func(_ uint64, p page) int64 { return p.bytes },
		OnEvict: func(key uint64, p page, _ cache.Reason) {
			if key != p.key {
				t.Errorf("key %d left with the value of %d", key, p.key)
			}
			out.Add(p.bytes)
		},
	})
	require.NoError(t, err)
	done := make(chan struct{})
	var audits sync.WaitGroup
	audits.Go(func() {
		for {
			if err := c.Audit(); err != nil {
				t.Error(err)
			}
			select {
			case <-done:
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
	})
	var all sync.WaitGroup
	for w := range uint64(workers) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(w, 1))
			for range steps {
				key := r.Uint64N(300)
				switch op := r.IntN(100); {
				case op < 50:
					if p, ok := c.Get(key); ok && p.key != key {
						t.Errorf("key %d has the value of %d", key, p.key)
					}
				case op < 90:
					p := page{key, 1 + r.Int64N(100)}
					if err := c.Set(key, p); err != nil {
						t.Error(err)
					}
					in.Add(p.bytes)
				case op < 97:
					c.Delete(key)
				case op < 99:
					c.Sweep()
				default:
					c.Clear()
				}
			}
		})
	}
	all.Wait()
	close(done)
	audits.Wait()
	// Fast goroutines may have left nothing that was old enough.
	require.NoError(t, c.Set(1, page{1, 1}))
	in.Add(1)
	require.Eventually(t, func() bool { return c.Stats().Expired > 0 }, 10*time.Second, time.Millisecond, "a sweep finds it")
	s := c.Stats()
	assert.NoError(t, c.Audit())
	assert.Positive(t, s.Evicted, "there was too little room")
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return in.Load() == out.Load() }, 10*time.Second, time.Millisecond,
		"all that came in has left, once")
	assert.Zero(t, c.Stats().Bytes)
}

func TestOnEvictMayUseAndCloseTheCache(t *testing.T) {
	var c *cache.Cache[int, int]
	var told atomic.Int32
	c, err := cache.New(cache.Config[int, int]{
		MaxBytes: 4, TTL: time.Hour, SweepEvery: cache.NoLimit,
		Cost: func(int, int) int64 { return 1 },
		OnEvict: func(k, _ int, why cache.Reason) {
			if told.Add(1) > 50 {
				_ = c.Close()
				return
			}
			c.Get(k)
			c.Stats()
			c.Sweep()
			_ = c.Set(k+100, 0) // which evicts another
		},
	})
	require.NoError(t, err)
	for k := range 10 {
		_ = c.Set(k, 0)
	}
	assert.ErrorIs(t, c.Set(1, 1), cache.ErrClosed)
	assert.Greater(t, told.Load(), int32(50))
	assert.NoError(t, c.Audit())
}

func TestCloseWhileOthersUseIt(t *testing.T) {
	for range 50 {
		c, err := cache.New(cache.Config[int, int]{MaxBytes: 10, SweepEvery: time.Millisecond, Cost: func(int, int) int64 { return 1 }})
		require.NoError(t, err)
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				for k := range 100 {
					_ = c.Set(k, w)
					c.Get(k)
				}
			})
		}
		all.Go(func() { _ = c.Close() })
		all.Go(func() { _ = c.Close() })
		all.Wait()
		assert.Zero(t, c.Len())
		assert.NoError(t, c.Audit())
	}
}
