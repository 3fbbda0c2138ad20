//go:build unix && !aix && !solaris && !illumos

package listen

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"netbench/models"
)

// Temporary tells whether an accept that failed may succeed later: the process,
// the host or the network lack something now, or the peer has gone. The list is
// that of accept(2).
func Temporary(err error) bool {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return false
	}
	switch number {
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM,
		unix.ECONNABORTED, unix.ECONNRESET, unix.EINTR, unix.EAGAIN, unix.EPERM,
		unix.EPROTO, unix.ENOPROTOOPT, unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ETIMEDOUT:
		return true
	}
	return false
}

func inUse(err error) bool   { return errors.Is(err, unix.EADDRINUSE) }
func refused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }

// InheritsBuffers tells whether a TCP listener hands its buffer sizes down.
const InheritsBuffers = true

// setBuffers sets buffer sizes on a socket that is going to listen.
func setBuffers(raw syscall.RawConn, cfg models.Config) error {
	return setOption(raw, func(fd int) error {
		for _, o := range []struct{ option, size int }{{unix.SO_RCVBUF, cfg.RecvBuffer}, {unix.SO_SNDBUF, cfg.SendBuffer}} {
			if o.size > 0 {
				if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.option, o.size); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func setNoDelay(raw syscall.RawConn, o Options) error {
	if !o.NoDelay {
		return nil
	}
	return setOption(raw, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) })
}

// setOption calls set, which sets options of a socket that is not open yet.
func setOption(raw syscall.RawConn, set func(fd int) error) error {
	var inner error
	err := raw.Control(func(fd uintptr) { inner = os.NewSyscallError("setsockopt", set(int(fd))) })
	return errors.Join(err, inner)
}

// setBacklog changes the length of the backlog, for which package net has asked
// for the host's maximum, by calling listen(2) again.
func setBacklog(l net.Listener, backlog int) error {
	return Control(l, func(fd uintptr) error {
		return os.NewSyscallError("listen", unix.Listen(int(fd), backlog))
	})
}

// Queued tells whether a connection waits in the backlog, and whether that is
// known.
func Queued(l net.Listener) (ready, known bool) {
	err := Control(l, func(fd uintptr) (err error) {
		ready, err = Readable(int(fd))
		return err
	})
	return ready, err == nil || errors.Is(err, net.ErrClosed)
}

// Readable tells whether a descriptor has input, an error or its end.
func Readable(fd int) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, 0)
		if err == unix.EINTR {
			continue
		}
		return err == nil && fds[0].Revents != 0, err
	}
}

// Unread is how many bytes of the stream have arrived and were not read yet, and
// whether that is known.
func Unread(nc net.Conn) (n int, known bool) {
	err := Control(nc, func(fd uintptr) (err error) {
		n, err = UnreadOf(int(fd))
		return err
	})
	return n, err == nil
}

// UnreadOf is Unread of a descriptor.
func UnreadOf(fd int) (int, error) { return unix.IoctlGetInt(fd, fionread) }
