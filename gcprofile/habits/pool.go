package habits

import (
	"bytes"
	"sync"
)

const (
	// BufferSize is the capacity of a new buffer, bytes.
	BufferSize = 4096

	// MaxKept is the capacity up to which buffers are used again, bytes.
	MaxKept = 64 << 10
)

// Bytes is a pool of byte slices. The zero value is one of buffers of [BufferSize]
// that keeps all up to [MaxKept]. It may be used by many goroutines, and not copied.
type Bytes struct {
	// Max is the capacity above which a buffer is dropped when it is put; 0 stands
	// for MaxKept, and below 0 nothing is dropped.
	Max int

	pool sync.Pool // of *[]byte
}

// Get returns a slice of length 0. The pointer goes back to Put; append to what it
// points to, and store the result there.
func (p *Bytes) Get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		*b = (*b)[:0]
		return b
	}
	b := make([]byte, 0, BufferSize)
	return &b
}

// Put gives a slice back. Nobody may use its bytes from then on.
func (p *Bytes) Put(b *[]byte) {
	if keeps(p.Max, cap(*b)) {
		p.pool.Put(b)
	}
}

// Buffers is [Bytes], of bytes.Buffer.
type Buffers struct {
	Max int // as that of Bytes

	pool sync.Pool // of *bytes.Buffer
}

// Get returns an empty buffer.
func (p *Buffers) Get() *bytes.Buffer {
	if b, ok := p.pool.Get().(*bytes.Buffer); ok {
		b.Reset()
		return b
	}
	return bytes.NewBuffer(make([]byte, 0, BufferSize))
}

// Put gives a buffer back. Nobody may use its bytes from then on.
func (p *Buffers) Put(b *bytes.Buffer) {
	if keeps(p.Max, b.Cap()) {
		p.pool.Put(b)
	}
}

// keeps tells whether a buffer of that capacity is used again.
func keeps(limit, capacity int) bool {
	if limit == 0 {
		limit = MaxKept
	}
	return limit < 0 || capacity <= limit
}
