//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// poller is the loop's kqueue. It is built and vetted for the systems that have
// one, but not run in this project's tests. A kqueue waits in the system call
// always: Options.Wait changes nothing here, nor does HandOff.
type poller struct {
	fd      int
	pipe    [2]int  // other goroutines write to its second end
	clear   int     // EV_CLEAR, if events are told at edges
	keys    []int32 // of connections, by descriptor
	accepts int     // descriptor of the listener, -1 if it is not watched
	events  [batch]unix.Kevent_t
	started time.Time
}

func (p *poller) open(o Options, started time.Time) (err error) {
	p.fd, p.pipe, p.started, p.accepts = -1, [2]int{-1, -1}, started, -1
	if !o.LevelTriggered {
		p.clear = unix.EV_CLEAR
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.fd, err = unix.Kqueue(); err != nil {
		return os.NewSyscallError("kqueue", err)
	}
	unix.CloseOnExec(p.fd)
	if err := unix.Pipe(p.pipe[:]); err != nil {
		return os.NewSyscallError("pipe", err)
	}
	for _, fd := range p.pipe {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return os.NewSyscallError("fcntl", err)
		}
	}
	return p.change(p.pipe[0], unix.EVFILT_READ, unix.EV_ADD)
}

func (p *poller) close() {
	for _, fd := range []int{p.pipe[0], p.pipe[1], p.fd} {
		if fd >= 0 {
			closeFD(fd)
		}
	}
}

// poll returns the number of events that there are now.
func (p *poller) poll() int { return p.kevent(&unix.Timespec{}) }

// wait waits for events until a time on the server's clock.
func (p *poller) wait(until time.Duration, _ bool) int {
	if until == never {
		return p.kevent(nil)
	}
	timeout := unix.NsecToTimespec(int64(max(0, until-time.Since(p.started))))
	return p.kevent(&timeout)
}

func (p *poller) kevent(timeout *unix.Timespec) int {
	n, err := unix.Kevent(p.fd, nil, p.events[:], timeout)
	if err != nil {
		return 0 // interrupted: the next call finds the events
	}
	return n
}

func (p *poller) event(i int) event {
	e := &p.events[i]
	key := keyNone
	switch fd := int(e.Ident); {
	case fd == p.pipe[0]:
		key = keyWake
	case fd == p.accepts:
		key = keyListener
	case fd < len(p.keys):
		key = p.keys[fd]
	}
	return event{
		key: key,
		in:  int(e.Filter) == unix.EVFILT_READ,
		out: int(e.Filter) == unix.EVFILT_WRITE,
		end: int(e.Flags)&(unix.EV_EOF|unix.EV_ERROR) != 0 && int(e.Filter) == unix.EVFILT_READ,
	}
}

func (p *poller) change(fd, filter, flags int) error {
	var change [1]unix.Kevent_t
	unix.SetKevent(&change[0], fd, filter, flags)
	_, err := unix.Kevent(p.fd, change[:], nil, nil)
	return os.NewSyscallError("kevent", err)
}

// add tells of a connection; of both directions if at edges, as no event of room
// comes unless a write has found none.
func (p *poller) add(fd int, key int32, mask interest) error {
	for len(p.keys) <= fd {
		p.keys = append(p.keys, keyNone)
	}
	p.keys[fd] = key
	if p.clear == 0 {
		p.modify(fd, key, 0, mask)
		return nil
	}
	if err := p.change(fd, unix.EVFILT_READ, unix.EV_ADD|p.clear); err != nil {
		return err
	}
	return p.change(fd, unix.EVFILT_WRITE, unix.EV_ADD|p.clear)
}

// modify changes what is told of a connection, without edges. A failure shows in
// the connection's next call.
func (p *poller) modify(fd int, _ int32, was, mask interest) {
	for _, f := range []struct {
		bit    interest
		filter int
	}{{input, unix.EVFILT_READ}, {output, unix.EVFILT_WRITE}} {
		switch {
		case mask&f.bit != 0 && was&f.bit == 0:
			_ = p.change(fd, f.filter, unix.EV_ADD)
		case mask&f.bit == 0 && was&f.bit != 0:
			_ = p.change(fd, f.filter, unix.EV_DELETE)
		}
	}
}

// addListener tells of connections to be accepted, for as long as there are
// some. All loops that share the listener are told.
func (p *poller) addListener(fd int, _ bool) error {
	p.accepts = fd
	return p.change(fd, unix.EVFILT_READ, unix.EV_ADD)
}

func (p *poller) removeListener(fd int) {
	p.accepts = -1
	_ = p.change(fd, unix.EVFILT_READ, unix.EV_DELETE)
}

// wake makes the loop's wait end. Others call it.
func (p *poller) wake() { _, _ = unix.Write(p.pipe[1], []byte{1}) }

func (p *poller) drainWake() {
	var some [64]byte
	for {
		if n, err := unix.Read(p.pipe[0], some[:]); err != nil || n < len(some) {
			return
		}
	}
}
