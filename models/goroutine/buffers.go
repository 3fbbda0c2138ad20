package goroutine

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

// buffer is a slice in a box, so that giving it back to a pool does not
// allocate.
type buffer struct{ b []byte }

// buffers lends memory to connections. The pools are kept per processor by the
// runtime, so borrowing takes no lock.
type buffers struct {
	base    int // size of the read buffers of connections
	reads   sync.Pool
	classes [maxClass + 1]sync.Pool
}

// read lends the read buffer of a connection.
func (p *buffers) read() *buffer {
	if b, ok := p.reads.Get().(*buffer); ok {
		return b
	}
	return &buffer{make([]byte, p.base)}
}

func (p *buffers) doneReading(b *buffer) { p.reads.Put(b) }

// get lends an empty buffer with a capacity of n bytes or more.
func (p *buffers) get(n int) *buffer {
	class := max(minClass, bits.Len(uint(max(n, 1)-1)))
	if class > maxClass {
		return &buffer{make([]byte, 0, n)}
	}
	if b, ok := p.classes[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{make([]byte, 0, 1<<class)}
}

// put takes back what get has lent. The slice may have been reallocated
// meanwhile; it counts for the size that it holds for certain.
func (p *buffers) put(b *buffer) {
	class := bits.Len(uint(cap(b.b))) - 1
	if class < minClass || class > maxClass {
		return
	}
	b.b = b.b[:0]
	p.classes[class].Put(b)
}
