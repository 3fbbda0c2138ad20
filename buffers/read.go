package buffers

import (
	"sync"

	"netbench/models"
)

// Servers of B1, which echo what they read and differ in whose memory that is read
// into. They all read at most Config.ReadBuffer bytes at once, and write what they
// read before they read again.
const (
	// ReadEach allocates a buffer for each read.
	ReadEach = "read-each"

	// ReadConn gives each connection a buffer that it keeps until its end.
	ReadConn = "read-conn"

	// ReadBlocked borrows from a sync.Pool for each read, before it blocks in
	// it. While the peer is silent the buffer is lent: an idle connection has
	// one all the same.
	ReadBlocked = "read-sync-blocked"

	// ReadSync waits until there is something to read, then borrows from a
	// sync.Pool until it is answered.
	ReadSync = "read-sync"

	// ReadValue is ReadSync with the slice itself in the pool, in place of a
	// pointer: each Put allocates the slice's header.
	ReadValue = "read-sync-value"

	// ReadClasses is ReadSync with a [Pool], from which it borrows the size that
	// the connection's messages need: larger when a read fills the buffer,
	// smaller when reads have long used less than a quarter of it.
	ReadClasses = "read-classes"
)

// readers are the designs of B1.
func readers() []design {
	all := []design{
		{ReadEach, "echo", func(cfg models.Config) (func(*conn) error, error) {
			return func(c *conn) error {
				return echo(c, func() []byte { return make([]byte, cfg.ReadBuffer) }, func() {})
			}, nil
		}},
		{ReadConn, "echo", func(cfg models.Config) (func(*conn) error, error) {
			return func(c *conn) error {
				own := make([]byte, cfg.ReadBuffer)
				return echo(c, func() []byte { return own }, func() {})
			}, nil
		}},
		{ReadBlocked, "echo", func(cfg models.Config) (func(*conn) error, error) {
			pool := newBoxes(cfg.ReadBuffer)
			return func(c *conn) error {
				place := &boxed{pool: pool}
				return echo(c, func() []byte { return place.lend(0) }, place.giveBack)
			}, nil
		}},
	}
	if !canWait {
		return all
	}
	return append(all,
		design{ReadSync, "echo", func(cfg models.Config) (func(*conn) error, error) {
			pool := newBoxes(cfg.ReadBuffer)
			return func(c *conn) error {
				return echoWhenReady(c, &boxed{pool: pool}, cfg.ReadBuffer)
			}, nil
		}},
		design{ReadValue, "echo", func(cfg models.Config) (func(*conn) error, error) {
			pool := &sync.Pool{New: func() any { return make([]byte, cfg.ReadBuffer) }}
			return func(c *conn) error {
				return echoWhenReady(c, &byValue{pool: pool}, cfg.ReadBuffer)
			}, nil
		}},
		design{ReadClasses, "echo", func(cfg models.Config) (func(*conn) error, error) {
			pool, err := NewPool(PoolOptions{})
			if err != nil {
				return nil, err
			}
			return func(c *conn) error {
				return echoWhenReady(c, &classed{pool: pool}, cfg.ReadBuffer)
			}, nil
		}},
	)
}

// echo reads into what lend returns, writes it back, and is done with it then.
func echo(c *conn, lend func() []byte, done func()) error {
	for {
		p := lend()
		n, err := c.Read(p)
		if n > 0 {
			if _, e := c.Write(p[:n]); e != nil {
				err = e
			}
		}
		done()
		if err != nil {
			return err
		}
	}
}

// echoWhenReady waits until there is input, borrows memory, and gives it back when
// the input is answered. How much is borrowed follows what reads have brought.
func echoWhenReady(c *conn, from place, most int) error {
	r := newReady(c, from)
	r.want = min(most, firstWant)
	few := 0 // reads in a row that used little
	for {
		n, err := r.read()
		if n > 0 {
			_, err = c.Write(r.memory[:n])
		}
		size := len(r.memory)
		r.done()
		if err != nil {
			return err
		}
		switch {
		case n == size:
			r.want, few = min(2*size, most), 0
		case n >= size/4 || size <= firstWant:
			few = 0
		default:
			if few++; few == fewReads {
				r.want, few = size/2, 0
			}
		}
	}
}

const (
	firstWant = 512 // bytes that a connection borrows first
	fewReads  = 8   // reads that use less than a quarter before less is borrowed
)

// place is where a connection gets memory to read into. It is one connection's
// own, and what it borrows from is not.
type place interface {
	// lend returns memory of want bytes, or of the one size that there is.
	lend(want int) []byte

	// giveBack ends the use of what lend returned. It does nothing if nothing is
	// lent.
	giveBack()
}

// memoryBox is what a sync.Pool holds here: the pointer fits an interface without
// an allocation, a slice does not.
type memoryBox struct{ memory []byte }

func newBoxes(size int) *sync.Pool {
	return &sync.Pool{New: func() any { return &memoryBox{make([]byte, size)} }}
}

type boxed struct {
	pool *sync.Pool
	box  *memoryBox
}

func (b *boxed) lend(int) []byte {
	b.box = b.pool.Get().(*memoryBox)
	return b.box.memory
}

func (b *boxed) giveBack() {
	if b.box != nil {
		b.pool.Put(b.box)
		b.box = nil
	}
}

type byValue struct {
	pool   *sync.Pool
	memory []byte
}

func (v *byValue) lend(int) []byte {
	v.memory = v.pool.Get().([]byte)
	return v.memory
}

func (v *byValue) giveBack() {
	if v.memory != nil {
		//lint:ignore SA6002 what this costs is what this variant shows
		v.pool.Put(v.memory)
		v.memory = nil
	}
}

type classed struct {
	pool *Pool
	lent *Buffer
}

func (c *classed) lend(want int) []byte {
	c.lent = c.pool.Get(want)
	return c.lent.B[:want]
}

func (c *classed) giveBack() {
	if c.lent != nil {
		c.pool.Put(c.lent)
		c.lent = nil
	}
}
