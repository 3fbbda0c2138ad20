//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"math"
	"time"
)

const (
	// never is a time that does not come.
	never = time.Duration(math.MaxInt64)

	// longest is the longest time-out that is kept: a hundred years. The clock
	// has room for it.
	longest = 100 * 365 * 24 * time.Hour

	// lingerTime bounds how long a connection that the session closes is kept
	// for its peer to read the last reply. Closing a socket that has unread
	// input, or gets some, resets the connection, and on many systems a reset
	// destroys what the peer has not read yet.
	lingerTime = 2 * time.Second

	// drainLinger is the same in a shutdown, which should not take long.
	drainLinger = 250 * time.Millisecond
)

// Lists that a connection may be in, beside those of the wheel, 0 to turns-1.
const (
	turns     = 64
	none      = -1
	lingerers = turns
)

// wheel finds the connections that have been idle for too long. It is a timing
// wheel (Varghese and Lauck, 1987) with one particularity: traffic does not move
// a connection, it only sets the time of its last traffic. When the place where
// a connection stands comes round, it is either idle or put where it may be so
// next. So an exchange costs no more than a store, and a connection is looked at
// about once in each time-out.
//
// A connection is closed after the time-out at the earliest and 1/32 of it, or a
// millisecond, later at the latest.
type wheel struct {
	timeout time.Duration // never, if there is none
	grain   time.Duration
	at      int64 // the last tick that was dealt with
	lists   [turns + 1]list
	due     time.Duration // nothing is to be done before
}

// list is a list of connections, each of which is in one at most.
type list struct{ first, last *conn }

func (w *wheel) init(timeout time.Duration) {
	w.timeout, w.due = timeout, never
	if timeout < 0 || timeout > longest {
		w.timeout = never
	}
	w.grain = max(timeout/32, time.Millisecond)
}

// watch puts c where it may turn out to be idle.
func (w *wheel) watch(c *conn) {
	if w.timeout == never {
		return
	}
	tick := int64((c.last+w.timeout)/w.grain) + 1
	w.push(c, int16(tick%turns))
	w.due = min(w.due, time.Duration(tick)*w.grain)
}

// push adds c to the end of a list.
func (w *wheel) push(c *conn, slot int16) {
	l := &w.lists[slot]
	c.slot, c.prev, c.next = slot, l.last, nil
	if l.last != nil {
		l.last.next = c
	} else {
		l.first = c
	}
	l.last = c
}

// remove takes c out of the list that it is in, if any.
func (w *wheel) remove(c *conn) {
	if c.slot == none {
		return
	}
	l := &w.lists[c.slot]
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.last = c.prev
	}
	c.slot, c.prev, c.next = none, nil, nil
}

// expire closes the connections whose time has come.
func (l *loop) expire() {
	w := &l.wheel
	tick := int64(l.now / w.grain)
	for w.at = max(w.at, tick-turns); w.at < tick; {
		w.at++
		if w.timeout == never {
			continue
		}
		spoke := w.lists[w.at%turns]
		w.lists[w.at%turns] = list{}
		for c := spoke.first; c != nil; {
			next := c.next
			c.slot, c.prev, c.next = none, nil, nil
			if l.now-c.last >= w.timeout {
				l.idled(c)
			} else {
				w.watch(c)
			}
			c = next
		}
	}
	for c := w.lists[lingerers].first; c != nil && c.last <= l.now; c = w.lists[lingerers].first {
		l.close(c)
	}
	w.plan()
}

// plan finds out when there is something to do next.
func (w *wheel) plan() {
	w.due = never
	if c := w.lists[lingerers].first; c != nil {
		w.due = c.last
	}
	for tick := w.at + 1; tick <= w.at+turns; tick++ {
		if w.lists[tick%turns].first != nil {
			w.due = min(w.due, time.Duration(tick)*w.grain)
			return
		}
	}
}

// idled closes a connection without traffic. What its peer has not taken is
// given up, by the kernel too.
func (l *loop) idled(c *conn) {
	l.counts.IdleClosed++
	if c.owed() > 0 {
		abandon(int(c.fd))
	}
	l.close(c)
}

// linger ends the stream to the peer and waits for a while for the peer's.
func (l *loop) linger(c *conn) {
	l.wheel.remove(c)
	l.dropInput(c)
	c.phase = lingering
	shutdownWrite(int(c.fd))
	c.last = l.now + lingerTime
	if l.draining {
		c.last = l.now + drainLinger
	}
	l.wheel.push(c, lingerers)
	l.wheel.due = min(l.wheel.due, c.last)
	l.tell(c)
	l.discard(c)
}

// hurry shortens the wait for peers, because the server drains.
func (l *loop) hurry() {
	for c := l.wheel.lists[lingerers].first; c != nil; c = c.next {
		c.last = min(c.last, l.now+drainLinger)
		l.wheel.due = min(l.wheel.due, c.last)
	}
}

// discard reads what a peer still sends, until its stream ends too.
func (l *loop) discard(c *conn) {
	for range l.budget {
		n, errno := l.sys.read(int(c.fd), l.rbuf)
		switch {
		case errno == again:
			return
		case errno == interrupted:
		case n <= 0:
			l.close(c)
			return
		}
	}
	l.lookAgain(c)
}
