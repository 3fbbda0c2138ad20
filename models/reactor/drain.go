//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import "netbench/internal/listen"

// beginDrain is what a loop does when Shutdown begins.
func (l *loop) beginDrain() {
	if l.draining || l.killed {
		return
	}
	l.draining = true
	if l.accept.open && l.accept.retryAt == 0 && !l.starved.Load() {
		l.acceptSome()
	}
	l.hurry()
	for _, c := range l.table {
		l.drain(c)
	}
}

// drain finds out up to where the requests of c are to be answered.
func (l *loop) drain(c *conn) {
	if c.drained || c.phase != open && c.phase != working {
		return
	}
	c.drained = true
	unread, err := listen.UnreadOf(int(c.fd))
	if err != nil {
		unread = 0 // the next read finds what is wrong
	}
	c.left = int64(c.held() + unread)
	l.checkDrained(c)
}

// checkDrained ends a connection on which all is answered that Shutdown waits
// for.
func (l *loop) checkDrained(c *conn) {
	if c.drained && c.left <= 0 && c.phase == open && !c.paused {
		c.phase = finishing
		l.settle(c)
	}
}

// kill is what a loop does when Close begins.
func (l *loop) kill() {
	l.killed = true
	l.stopAccepting()
	for _, c := range l.table {
		l.close(c)
	}
}
