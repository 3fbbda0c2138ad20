//go:build unix && !aix && !solaris && !illumos

package goroutine

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"netbench/models"
)

// temporary tells whether an accept that failed may succeed later: the process,
// the host or the network lack something now, or the peer has gone. The list is
// that of accept(2).
func temporary(err error) bool {
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

// inheritsBuffers tells whether the listener hands its buffer sizes down.
const inheritsBuffers = true

// setBuffers sets buffer sizes on a socket that is going to listen.
func setBuffers(raw syscall.RawConn, cfg models.Config) error {
	var inner error
	err := raw.Control(func(fd uintptr) {
		for _, o := range []struct{ option, size int }{{unix.SO_RCVBUF, cfg.RecvBuffer}, {unix.SO_SNDBUF, cfg.SendBuffer}} {
			if o.size > 0 && inner == nil {
				inner = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, o.option, o.size))
			}
		}
	})
	return errors.Join(err, inner)
}

// setBacklog changes the length of the backlog, for which package net has asked
// for the host's maximum, by calling listen(2) again.
func setBacklog(l net.Listener, backlog int) error {
	return control(l, func(fd uintptr) error {
		return os.NewSyscallError("listen", unix.Listen(int(fd), backlog))
	})
}

// queued tells whether a connection waits in the backlog, and whether that is
// known.
func queued(l net.Listener) (ready, known bool) {
	err := control(l, func(fd uintptr) error {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			_, err := unix.Poll(fds, 0)
			if err == unix.EINTR {
				continue
			}
			ready = err == nil && fds[0].Revents != 0
			return err
		}
	})
	return ready, err == nil || errors.Is(err, net.ErrClosed)
}

// unread is how many bytes of the stream have arrived and were not read yet, and
// whether that is known.
func unread(nc net.Conn) (n int, known bool) {
	err := control(nc, func(fd uintptr) (err error) {
		n, err = unix.IoctlGetInt(int(fd), fionread)
		return err
	})
	return n, err == nil
}
