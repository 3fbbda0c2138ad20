//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"syscall"

	"golang.org/x/sys/unix"

	"netbench/models"
)

// calls makes the system calls that every request needs. These systems demand
// that their C library is called, for which Go tells its scheduler in any case.
type calls struct{ handOff bool }

func (k *calls) read(fd int, b []byte) (int, syscall.Errno) {
	n, err := syscall.Read(fd, b)
	return n, errnoOf(err)
}

func (k *calls) write(fd int, b []byte) (int, syscall.Errno) {
	n, err := syscall.Write(fd, b)
	return n, errnoOf(err)
}

func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if errno, ok := err.(syscall.Errno); ok {
		return errno
	}
	return syscall.EIO
}

// acceptFD accepts a connection that does not block.
func acceptFD(listener int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, _, err := unix.Accept(listener)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		closeFD(fd)
		return -1, err
	}
	return fd, nil
}

// configure sets what a connection may not inherit from its listener.
func configure(fd int, cfg *models.Config) error {
	if cfg.Network != "unix" && cfg.NoDelay != models.Off {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
	}
	return setBuffers(fd, cfg)
}
