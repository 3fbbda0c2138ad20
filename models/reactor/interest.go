//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

// event is what a poller tells of a connection, by its place in the loop's table,
// or of what else it watches, by one of the keys below.
type event struct {
	key    int32
	in     bool // there is input
	out    bool // there is room for output
	end    bool // the peer has ended its stream, or the connection has failed
	urgent bool // there is urgent data
}

// Keys of what is no connection.
const (
	keyWake     int32 = -1 // another goroutine has woken the loop
	keyListener int32 = -2 // connections wait to be accepted
	keyNone     int32 = -3 // what is not watched any more
)

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
	return l.poller.add(int(c.fd), c.place, c.mask)
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
		l.poller.modify(int(c.fd), c.place, c.mask, mask)
		c.mask = mask
	}
}
