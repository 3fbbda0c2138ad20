package buffers

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
)

// Defaults of [PoolOptions], in bytes.
const (
	DefaultMinSize = 512
	DefaultMaxSize = 4 << 20
	DefaultKeep    = 1 << 20
)

// PoolOptions say what a [Pool] keeps. The zero value of each field is sane.
type PoolOptions struct {
	// MinSize and MaxSize are the sizes of the smallest and of the largest class
	// in bytes, powers of two up to 1 GiB. There is a class for each power between.
	// Larger buffers are made and never kept: they are rare, and a pool would hold
	// on to much memory for little.
	MinSize, MaxSize int

	// Keep is the most bytes that a class keeps free, at least one buffer. What
	// is put back beyond it is left to the collector. More saves allocations
	// after a burst and costs memory between bursts.
	Keep int
}

// Pool lends buffers of size classes and keeps a bounded number of them.
//
// Borrowing from a sync.Pool takes no lock, as its content belongs to processors, but
// nothing bounds it: after a burst it holds all that was lent at once,
// until the second collection from then, and a collection empties it whether or
// not it will be needed. Here each class is a stack under a lock: the buffer that
// was used last, whose memory is in the caches, is lent next; no more than Keep
// bytes are ever kept; and a collection takes nothing away.
//
// A buffer is never lent twice at once. The mistake that would do it, putting it
// back twice, panics at the second time. The methods may be called from several
// goroutines.
type Pool struct {
	minBits  int
	classes  []class
	oversize atomic.Uint64
}

// class holds the free buffers of one size.
type class struct {
	mu   sync.Mutex
	free []*Buffer
	most int // length of free that is never exceeded

	hits, misses, dropped uint64

	_ [64]byte // so that two classes' locks do not share a cache line
}

// Buffer is memory that a [Pool] lends. It is a box, so that giving it back does
// not allocate.
type Buffer struct {
	// B is empty when lent, with the capacity that was asked for or more. The
	// borrower may append to it, also beyond its capacity: what append then
	// allocated is forgotten when the buffer is put back.
	B []byte

	memory []byte // all of it, as it was made
	pool   *Pool
	class  int
	lent   atomic.Bool
}

// NewPool makes a pool. The error names the option that makes no sense.
func NewPool(o PoolOptions) (*Pool, error) {
	if o.MinSize == 0 {
		o.MinSize = DefaultMinSize
	}
	if o.MaxSize == 0 {
		o.MaxSize = max(DefaultMaxSize, o.MinSize)
	}
	if o.Keep == 0 {
		o.Keep = DefaultKeep
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"MinSize", o.MinSize}, {"MaxSize", o.MaxSize}} {
		if f.value < 1 || f.value > 1<<30 || bits.OnesCount(uint(f.value)) != 1 {
			return nil, fmt.Errorf("buffers: PoolOptions.%s is %d (want a power of two up to 1 GiB, or 0 for the default)", f.name, f.value)
		}
	}
	if o.MaxSize < o.MinSize {
		return nil, fmt.Errorf("buffers: PoolOptions.MaxSize is %d, less than MinSize, which is %d (want at least as much)", o.MaxSize, o.MinSize)
	}
	if o.Keep < 0 {
		return nil, fmt.Errorf("buffers: PoolOptions.Keep is %d (want bytes for each class, or 0 for the default)", o.Keep)
	}
	p := &Pool{minBits: bits.Len(uint(o.MinSize)) - 1}
	for size := o.MinSize; size <= o.MaxSize; size *= 2 {
		p.classes = append(p.classes, class{most: max(1, o.Keep/size)})
	}
	return p, nil
}

// size of the buffers of a class, in bytes.
func (p *Pool) size(class int) int { return 1 << (p.minBits + class) }

// classFor is the smallest class whose buffers hold n bytes; it may be one that
// there is not.
func (p *Pool) classFor(n int) int {
	return max(0, bits.Len(uint(max(n, 1)-1))-p.minBits)
}

// Get lends an empty buffer with a capacity of n bytes or more; of the smallest
// size, if n is 0 or less. Its memory holds what somebody left there.
func (p *Pool) Get(n int) *Buffer {
	i := p.classFor(n)
	var b *Buffer
	switch {
	case i >= len(p.classes):
		p.oversize.Add(1)
		b = &Buffer{memory: make([]byte, n), pool: p, class: len(p.classes)}
	default:
		if b = p.classes[i].take(); b == nil {
			b = &Buffer{memory: make([]byte, p.size(i)), pool: p, class: i}
		}
	}
	if !b.lent.CompareAndSwap(false, true) {
		panic("buffers: a buffer that is lent was found among the free ones (it was copied by value and put back)")
	}
	b.B = b.memory[:0]
	return b
}

// Put takes back what Get has lent. The borrower must not use it afterwards. It
// panics if b is not lent, or is another pool's: then two borrowers would soon
// write to the same memory.
func (p *Pool) Put(b *Buffer) {
	if b.pool != p {
		panic("buffers: a buffer was put into a pool that did not lend it")
	}
	if !b.lent.CompareAndSwap(true, false) {
		panic("buffers: a buffer was put back twice")
	}
	b.B = nil
	if b.class < len(p.classes) {
		p.classes[b.class].keep(b)
	}
}

func (c *class) take() *Buffer {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.free) - 1
	if last < 0 {
		c.misses++
		return nil
	}
	b := c.free[last]
	c.free[last] = nil
	c.free = c.free[:last]
	c.hits++
	return b
}

func (c *class) keep(b *Buffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.free) >= c.most {
		c.dropped++
		return
	}
	c.free = append(c.free, b)
}

// Bound is the most bytes that the pool ever keeps free.
func (p *Pool) Bound() int64 {
	var sum int64
	for i := range p.classes {
		sum += int64(p.classes[i].most) * int64(p.size(i))
	}
	return sum
}

// Release gives all free buffers to the collector.
func (p *Pool) Release() {
	for i := range p.classes {
		c := &p.classes[i]
		c.mu.Lock()
		c.free = nil
		c.mu.Unlock()
	}
}

// PoolStats count what a [Pool] did since it was made.
type PoolStats struct {
	Hits     uint64 `json:"hits"`     // buffers lent that were there
	Misses   uint64 `json:"misses"`   // buffers made, of a class
	Oversize uint64 `json:"oversize"` // buffers made that are too large for any class
	Dropped  uint64 `json:"dropped"`  // buffers put back that the pool was too full to keep

	Free      int   `json:"free"`       // buffers in the pool now
	FreeBytes int64 `json:"free_bytes"` // their memory, at most Bound
}

// Stats looks at the classes one after the other, so that the sums may belong to
// slightly different times.
func (p *Pool) Stats() PoolStats {
	s := PoolStats{Oversize: p.oversize.Load()}
	for i := range p.classes {
		c := &p.classes[i]
		c.mu.Lock()
		s.Hits += c.hits
		s.Misses += c.misses
		s.Dropped += c.dropped
		s.Free += len(c.free)
		s.FreeBytes += int64(len(c.free)) * int64(p.size(i))
		c.mu.Unlock()
	}
	return s
}
