package zerocopy

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ZeroCopyConn sends by MSG_ZEROCOPY from buffers of its own, and hands none of them
// out while the kernel may still read it. Its methods are not to be called from
// several goroutines at a time.
//
//	z, err := zerocopy.NewZeroCopyConn(conn, 16, 64<<10)
//	m, err := z.Take()
//	n := copy(m.Bytes, "a message")
//	_, err = z.Send(m, n) // m is not ours any more
//	err = z.Settle()      // before anybody reads from conn
//	err = z.Close()
type ZeroCopyConn struct {
	raw      syscall.RawConn
	memory   []byte // all buffers, outside of Go's heap; nil when closed
	messages []Message
	free     []int // buffers that are nobody's
	ledger   *ledger

	counts           ZeroCopyCounts
	calls, partial   uint64
	waits, noBuffers atomic.Uint64 // also looked at by tests while a send goes on

	broken   error                 // count was lost: no buffer is safe
	released func(b []byte)        // called with each buffer that becomes free; for tests
	control  [2 * noticeSpace]byte // for what comes with a notice
	scrap    [1]byte               // notices have no data, but x/sys asks for the socket's type if there is no room for any
}

// noticeSpace is room for a control message with a sock_extended_err and an address
// of IPv6 behind it, in bytes.
const noticeSpace = 64

// Message is a buffer of a [ZeroCopyConn].
type Message struct {
	// Bytes is the whole buffer. It is mapped outside of Go's heap and must not be
	// touched after Send, Drop or Close.
	Bytes []byte

	index int
	taken bool
}

// NewZeroCopyConn makes that many buffers of size bytes each, and allows the
// connection to send by MSG_ZEROCOPY. The buffers together should exceed the socket's
// send queue, or sends wait for completions where plain ones would go on. A connection
// takes one ZeroCopyConn in its life, as the kernel's numbers go on.
func NewZeroCopyConn(conn *net.TCPConn, buffers, size int) (*ZeroCopyConn, error) {
	if buffers < 1 || buffers > 1<<16 || size < 1 || size > MaxBuffer {
		return nil, fmt.Errorf("MSG_ZEROCOPY: %d buffers of %d bytes (want 1 to %d of 1 to %d)", buffers, size, 1<<16, MaxBuffer)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("MSG_ZEROCOPY: the connection: %w", err)
	}
	var fault error
	err = raw.Control(func(fd uintptr) { fault = allowZeroCopy(int(fd)) })
	if err == nil {
		err = fault
	}
	if err != nil {
		return nil, fmt.Errorf("MSG_ZEROCOPY: %w", err)
	}
	// Each buffer has pages of its own, as the kernel pins whole pages.
	page := unix.Getpagesize()
	stride := (size + page - 1) / page * page
	memory, err := unix.Mmap(-1, 0, buffers*stride, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("MSG_ZEROCOPY: map %d buffers of %d bytes: %w", buffers, size, err)
	}
	z := &ZeroCopyConn{raw: raw, memory: memory, messages: make([]Message, buffers), ledger: newLedger(buffers)}
	for i := range z.messages {
		z.messages[i] = Message{Bytes: memory[i*stride:][:size:size], index: i}
		z.free = append(z.free, i)
	}
	return z, nil
}

// allowZeroCopy sets SO_ZEROCOPY. Without it the flag MSG_ZEROCOPY does nothing, and
// no notice ever comes.
func allowZeroCopy(fd int) error {
	switch set, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ZEROCOPY); {
	case err != nil:
		return fmt.Errorf("read SO_ZEROCOPY: %w (Linux 4.14 and later have it)", err)
	case set != 0:
		return errors.New("the connection has SO_ZEROCOPY set already, so its sends may be numbered by somebody else (use one sender for a connection)")
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ZEROCOPY, 1); err != nil {
		return fmt.Errorf("set SO_ZEROCOPY: %w", err)
	}
	return nil
}

// Take returns a buffer that the kernel is done with. It waits for one until the
// connection's write deadline.
func (z *ZeroCopyConn) Take() (*Message, error) {
	if err := z.usable(); err != nil {
		return nil, err
	}
	if len(z.free) == 0 {
		if z.ledger.underWay() == 0 {
			return nil, fmt.Errorf("MSG_ZEROCOPY: all %d buffers are taken and none is sent (send or drop one)", len(z.messages))
		}
		if err := z.await(func() bool { return len(z.free) > 0 }); err != nil {
			return nil, err
		}
	}
	last := len(z.free) - 1
	m := &z.messages[z.free[last]]
	z.free = z.free[:last]
	z.ledger.hold(m.index)
	m.taken = true
	return m, nil
}

