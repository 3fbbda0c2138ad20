package goroutine

import (
	"errors"
	"fmt"
	"syscall"

	"netbench/internal/listen"
	"netbench/models"
)

// lean is what a connection of the lean variant reads with. It waits until there
// is something to read without offering a place for it, so that while it waits
// it needs none.
type lean struct {
	raw syscall.RawConn
	try func(fd uintptr) bool // conn.tryRead, made into a function value once

	// What try has read: as many bytes, or why there were none.
	n   int
	err error
}

// check returns an error for a variant that does not exist, or not here.
func (o Options) check() error {
	switch {
	case o.Lean && o.NaiveBuffers:
		return errors.New("goroutine: Options.Lean and Options.NaiveBuffers exclude each other (one borrows a buffer for a read, the other allocates it)")
	case o.Lean && !leanSupported:
		return listen.Unsupported(fmt.Errorf("goroutine: reading a socket without waiting, as the lean variant does, needs Unix: %w", models.ErrUnsupported))
	}
	return nil
}

// makeLean prepares to read. A connection that offers no descriptor is broken,
// which the first read finds.
func (c *conn) makeLean() {
	sc, ok := c.nc.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := sc.SyscallConn(); err == nil {
		c.lean = &lean{raw: raw, try: c.tryRead}
	}
}

// read reads once, into room.
func (c *conn) read() (int, error) {
	l := c.lean
	if l == nil {
		return c.nc.Read(c.room())
	}
	if err := l.raw.Read(l.try); err != nil {
		return 0, err
	}
	return l.n, l.err
}

// borrow gets the connection its read buffer.
func (c *conn) borrow() {
	c.base = c.s.memory.read()
	c.buf = c.base.B
}

// unborrow gives back what a connection needs for reading alone, if nothing is
// held in it.
func (c *conn) unborrow() {
	if c.end > c.start {
		return
	}
	c.dropLarge()
	c.s.memory.doneReading(c.base)
	c.base, c.buf, c.start, c.end = nil, nil, 0, 0
}
