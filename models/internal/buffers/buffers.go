// Package buffers lends memory to connections for as long as they have something
// to hold: a message that is not whole, a reply that is not sent.
package buffers

import (
	"math/bits"
	"sync"
)

// Sizes of pooled buffers are powers of two, from 512 bytes to 4 MiB. Larger
// ones are left to the collector, because they are rare and a pool would hold on
// to much memory for little.
const (
	minClass = 9
	maxClass = 22
)

// Buffer is a slice in a box, so that giving it back to a pool does not
// allocate.
type Buffer struct{ B []byte }

// Pool lends buffers. Its zero value is ready, and safe for concurrent use: the
// runtime keeps a pool's content per processor, so borrowing takes no lock.
type Pool struct {
	classes [maxClass + 1]sync.Pool
}

// Get lends an empty buffer with a capacity of n bytes or more.
func (p *Pool) Get(n int) *Buffer {
	class := max(minClass, bits.Len(uint(max(n, 1)-1)))
	if class > maxClass {
		return &Buffer{make([]byte, 0, n)}
	}
	if b, ok := p.classes[class].Get().(*Buffer); ok {
		return b
	}
	return &Buffer{make([]byte, 0, 1<<class)}
}

// Put takes back what Get has lent. The slice may have been reallocated
// meanwhile; it counts for the size that it holds for certain.
func (p *Pool) Put(b *Buffer) {
	class := bits.Len(uint(cap(b.B))) - 1
	if class < minClass || class > maxClass {
		return
	}
	b.B = b.B[:0]
	p.classes[class].Put(b)
}