// Drop gives a buffer back that was not sent.
func (z *ZeroCopyConn) Drop(m *Message) { z.giveUp(m) }

// giveUp ends the hold that Take took.
func (z *ZeroCopyConn) giveUp(m *Message) {
	if !m.taken {
		return
	}
	m.taken = false
	if z.ledger.release(m.index) {
		z.putBack(m.index)
	}
}

// putBack makes a buffer free.
func (z *ZeroCopyConn) putBack(buffer int) {
	if z.released != nil && z.memory != nil {
		z.released(z.messages[buffer].Bytes)
	}
	z.free = append(z.free, buffer)
}

// usable returns why nothing can be done, if so.
func (z *ZeroCopyConn) usable() error {
	if z.memory == nil {
		return fmt.Errorf("MSG_ZEROCOPY: %w", net.ErrClosed)
	}
	return z.broken
}

// Send sends the first n bytes of a buffer that Take returned, all of them unless
// there is an error, and returns how many the kernel took. The buffer is given back,
// also if there is an error: it comes out of Take again when the kernel is done with
// it. A full queue, and a kernel that has no notices left (ENOBUFS), are waited out
// until the write deadline.
func (z *ZeroCopyConn) Send(m *Message, n int) (sent int, err error) {
	if err := z.usable(); err != nil {
		return 0, err
	}
	if !m.taken || n < 0 || n > len(m.Bytes) {
		return 0, fmt.Errorf("MSG_ZEROCOPY: send %d bytes of a buffer of %d (take the buffer first, and send no more than it has)", n, len(m.Bytes))
	}
	defer z.giveUp(m)
	part := m.Bytes[:n]
	var fault error
	err = z.raw.Write(func(fd uintptr) bool {
		for sent < n {
			took, e := unix.SendmsgN(int(fd), part[sent:], nil, nil, unix.MSG_ZEROCOPY|unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
			z.calls++
			var again bool
			switch {
			case e == unix.EINTR:
				continue
			case e == unix.EAGAIN:
				z.waits.Add(1)
				_, fault = z.reap(int(fd))
			case e == unix.ENOBUFS:
				z.noBuffers.Add(1)
				again, fault = z.refused(int(fd))
			case e != nil:
				fault = e
			default:
				again = true
				z.took(m, took, n-sent)
				sent += took
			}
			if fault != nil {
				return true
			}
			if !again {
				return false
			}
		}
		return true
	})
	if fault != nil {
		err = fault
	}
	if err != nil {
		return sent, fmt.Errorf("MSG_ZEROCOPY: after %d of %d bytes: %w", sent, n, err)
	}
	return sent, nil
}

// took enters a send that took something.
func (z *ZeroCopyConn) took(m *Message, took, asked int) {
	z.ledger.sent(m.index)
	z.counts.Sent++
	if took < asked {
		z.partial++
	}
}

// refused deals with ENOBUFS: the kernel takes the memory of a notice from a limit by
// socket, net.core.optmem_max, or the process may not pin more pages. Both are given
// back by completions. Again tells that some came; if none is to come either, waiting
// would not end.
func (z *ZeroCopyConn) refused(fd int) (again bool, err error) {
	n, err := z.reap(fd)
	if err != nil || n > 0 {
		return n > 0, err
	}
	if z.ledger.underWay() == 0 {
		return false, fmt.Errorf("%w though no send is under way (raise net.core.optmem_max, or the limit of locked memory)", unix.ENOBUFS)
	}
	return false, nil
}

// reap reads the notices that are in the error queue, without waiting, and returns how
// many there were.
func (z *ZeroCopyConn) reap(fd int) (notices int, err error) {
	for {
		_, got, flags, _, err := unix.Recvmsg(fd, z.scrap[:], z.control[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return notices, nil
		case err != nil:
			return notices, fmt.Errorf("read the error queue: %w", err)
		case flags&unix.MSG_CTRUNC != 0:
			z.broken = fmt.Errorf("MSG_ZEROCOPY: a notice in the error queue has more than %d bytes, and was cut", len(z.control))
			return notices, z.broken
		}
		n, err := z.enter(z.control[:got])
		if err != nil {
			z.broken = fmt.Errorf("MSG_ZEROCOPY: %w", err)
			return notices, z.broken
		}
		notices += n
	}
}

// enter enters the notices among control messages.
func (z *ZeroCopyConn) enter(control []byte) (notices int, err error) {
	for len(control) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return notices, fmt.Errorf("read a control message of the error queue: %w", err)
		}
		control = rest
		// The latter for sockets of IPv6, also where they talk to addresses of IPv4.
		v4 := header.Level == unix.SOL_IP && header.Type == unix.IP_RECVERR
		v6 := header.Level == unix.SOL_IPV6 && header.Type == unix.IPV6_RECVERR
		if !v4 && !v6 {
			continue
		}
		c, ok, err := parseNotice(data)
		if err != nil {
			return notices, err
		}
		if !ok {
			continue
		}
		inOrder, err := z.ledger.complete(c, z.putBack)
		if err != nil {
			return notices, err
		}
		notices++
		z.count(c, inOrder)
	}
	return notices, nil
}

