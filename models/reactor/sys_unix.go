//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"syscall"

	"golang.org/x/sys/unix"

	"netbench/models"
)

const (
	again       = syscall.EAGAIN
	interrupted = syscall.EINTR
)

// setBuffers sets the sizes of a connection's buffers, where they are asked for.
func setBuffers(fd int, cfg *models.Config) error {
	if cfg.RecvBuffer > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, cfg.RecvBuffer); err != nil {
			return err
		}
	}
	if cfg.SendBuffer > 0 {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, cfg.SendBuffer)
	}
	return nil
}

// What follows is for connections that end. If it fails, there is nobody on the
// other side.

func closeFD(fd int)       { _ = unix.Close(fd) }
func shutdownWrite(fd int) { _ = unix.Shutdown(fd, unix.SHUT_WR) }
func shutdownBoth(fd int)  { _ = unix.Shutdown(fd, unix.SHUT_RDWR) }

// abandon sees to it that closing a connection frees what the kernel has not
// sent, instead of leaving it to go on trying.
func abandon(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}
