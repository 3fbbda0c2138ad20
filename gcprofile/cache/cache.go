package cache

import (
	"fmt"
	"sync"
	"time"
)

// Cache is made by [New]. Its methods are safe for concurrent use.
type Cache[K comparable, V any] struct {
	config Config[K, V]
	made   time.Time

	mu     sync.Mutex
	index  map[K]uint32 // where an entry is in the slab
	slab   slab[K, V]
	bytes  int64 // sum of the entries' costs
	aging  int   // entries that expire at some time
	counts Stats
	closed bool

	reading, elapsed int64 // of an injected clock: its last reading, and its steps forward

	timer *time.Timer // of the next sweep, nil before the first
	armed bool
}

// New makes a cache, which is empty and allocates for what it holds only. The error
// names the field that is bad.
//
// Close ends it. One that is forgotten instead is collected by the garbage collector
// once all its entries that may expire have and were swept; until then its next sweep
// holds it.
func New[K comparable, V any](config Config[K, V]) (*Cache[K, V], error) {
	config, err := config.check()
	if err != nil {
		return nil, err
	}
	c := &Cache[K, V]{config: config, made: time.Now()}
	if config.Now != nil {
		c.made = config.Now()
	}
	c.reset()
	return c, nil
}

// gone is an entry that has left.
type gone[K comparable, V any] struct {
	key   K
	value V
	why   Reason
}

// Get returns the value of a key, which then is the most recently used. ok is false if
// there is none, or if it has expired; the value is V's zero then. A nil that was
// stored is found like any value.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	value, found, expired := c.get(key)
	if expired {
		if c.config.OnEvict != nil {
			c.config.OnEvict(key, value, Expired)
		}
		var zero V
		return zero, false
	}
	return value, found
}

func (c *Cache[K, V]) get(key K) (value V, found, expired bool) {
	c.mu.Lock()
	defer c.mu.Unlock() // also if the key is an interface that cannot be hashed, which panics
	i, found := c.index[key]
	if !found {
		c.counts.Misses++
		return value, false, false
	}
	n := c.slab.at(i)
	value = n.value
	if n.expires != never && c.now() >= n.expires {
		c.counts.Misses++
		c.remove(i, Expired)
		c.shrink()
		return value, false, true
	}
	c.counts.Hits++
	c.slab.touch(i)
	return value, true, false
}

// Set stores a value for the time of [Config.TTL], in place of the one that the key
// has, and evicts what is in the way. It is the most recently used then.
//
// What cannot be stored is refused with an error that wraps [ErrTooLarge] (a cost of
// more than MaxBytes; nothing else is evicted for it), [ErrCost], [ErrTTL], [ErrKey] (a
// NaN, which nobody could ever find again) or [ErrClosed]. The value that the key had
// leaves also then: it is out of date.
func (c *Cache[K, V]) Set(key K, value V) error { return c.SetFor(key, value, c.config.TTL) }

// SetFor is Set with a time to live of its own, more than 0, or NoLimit.
func (c *Cache[K, V]) SetFor(key K, value V, ttl time.Duration) error {
	left, err := c.set(key, value, c.config.Cost(key, value), ttl)
	c.tell(left)
	return err
}

func (c *Cache[K, V]) set(key K, value V, cost int64, ttl time.Duration) (left []gone[K, V], err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, found := c.index[key]
	if err := c.refusal(key, cost, ttl); err != nil {
		c.counts.Refused++
		if found {
			left = c.note(left, i, Refused)
			c.remove(i, Refused)
			c.shrink()
		}
		return left, err
	}
	c.counts.Sets++
	now := c.now()
	var n *node[K, V]
	if found {
		n = c.slab.at(i)
		why := Replaced
		if n.expires <= now {
			why = Expired
			c.counts.Expired++
		}
		left = c.note(left, i, why)
		// It gives back what it had before room is made for what it gets. As the most
		// recently used, it is not evicted for itself.
		c.bytes -= n.cost
		n.cost = 0
		c.forgetAge(n)
		c.slab.touch(i)
		left = c.makeRoom(left, cost)
	} else {
		left = c.makeRoom(left, cost)
		i = c.slab.take()
		n = c.slab.at(i)
		n.key = key
		c.index[key] = i
		c.slab.link(i)
	}
	n.value, n.cost, n.expires = value, cost, after(now, ttl)
	c.bytes += cost
	if n.expires != never {
		c.aging++
	}
	c.arm()
	return left, nil
}

