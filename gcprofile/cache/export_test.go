package cache

import "fmt"

// Keys are those of all entries, the most recently used first.
func (c *Cache[K, V]) Keys() (keys []K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := c.slab.at(root).next; i != root; i = c.slab.at(i).next {
		keys = append(keys, c.slab.at(i).key)
	}
	return keys
}

// Armed tells whether a sweep is due at some time.
func (c *Cache[K, V]) Armed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.armed
}

// Chunks is how many of them the slab has.
func (c *Cache[K, V]) Chunks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.slab.chunks)
}

// Audit counts everything anew, and says what does not agree with the accounts.
func (c *Cache[K, V]) Audit() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var bytes int64
	entries, aging := 0, 0
	before := uint32(root)
	for i := c.slab.at(root).next; i != root; i = c.slab.at(i).next {
		n := c.slab.at(i)
		if n.prev != before {
			return fmt.Errorf("before place %d is %d, but it says %d", i, before, n.prev)
		}
		if at, ok := c.index[n.key]; !ok || at != i {
			return fmt.Errorf("key %v is at %d, its index says %d (%t)", n.key, i, at, ok)
		}
		if n.cost < 1 {
			return fmt.Errorf("key %v costs %d", n.key, n.cost)
		}
		if n.expires != never {
			aging++
		}
		bytes += n.cost
		entries++
		before = i
	}
	free := 0
	for i := c.slab.free; i != root; i = c.slab.at(i).next {
		if n := c.slab.at(i); n.cost != 0 {
			return fmt.Errorf("free place %d costs %d", i, n.cost)
		}
		free++
	}
	switch {
	case c.slab.last() != before:
		return fmt.Errorf("the last entry is at %d, the list ends at %d", c.slab.last(), before)
	case bytes != c.bytes:
		return fmt.Errorf("entries cost %d bytes in all, %d are accounted", bytes, c.bytes)
	case bytes > c.config.MaxBytes:
		return fmt.Errorf("entries cost %d bytes in all, the bound is %d", bytes, c.config.MaxBytes)
	case entries != len(c.index):
		return fmt.Errorf("%d entries are listed, %d indexed", entries, len(c.index))
	case aging != c.aging:
		return fmt.Errorf("%d entries expire, %d are accounted", aging, c.aging)
	case int(c.slab.used) != 1+entries+free:
		return fmt.Errorf("of %d places one is the root, %d are entries, %d are free", c.slab.used, entries, free)
	}
	return nil
}
