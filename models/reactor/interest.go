//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

// event is what a poller tells of a descriptor.
type event struct {
	fd  int
	in  bool // there is input
	out bool // there is room for output
	end bool // the peer has ended its stream, or the connection has failed
}

// interest is what a level-triggered poller is to tell of. An edge-triggered one
// tells of everything, once.
type interest uint8

const (
	input interest = 1 << iota
	output
)

// register makes the poller tell of c.
func (l *loop) register(c *conn) error {
	c.mask = input
	return l.poller.add(int(c.fd), c.mask)
}

// tell lets the poller know what c waits for, if that has changed.
func (l *loop) tell(c *conn) {
	if !l.s.opts.LevelTriggered {
		return
	}
	var mask interest
	if c.phase == lingering || c.phase == open && !c.paused {
		mask = input
	}
	if c.out != nil && c.phase != dead {
		mask |= output
	}
	if mask != c.mask {
		l.poller.modify(int(c.fd), c.mask, mask)
		c.mask = mask
	}
}
