package reactor

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"netbench/models"
)

// calls makes the system calls that every request needs. Sockets do not block,
// so nothing is gained by telling the scheduler of a call that is over at once:
// raw calls keep the processor. recv and send skip what read and write do for
// files.
type calls struct{ handOff bool }

func (k *calls) read(fd int, b []byte) (int, syscall.Errno) {
	if k.handOff {
		n, _, errno := syscall.Syscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
		return int(n), errno
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
	return int(n), errno
}

func (k *calls) write(fd int, b []byte) (int, syscall.Errno) {
	if k.handOff {
		n, _, errno := syscall.Syscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		return int(n), errno
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

// acceptFD accepts a connection that does not block.
func acceptFD(listener int) (int, error) {
	fd, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(listener), 0, 0, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// configure sets what a connection does not inherit from its listener: on Linux,
// the buffers of Unix sockets.
func configure(fd int, cfg *models.Config) error {
	if cfg.Network != "unix" {
		return nil
	}
	return setBuffers(fd, cfg)
}
