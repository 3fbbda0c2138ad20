package cache

// Stats is what a cache holds, and what it has done since it was made.
type Stats struct {
	Entries  int   `json:"entries"`   // expired ones that were not removed yet included
	Bytes    int64 `json:"bytes"`     // sum of their costs
	MaxBytes int64 `json:"max_bytes"` // that it is bounded to

	Hits    uint64 `json:"hits"`
	Misses  uint64 `json:"misses"`  // Gets that found nothing, or what had expired
	Sets    uint64 `json:"sets"`    // that stored something
	Refused uint64 `json:"refused"` // Sets that did not
	Evicted uint64 `json:"evicted"` // entries that made room for others
	Expired uint64 `json:"expired"` // entries that were found to be out of time when they left
}

// HitRatio is the share of Gets that hit, 0 to 1. ok is false if there were none.
func (s Stats) HitRatio() (ratio float64, ok bool) {
	n := s.Hits + s.Misses
	return float64(s.Hits) / float64(max(n, 1)), n > 0
}

// Stats may be called at any time, also after Close.
func (c *Cache[K, V]) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.counts
	s.Entries, s.Bytes, s.MaxBytes = len(c.index), c.bytes, c.config.MaxBytes
	return s
}

// Len is the number of entries, expired ones that were not removed yet included.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.index)
}
