package cache_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/gcprofile/cache"
)

// slowLRU is what a cache has to be, written to be read: a list of entries in the
// order of use, looked through from the front, and nothing kept that could be counted.
type slowLRU struct {
	bound, now int64
	entries    []slowEntry // the most recently used first
	stats      cache.Stats
	left       []slowEntry
}

type slowEntry struct {
	key, cost int64
	expires   int64 // 0 for never
	why       cache.Reason
}

func (l *slowLRU) at(key int64) int {
	return slices.IndexFunc(l.entries, func(e slowEntry) bool { return e.key == key })
}

func (l *slowLRU) expired(e slowEntry) bool { return e.expires != 0 && e.expires <= l.now }

func (l *slowLRU) bytes() (sum int64) {
	for _, e := range l.entries {
		sum += e.cost
	}
	return sum
}

func (l *slowLRU) drop(i int, why cache.Reason) {
	e := l.entries[i]
	e.why = why
	l.left = append(l.left, e)
	l.entries = slices.Delete(l.entries, i, i+1)
	switch why {
	case cache.Evicted:
		l.stats.Evicted++
	case cache.Expired:
		l.stats.Expired++
	}
}

func (l *slowLRU) get(key int64) (value int64, ok bool) {
	i := l.at(key)
	switch {
	case i >= 0 && l.expired(l.entries[i]):
		l.drop(i, cache.Expired)
		fallthrough
	case i < 0:
		l.stats.Misses++
		return 0, false
	}
	e := l.entries[i]
	l.entries = slices.Insert(slices.Delete(l.entries, i, i+1), 0, e)
	l.stats.Hits++
	return e.cost, true
}

func (l *slowLRU) set(key, cost, ttl int64) (ok bool) {
	i := l.at(key)
	if cost < 1 || cost > l.bound || ttl <= 0 && ttl != -1 {
		if i >= 0 {
			l.drop(i, cache.Refused)
		}
		l.stats.Refused++
		return false
	}
	if i >= 0 {
		why := cache.Replaced
		if l.expired(l.entries[i]) {
			why = cache.Expired
		}
		l.drop(i, why)
	}
	for l.bytes()+cost > l.bound {
		l.drop(len(l.entries)-1, cache.Evicted)
	}
	e := slowEntry{key: key, cost: cost, expires: l.now + ttl}
	if ttl == -1 {
		e.expires = 0
	}
	l.entries = slices.Insert(l.entries, 0, e)
	l.stats.Sets++
	return true
}

func (l *slowLRU) delete(key int64) (live bool) {
	i := l.at(key)
	if i < 0 {
		return false
	}
	if l.expired(l.entries[i]) {
		l.drop(i, cache.Expired)
		return false
	}
	l.drop(i, cache.Deleted)
	return true
}

func (l *slowLRU) sweep() (n int) {
	for i := len(l.entries) - 1; i >= 0; i-- {
		if l.expired(l.entries[i]) {
			l.drop(i, cache.Expired)
			n++
		}
	}
	return n
}

func (l *slowLRU) clear() {
	for i := len(l.entries) - 1; i >= 0; i-- {
		l.drop(i, cache.Deleted)
	}
}

// agree does what a program says to a cache and to a slowLRU, three bytes a step, and
// wants them to agree, and the cache's accounts to be right, at every one.
func agree(t *testing.T, program []byte) {
	w := newWatch()
	l := &slowLRU{bound: 100, now: 1}
	var left []slowEntry
	c, err := cache.New(cache.Config[int64, int64]{
		MaxBytes: l.bound, TTL: 20, SweepEvery: cache.NoLimit, Now: w.now,
		Cost:    func(_, v int64) int64 { return v },
		OnEvict: func(k, v int64, why cache.Reason) { left = append(left, slowEntry{key: k, cost: v, why: why}) },
	})
	require.NoError(t, err)
	defer c.Close()
	for ; len(program) >= 3; program = program[3:] {
		op, a, b := program[0]%16, int64(program[1]), int64(program[2])
		key := a % 24
		l.left, left = nil, nil
		step := fmt.Sprintf("step %d %d %d", op, a, b)
		switch op {
		case 0, 1, 2, 3, 4:
			got, ok := c.Get(key)
			want, found := l.get(key)
			require.Equal(t, found, ok, step)
			require.Equal(t, want, got, step)
		case 5, 6, 7, 8:
			cost := b % 32
			require.Equal(t, l.set(key, cost, 20), c.Set(key, cost) == nil, step)
		case 9:
			cost := b - 64 // also none, negative, and larger than the bound
			require.Equal(t, l.set(key, cost, 20), c.Set(key, cost) == nil, step)
		case 10:
			ttl := b%16 - 2
			require.Equal(t, l.set(key, 9, ttl), c.SetFor(key, 9, time.Duration(ttl)) == nil, step)
		case 11:
			require.Equal(t, l.delete(key), c.Delete(key), step)
		case 12, 13:
			w.pass(time.Duration(b % 8))
			l.now += b % 8
		case 14:
			// Seen by the cache before the clock is set back, and again after.
			c.Sweep()
			l.sweep()
			w.pass(-time.Duration(b))
			require.Zero(t, c.Sweep(), step)
		case 15:
			if b >= 8 {
				require.Equal(t, l.sweep(), c.Sweep(), step)
			} else {
				c.Clear()
				l.clear()
			}
		}
		var order []int64
		for _, e := range l.entries {
			order = append(order, e.key)
		}
		require.Equal(t, order, c.Keys(), step)
		require.NoError(t, c.Audit(), step)
		want := l.stats
		want.Entries, want.Bytes, want.MaxBytes = len(l.entries), l.bytes(), l.bound
		require.Equal(t, want, c.Stats(), step)
		for i := range l.left {
			l.left[i].expires = 0
		}
		require.ElementsMatch(t, l.left, left, step) // a sweep goes by place
	}
}

func FuzzTheCacheAgreesWithASlowReference(f *testing.F) {
	f.Add([]byte{5, 1, 30, 5, 2, 30, 5, 3, 30, 0, 1, 0, 5, 4, 30})
	f.Add([]byte{10, 1, 4, 12, 0, 3, 14, 0, 200, 0, 1, 0, 15, 0, 9})
	f.Add([]byte{9, 1, 164, 9, 1, 165, 9, 1, 64, 15, 0, 0})
	f.Fuzz(agree)
}

func TestTheCacheAgreesWithASlowReferenceAtEveryStep(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 7))
		program := make([]byte, 3*400)
		for i := range program {
			program[i] = byte(r.Uint32())
		}
		agree(t, program)
	}
}