func (z *ZeroCopyConn) count(c completion, inOrder bool) {
	n := uint64(c.hi-c.lo) + 1
	z.counts.Notices++
	z.counts.Completed += n
	if c.copied {
		z.counts.Copied += n
	}
	if !inOrder {
		z.counts.OutOfOrder++
	}
}

// await reads notices until enough is true. Notices make the runtime's poller wake
// whoever waits to write.
func (z *ZeroCopyConn) await(enough func() bool) error {
	var fault error
	err := z.raw.Write(func(fd uintptr) bool {
		_, fault = z.reap(int(fd))
		return fault != nil || enough()
	})
	if fault != nil {
		err = fault
	}
	if err != nil {
		return fmt.Errorf("MSG_ZEROCOPY: wait for completions, %d sends being under way: %w", z.ledger.underWay(), err)
	}
	return nil
}

// Settle waits until the kernel is done with all that was sent, and until the
// connection can be read, at most until its write deadline. That takes a round trip,
// and up to the time that the peer delays an acknowledgement (40 ms for Linux) if it
// sends nothing itself.
func (z *ZeroCopyConn) Settle() error {
	if err := z.usable(); err != nil {
		return err
	}
	if z.ledger.underWay() > 0 {
		if err := z.await(func() bool { return z.ledger.underWay() == 0 }); err != nil {
			return err
		}
	}
	return z.readable()
}

// readableLimit bounds the time between the last notice and the event that makes the
// runtime let the connection be read: some microseconds in the kernel, and the next
// time that the runtime looks, which it does every 10 ms if it does nothing else.
const readableLimit = 5 * time.Second

// readable waits until the runtime lets the connection be read. An event of nothing
// but EPOLLERR makes it refuse that until the next event (see the package's
// documentation). There is one to come: the kernel reported EPOLLERR alone because the
// send queue was full, and what empties it wakes those who wait to write. But nothing
// can be waited on for it, as the refusal is to those who wait.
//
// The function given to Read reads nothing, so this costs no system call.
func (z *ZeroCopyConn) readable() error {
	begun := time.Now()
	for pause := 20 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		err := z.raw.Read(func(uintptr) bool { return true })
		// Whoever reads will see for himself that it is closed or too late.
		if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if time.Since(begun) > readableLimit {
			return fmt.Errorf("MSG_ZEROCOPY: the connection cannot be read %v after the last completion: %w", readableLimit, err)
		}
		time.Sleep(pause)
	}
}

// Counts says what was sent and completed so far.
func (z *ZeroCopyConn) Counts() ZeroCopyCounts {
	c := z.counts
	c.NoBuffers = z.noBuffers.Load()
	return c
}

// Close frees the buffers, also those that the kernel still reads: it has pinned their
// pages, which live on until it is done, and which nobody can write to any more. It
// does not close the connection.
func (z *ZeroCopyConn) Close() error {
	if z.memory == nil {
		return nil
	}
	memory := z.memory
	z.memory, z.messages, z.free = nil, nil, nil
	if err := unix.Munmap(memory); err != nil {
		return fmt.Errorf("MSG_ZEROCOPY: unmap the buffers: %w", err)
	}
	return nil
}
