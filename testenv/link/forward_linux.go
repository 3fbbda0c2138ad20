package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// batch is how many packets are read before those that are due are written.
const batch = 64

// forwarder carries the packets of one direction from one device to the other.
//
// It waits in the kernel for a packet, for a timer and for being woken, in a system
// call of its own rather than through the runtime's poller, which looks at its
// timers when a scheduler comes by.
type forwarder struct {
	from, to           int // devices, not its own
	epoll, timer, wake int
	begin              time.Time // of the link's clock

	mu      sync.Mutex
	shaper  *shaper
	closing bool

	buffer []byte
	armed  instant       // what the timer is set to
	err    error         // of run, to be read after done
	done   chan struct{} // closed when run has returned
}

// newForwarder makes a direction that begins with start.
func newForwarder(from, to int, s *shaper, begin time.Time) (_ *forwarder, err error) {
	f := &forwarder{
		from: from, to: to, epoll: -1, timer: -1, wake: -1,
		begin: begin, shaper: s, armed: never,
		buffer: make([]byte, maxMTU), done: make(chan struct{}),
	}
	defer func() {
		if err != nil {
			f.release()
		}
	}()
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("link: make an epoll instance: %w", err)
	}
	if f.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("link: make a timer: %w", err)
	}
	if f.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("link: make an event descriptor: %w", err)
	}
	for _, fd := range []int{from, f.timer, f.wake} {
		if err = unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return nil, fmt.Errorf("link: watch a descriptor: %w", err)
		}
	}
	return f, nil
}

// now is the time on the link's clock.
func (f *forwarder) now() instant { return instant(time.Since(f.begin)) }

// start runs the direction until stop.
func (f *forwarder) start() {
	onOwnThread(func() (asItWas bool) {
		defer close(f.done)
		f.err = f.run()
		return true
	})
}

func (f *forwarder) run() error {
	events := make([]unix.EpollEvent, 3)
	for {
		n, err := unix.EpollWait(f.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("link: wait for packets: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			switch int(e.Fd) {
			case f.wake:
				var count [8]byte
				unix.Read(f.wake, count[:]) // only to make it unreadable again
			case f.timer:
				f.armed = -1 // setting it makes it unreadable again
			}
		}
		if again, err := f.turn(); err != nil || !again {
			return err
		}
	}
}

// turn takes in what there is, hands over what is due, and sets the timer.
func (f *forwarder) turn() (again bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return false, nil
	}
	if err := f.read(); err != nil {
		return false, err
	}
	if err := f.write(); err != nil {
		return false, err
	}
	return true, f.arm(f.shaper.next())
}

// read takes in a batch at most; epoll tells of the rest at once.
func (f *forwarder) read() error {
	for range batch {
		n, err := unix.Read(f.from, f.buffer)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("link: read a packet: %w", err)
		}
		if n > 0 && f.buffer[0]>>4 == 4 { // IPv4
			// The time is taken after the packet: never earlier than it was sent.
			f.shaper.arrive(f.now(), f.buffer[:n])
		}
	}
	return nil
}

// write hands over all that is due.
func (f *forwarder) write() error {
	now := f.now()
	for {
		p, ok := f.shaper.take(now)
		if !ok {
			return nil
		}
		_, err := unix.Write(f.to, p.data)
		for errors.Is(err, unix.EINTR) {
			_, err = unix.Write(f.to, p.data)
		}
		if err != nil { // the device is down, or memory is short
			f.shaper.refused(p)
			if errors.Is(err, unix.EBADFD) {
				return fmt.Errorf("link: write a packet: the device is gone: %w", err)
			}
			continue
		}
		f.shaper.delivered(p)
	}
}

// arm sets the timer.
func (f *forwarder) arm(at instant) error {
	if at == f.armed {
		return nil
	}
	var spec unix.ItimerSpec // zero disarms
	if at != never {
		spec.Value = unix.NsecToTimespec(max(1, int64(at-f.now())))
	}
	if err := unix.TimerfdSettime(f.timer, 0, &spec, nil); err != nil {
		return fmt.Errorf("link: set a timer: %w", err)
	}
	f.armed = at
	return nil
}

// change gives the direction another shape.
func (f *forwarder) change(s Shape) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shaper.change(f.now(), s)
	f.rouse()
}

// counts says what happened, up to now.
func (f *forwarder) counts() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shaper.advance(f.now())
	return f.shaper.counts
}

// rouse wakes run.
func (f *forwarder) rouse() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	unix.Write(f.wake, one[:]) // fails only if it is to wake already
}

// stop ends run, and returns the error with which it ended if it had before.
func (f *forwarder) stop() error {
	f.mu.Lock()
	f.closing = true
	f.rouse()
	f.mu.Unlock()
	<-f.done
	f.release()
	return f.err
}

// release closes the descriptors.
func (f *forwarder) release() {
	for _, fd := range []*int{&f.epoll, &f.timer, &f.wake} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}
