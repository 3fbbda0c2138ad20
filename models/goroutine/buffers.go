package goroutine

import (
	"sync"

	"netbench/models/internal/buffers"
)

// memory lends buffers to connections: read buffers, all of one size, and others
// of the size that is needed. The pools are kept per processor by the runtime, so
// borrowing takes no lock.
type memory struct {
	buffers.Pool
	base  int // size of the read buffers of connections
	reads sync.Pool
}

// read lends the read buffer of a connection.
func (m *memory) read() *buffers.Buffer {
	if b, ok := m.reads.Get().(*buffers.Buffer); ok {
		return b
	}
	return &buffers.Buffer{B: make([]byte, m.base)}
}

func (m *memory) doneReading(b *buffers.Buffer) { m.reads.Put(b) }
