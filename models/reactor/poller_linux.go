package reactor

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller is the loop's epoll instance.
type poller struct {
	fd     int
	wakeup int // eventfd that other goroutines write to
	edge   uint32
	events [batch]unix.EpollEvent

	// To wait without keeping a thread, the instance is itself registered with
	// the runtime's poller, as a file.
	file    *os.File
	raw     syscall.RawConn
	started time.Time
	armed   time.Duration // the deadline that the file has; never if none
	found   int           // events
	look    func(fd uintptr) bool

	waiting Waiting
	handOff bool
}

func (p *poller) open(o Options, started time.Time) (err error) {
	p.fd, p.wakeup = -1, -1
	p.started, p.armed = started, never
	p.waiting, p.handOff = o.Wait, o.HandOff
	if !o.LevelTriggered {
		p.edge = unix.EPOLLET
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if p.wakeup, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	if err := p.control(unix.EPOLL_CTL_ADD, p.wakeup, keyWake, unix.EPOLLIN); err != nil {
		return err
	}
	// A copy of the descriptor, because the file closes its own.
	double, err := unix.FcntlInt(uintptr(p.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(double, true); err != nil {
		return errors.Join(os.NewSyscallError("fcntl", err), unix.Close(double))
	}
	p.file = os.NewFile(uintptr(double), "epoll")
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return err
	}
	// The runtime's monitor sleeps while all processors are idle, and is woken by
	// system calls that the scheduler is told of. A loop that wakes up and makes
	// only others would leave it asleep, and with it the timers, the network
	// poller and the preemption of everybody else in the process.
	p.look = func(uintptr) bool {
		p.found = p.told(0)
		return p.found > 0
	}
	// It fails if the file is not registered, which would make every wait end at
	// once or never.
	return p.file.SetReadDeadline(time.Time{})
}

func (p *poller) close() {
	if p.file != nil {
		_ = p.file.Close()
	}
	if p.wakeup >= 0 {
		closeFD(p.wakeup)
	}
	if p.fd >= 0 {
		closeFD(p.fd)
	}
}

// poll returns the number of events that there are now. The call does not block,
// so the scheduler is not told of it unless HandOff asks for that.
func (p *poller) poll() int {
	if p.handOff {
		return p.told(0)
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), batch, 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// told waits for events for some milliseconds, -1 for ever, in a system call that
// the scheduler is told of. If it is interrupted, there are none.
func (p *poller) told(timeout int) int {
	n, _, errno := syscall.Syscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), batch, uintptr(timeout), 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// wait waits for events until a time on the server's clock. Hurry tells that
// other goroutines of the server have work to do: a call that blocks would keep
// the processor from them until the scheduler notices.
func (p *poller) wait(until time.Duration, hurry bool) int {
	if p.waiting == Block && !hurry {
		return p.block(until)
	}
	if n := p.poll(); n > 0 {
		return n
	}
	return p.park(until)
}

// park waits as other goroutines wait for sockets.
func (p *poller) park(until time.Duration) int {
	if until != p.armed {
		var deadline time.Time
		if until != never {
			deadline = p.started.Add(until)
		}
		_ = p.file.SetReadDeadline(deadline) // it worked when the file was new
		p.armed = until
	}
	p.found = 0
	_ = p.raw.Read(p.look) // an error is that the time has come
	return p.found
}

// block waits in a system call that the scheduler is told of.
func (p *poller) block(until time.Duration) int {
	timeout := -1
	if until != never {
		// Rounded up, or the last millisecond would be spent looking.
		timeout = int(max(0, (until-time.Since(p.started)+time.Millisecond-1)/time.Millisecond))
	}
	return p.told(timeout)
}

func (p *poller) event(i int) event {
	e := &p.events[i]
	return event{
		key:    e.Fd,
		in:     e.Events&unix.EPOLLIN != 0,
		out:    e.Events&unix.EPOLLOUT != 0,
		end:    e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0,
		urgent: e.Events&unix.EPOLLPRI != 0,
	}
}

func (p *poller) control(op, fd int, key int32, events uint32) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, op, fd, &unix.EpollEvent{Events: events, Fd: key}))
}

// add tells of a connection. At edges it costs nothing to ask for room too: no
// event comes of it unless a write has found none.
func (p *poller) add(fd int, key int32, mask interest) error {
	if p.edge != 0 {
		mask = input | output
	}
	return p.control(unix.EPOLL_CTL_ADD, fd, key, p.flags(mask))
}

// modify changes what is told of a connection, without edges. A failure shows in
// the connection's next call.
func (p *poller) modify(fd int, key int32, was, mask interest) {
	op := unix.EPOLL_CTL_MOD
	switch {
	case mask == 0: // of no interest at all, or it would tell of failures for good
		op = unix.EPOLL_CTL_DEL
	case was == 0:
		op = unix.EPOLL_CTL_ADD
	}
	_ = p.control(op, fd, key, p.flags(mask))
}

func (p *poller) flags(mask interest) uint32 {
	flags := p.edge
	if p.edge != 0 {
		flags |= unix.EPOLLPRI // which would be told again and again without edges
	}
	if mask&input != 0 {
		flags |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if mask&output != 0 {
		flags |= unix.EPOLLOUT
	}
	return flags
}

// addListener tells of connections to be accepted, for as long as there are
// some; of several loops that share the listener, only some are told of each.
func (p *poller) addListener(fd int, shared bool) error {
	flags := uint32(unix.EPOLLIN)
	if shared {
		flags |= unix.EPOLLEXCLUSIVE
	}
	return p.control(unix.EPOLL_CTL_ADD, fd, keyListener, flags)
}

func (p *poller) removeListener(fd int) {
	_ = p.control(unix.EPOLL_CTL_DEL, fd, keyNone, 0)
}

// wake makes the loop's wait end. Others call it.
func (p *poller) wake() {
	_, _ = unix.Write(p.wakeup, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (p *poller) drainWake() {
	var count [8]byte
	_, _ = unix.Read(p.wakeup, count[:])
}
