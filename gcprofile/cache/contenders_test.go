package cache_test

import (
	"container/list"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/maypok86/otter/v2"

	"netbench/gcprofile/cache"
	"netbench/gcprofile/cache/traces"
)

// store is a cache of whatever make.
type store[K comparable, V any] interface {
	Get(K) (V, bool)
	Set(K, V)
	Len() int
	Close()
}

// Names of the caches that are set beside each other.
const (
	ours      = "netbench"
	plainLRU  = "golang-lru"           // bounded in entries, without expiry
	agingLRU  = "golang-lru-expirable" // bounded in entries
	otterName = "otter"
)

// allCaches are those that tests, benchmarks and the service may use in a process of
// its own; quietCaches leave no goroutine behind, which an expirable.LRU does.
var (
	allCaches   = []string{ours, plainLRU, agingLRU, otterName}
	quietCaches = []string{ours, plainLRU, otterName}
)

// newStore makes a cache, with an expiry of an hour where it has one. One that cannot
// be bounded in bytes is bounded in entries instead, to as many as fit if each costs
// mean.
func newStore[K comparable, V any](name string, bound, mean int64, cost func(K, V) int64) (store[K, V], error) {
	const ttl = time.Hour
	switch name {
	case ours:
		c, err := cache.New(cache.Config[K, V]{MaxBytes: bound, TTL: ttl, Cost: cost})
		return oursStore[K, V]{c}, err
	case plainLRU:
		c, err := lru.New[K, V](int(bound / mean))
		return plainStore[K, V]{c}, err
	case agingLRU:
		return agingStore[K, V]{expirable.NewLRU[K, V](int(bound/mean), nil, ttl)}, nil
	case otterName:
		c, err := otter.New(&otter.Options[K, V]{
			MaximumWeight: uint64(bound), ExpiryCalculator: otter.ExpiryWriting[K, V](ttl),
			Weigher: func(k K, v V) uint32 { return uint32(cost(k, v)) },
		})
		return otterStore[K, V]{c}, err
	}
	return nil, fmt.Errorf("unknown cache %q (want one of %q)", name, allCaches)
}

type oursStore[K comparable, V any] struct{ c *cache.Cache[K, V] }

func (s oursStore[K, V]) Get(k K) (V, bool) { return s.c.Get(k) }
func (s oursStore[K, V]) Set(k K, v V)      { _ = s.c.Set(k, v) }
func (s oursStore[K, V]) Len() int          { return s.c.Len() }
func (s oursStore[K, V]) Close()            { _ = s.c.Close() }

type plainStore[K comparable, V any] struct{ c *lru.Cache[K, V] }

func (s plainStore[K, V]) Get(k K) (V, bool) { return s.c.Get(k) }
func (s plainStore[K, V]) Set(k K, v V)      { s.c.Add(k, v) }
func (s plainStore[K, V]) Len() int          { return s.c.Len() }
func (s plainStore[K, V]) Close()            { s.c.Purge() }

type agingStore[K comparable, V any] struct{ c *expirable.LRU[K, V] }

func (s agingStore[K, V]) Get(k K) (V, bool) { return s.c.Get(k) }
func (s agingStore[K, V]) Set(k K, v V)      { s.c.Add(k, v) }
func (s agingStore[K, V]) Len() int          { return s.c.Len() }
func (s agingStore[K, V]) Close()            { s.c.Purge() }

type otterStore[K comparable, V any] struct{ c *otter.Cache[K, V] }

func (s otterStore[K, V]) Get(k K) (V, bool) { return s.c.GetIfPresent(k) }
func (s otterStore[K, V]) Set(k K, v V)      { s.c.Set(k, v) }

func (s otterStore[K, V]) Len() int {
	s.c.CleanUp() // what it still has to do
	return s.c.EstimatedSize()
}

func (s otterStore[K, V]) Close() {
	s.c.InvalidateAll()
	s.c.StopAllGoroutines()
}

// quickLRU is slowLRU without expiry, by a list and a map, for traces that are too long
// for that one. A test holds the two against each other.
type quickLRU struct {
	bound, bytes int64
	order        list.List // of *traces.Request
	at           map[uint64]*list.Element
}

func newQuickLRU(bound int64) *quickLRU {
	return &quickLRU{bound: bound, at: map[uint64]*list.Element{}}
}

// ask tells whether a request hits, and stores what it misses.
func (l *quickLRU) ask(r traces.Request) (hit bool) {
	if e := l.at[r.Key]; e != nil {
		l.order.MoveToFront(e)
		return true
	}
	for l.bytes+int64(r.Size) > l.bound {
		old := l.order.Remove(l.order.Back()).(traces.Request)
		l.bytes -= int64(old.Size)
		delete(l.at, old.Key)
	}
	l.at[r.Key] = l.order.PushFront(r)
	l.bytes += int64(r.Size)
	return false
}

// hitsOf is how many requests of a trace hit in the reference.
func hitsOf(trace []traces.Request, bound int64) (hits int) {
	l := newQuickLRU(bound)
	for _, r := range trace {
		if l.ask(r) {
			hits++
		}
	}
	return hits
}

// pages is a cache as the traces use it.
type pages = store[uint64, []byte]

func newPages(name string, bound int64) (pages, error) {
	return newStore(name, bound, traces.FixedSize, func(_ uint64, v []byte) int64 { return int64(len(v)) })
}

// content is what all pages are, as traces look at their sizes only.
var content = make([]byte, traces.MaxSize)

// ask makes requests, and stores what it misses.
func ask(c pages, trace []traces.Request) (hits int) {
	for _, r := range trace {
		if _, ok := c.Get(r.Key); ok {
			hits++
		} else {
			c.Set(r.Key, content[:r.Size:r.Size])
		}
	}
	return hits
}
