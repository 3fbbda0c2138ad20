package cache_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile/cache"
	"netbench/gcprofile/cache/traces"
)

// everyTrace runs a test with each trace.
func everyTrace(t *testing.T, keys, n int, test func(t *testing.T, s traces.Spec, trace []traces.Request)) {
	for _, sizes := range []traces.Sizes{traces.Fixed, traces.Varying} {
		for _, name := range traces.Names() {
			t.Run(name+"/"+string(sizes), func(t *testing.T) {
				s := traces.Spec{Name: name, Sizes: sizes, Keys: keys, N: n, Seed: 11}
				trace, err := traces.Make(s)
				require.NoError(t, err)
				test(t, s, trace)
			})
		}
	}
}

func TestTheHitRatioIsThatOfTheReferenceOnEveryTrace(t *testing.T) {
	const bound = 256 << 10
	everyTrace(t, 1000, 20_000, func(t *testing.T, s traces.Spec, trace []traces.Request) {
		slow := &slowLRU{bound: bound}
		for _, r := range trace {
			if _, ok := slow.get(int64(r.Key)); !ok {
				slow.set(int64(r.Key), int64(r.Size), -1)
			}
		}
		assert.EqualValues(t, slow.stats.Hits, hitsOf(trace, bound), "the other reference")
		c, err := newPages(ours, bound)
		require.NoError(t, err)
		defer c.Close()
		assert.EqualValues(t, slow.stats.Hits, ask(c, trace))
		assert.Greater(t, slow.stats.Evicted, uint64(1000), "it was too small for all")
		if s.Name == "scan" {
			assert.Zero(t, slow.stats.Hits, "each leaves before its turn")
		} else {
			assert.Greater(t, slow.stats.Hits, uint64(len(trace)/5))
		}
		if s.Sizes == traces.Fixed { // what is bounded in entries is the same then
			other, err := newPages(plainLRU, bound)
			require.NoError(t, err)
			defer other.Close()
			assert.EqualValues(t, slow.stats.Hits, ask(other, trace), plainLRU)
		}
	})
}

func TestTheHitRatioIsThatOfTheReferenceAlsoWithExpiryAndSweeps(t *testing.T) {
	const bound = 256 << 10
	const ttl = 2 * time.Second // 2,000 requests
	everyTrace(t, 1000, 10_000, func(t *testing.T, _ traces.Spec, trace []traces.Request) {
		w := newWatch()
		slow := &slowLRU{bound: bound, now: 1}
		c, err := cache.New(cache.Config[uint64, []byte]{
			MaxBytes: bound, TTL: ttl, SweepEvery: cache.NoLimit, Now: w.now,
			Cost: func(_ uint64, v []byte) int64 { return int64(len(v)) },
		})
		require.NoError(t, err)
		defer c.Close()
		for i, r := range trace {
			w.pass(time.Millisecond)
			slow.now += int64(time.Millisecond)
			_, ok := c.Get(r.Key)
			_, want := slow.get(int64(r.Key))
			require.Equal(t, want, ok, "request %d", i)
			if !ok {
				require.NoError(t, c.Set(r.Key, content[:r.Size]))
				slow.set(int64(r.Key), int64(r.Size), int64(ttl))
			}
			if i%700 == 0 {
				require.Equal(t, slow.sweep(), c.Sweep())
			}
		}
		assert.Equal(t, slow.stats.Hits, c.Stats().Hits)
		assert.Equal(t, slow.bytes(), c.Stats().Bytes)
		assert.NoError(t, c.Audit())
	})
}
