package goroutine

// room makes place for the next read and returns it. The place is in the
// connection's own buffer, unless the session waits for a message that does not
// fit there, for which a larger one is borrowed until it is consumed.
func (c *conn) room() []byte {
	if c.base == nil && c.s.opts.Lean {
		c.borrow()
	}
	held := c.end - c.start
	own := c.s.cfg.ReadBuffer
	switch {
	case held == 0 && c.s.opts.NaiveBuffers:
		c.dropLarge()
		c.buf = make([]byte, own)
	case c.need <= own:
		if c.large != nil || c.start > 0 {
			c.moveHome(held)
		}
	case c.need > len(c.buf):
		c.grow()
	case c.start > 0:
		copy(c.buf, c.buf[c.start:c.end])
	}
	c.start, c.end = 0, held
	return c.buf[held:]
}

// moveHome moves what is held, which is less than need and so fits, to the start
// of the connection's own buffer.
func (c *conn) moveHome(held int) {
	from := c.buf[c.start:c.end]
	if c.large != nil {
		if c.base != nil {
			c.buf = c.base.B
		} else {
			c.buf = make([]byte, c.s.cfg.ReadBuffer)
		}
	}
	copy(c.buf[:held], from)
	c.dropLarge()
}

// grow moves what is held to a larger buffer. A session that does not know how
// long its message is asks for one byte more each time, so the size doubles.
func (c *conn) grow() {
	large := c.s.memory.Get(min(max(c.need, 2*len(c.buf)), c.s.limit))
	large.B = large.B[:cap(large.B)]
	copy(large.B, c.buf[c.start:c.end])
	c.dropLarge()
	c.large, c.buf = large, large.B
}

func (c *conn) dropLarge() {
	if c.large != nil {
		c.s.memory.Put(c.large)
		c.large = nil
	}
}

// giveBack returns all buffers when the connection has ended.
func (c *conn) giveBack() {
	c.dropLarge()
	if c.base != nil {
		c.s.memory.doneReading(c.base)
		c.base = nil
	}
	if c.out != nil {
		c.s.memory.Put(c.out)
		c.out = nil
	}
	c.buf = nil
}