// refusal is why an entry cannot be stored.
func (c *Cache[K, V]) refusal(key K, cost int64, ttl time.Duration) error {
	switch {
	case c.closed:
		return fmt.Errorf("cache: set: %w", ErrClosed)
	case cost > c.config.MaxBytes:
		return fmt.Errorf("cache: set an entry of %d bytes in a cache of %d: %w", cost, c.config.MaxBytes, ErrTooLarge)
	case cost < 1:
		return fmt.Errorf("cache: set an entry of cost %d: %w", cost, ErrCost)
	case ttl <= 0 && ttl != NoLimit:
		return fmt.Errorf("cache: set an entry for %v: %w", ttl, ErrTTL)
	case key != key:
		return fmt.Errorf("cache: set %v: %w", key, ErrKey)
	}
	return nil
}

// makeRoom evicts until an entry of that cost fits, which is at most MaxBytes.
func (c *Cache[K, V]) makeRoom(left []gone[K, V], cost int64) []gone[K, V] {
	for c.bytes > c.config.MaxBytes-cost {
		last := c.slab.last()
		left = c.note(left, last, Evicted)
		c.remove(last, Evicted)
	}
	return left
}

// Delete removes a key, and tells whether it had a value that had not expired.
func (c *Cache[K, V]) Delete(key K) bool {
	left, live := c.delete(key)
	c.tell(left)
	return live
}

func (c *Cache[K, V]) delete(key K) (left []gone[K, V], live bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, found := c.index[key]
	if !found {
		return nil, false
	}
	why := Deleted
	if e := c.slab.at(i).expires; e != never && c.now() >= e {
		why = Expired
	}
	left = c.note(left, i, why)
	c.remove(i, why)
	c.shrink()
	return left, why == Deleted
}

// Clear removes all entries and gives their memory back.
func (c *Cache[K, V]) Clear() { c.tell(c.clear(false)) }

// Close removes all entries and ends sweeping. Nothing can be set from then on, and
// nothing is found. It may be called several times, and always returns nil. A sweep
// that is under way may still tell OnEvict of what it has removed.
func (c *Cache[K, V]) Close() error {
	c.tell(c.clear(true))
	return nil
}

func (c *Cache[K, V]) clear(closing bool) (left []gone[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if closing {
		c.closed = true
		if c.timer != nil {
			c.timer.Stop()
		}
	}
	if c.config.OnEvict != nil {
		for i := c.slab.last(); i != root; i = c.slab.at(i).prev {
			left = c.note(left, i, Deleted)
		}
	}
	c.reset()
	return left
}

// remove takes an entry out, and forgets what it referred to.
func (c *Cache[K, V]) remove(i uint32, why Reason) {
	n := c.slab.at(i)
	switch why {
	case Evicted:
		c.counts.Evicted++
	case Expired:
		c.counts.Expired++
	}
	c.bytes -= n.cost
	c.forgetAge(n)
	delete(c.index, n.key)
	c.slab.unlink(i)
	c.slab.give(i)
}

// note adds an entry to those that OnEvict is to be told of, if there is one.
func (c *Cache[K, V]) note(left []gone[K, V], i uint32, why Reason) []gone[K, V] {
	if c.config.OnEvict == nil {
		return nil
	}
	n := c.slab.at(i)
	return append(left, gone[K, V]{n.key, n.value, why})
}

// tell tells OnEvict, with the cache unlocked.
func (c *Cache[K, V]) tell(left []gone[K, V]) {
	for _, g := range left {
		c.config.OnEvict(g.key, g.value, g.why)
	}
}

// reset makes the cache empty.
func (c *Cache[K, V]) reset() {
	c.index = make(map[K]uint32)
	c.slab.reset()
	c.bytes, c.aging = 0, 0
}

// forgetAge no longer counts an entry among those that expire.
func (c *Cache[K, V]) forgetAge(n *node[K, V]) {
	if n.expires != never {
		c.aging--
	}
}

// shrink gives the memory of a cache back that has become empty. Neither maps nor
// slabs become smaller otherwise.
func (c *Cache[K, V]) shrink() {
	if len(c.index) == 0 && len(c.slab.chunks) > 1 {
		c.reset()
	}
}
