package cache

import "time"

// sweepBatch is how many places a sweep looks at before it lets others have the cache: a
// few µs where nothing has expired, 0.1 ms where all has (BenchmarkSweep).
const sweepBatch = 1024

// Sweep removes all entries that had expired when it was called, and returns how many
// it removed. The cache stays usable meanwhile: it is locked for a thousand entries at
// a time.
func (c *Cache[K, V]) Sweep() int {
	total := 0
	for from, more := uint32(root+1), true; more; from += sweepBatch {
		var left []gone[K, V]
		var n int
		n, left, more = c.sweep(from)
		c.tell(left)
		total += n
	}
	return total
}

// sweep looks at a batch of places. more tells whether there are others behind it.
func (c *Cache[K, V]) sweep(from uint32) (removed int, left []gone[K, V], more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	end := uint32(min(uint64(from)+sweepBatch, uint64(c.slab.used)))
	for i := from; i < end; i++ {
		if n := c.slab.at(i); n.cost > 0 && n.expires <= now {
			left = c.note(left, i, Expired)
			c.remove(i, Expired)
			removed++
		}
	}
	more = end < c.slab.used
	c.shrink()
	return removed, left, more
}

// arm sees to it that there will be a sweep, if there is what may expire. There is no
// goroutine that waits for it, so none can leak, and a cache without such entries is
// known to nobody but its users.
func (c *Cache[K, V]) arm() {
	if c.armed || c.aging == 0 || c.config.SweepEvery == NoLimit {
		return
	}
	c.armed = true
	if c.timer == nil {
		c.timer = time.AfterFunc(c.config.SweepEvery, c.sweepOnTime)
		return
	}
	c.timer.Reset(c.config.SweepEvery)
}

// sweepOnTime is a sweep that comes by itself, and sees to the next one.
func (c *Cache[K, V]) sweepOnTime() {
	c.Sweep()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = false
	if !c.closed {
		c.arm()
	}
}
