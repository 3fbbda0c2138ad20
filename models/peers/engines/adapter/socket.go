package adapter

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"netbench/models"
	"netbench/models/internal/listen"
)

// OneListener is the error of a configuration that asks for more listeners.
func OneListener(cfg models.Config) error {
	return listen.Unsupported(&models.ConfigError{
		Field: "Listeners", Value: cfg.Listeners,
		Want: "1: other people's engines open their listeners themselves",
	})
}

// ListenError says what was asked for when an engine could not listen.
func ListenError(model string, cfg models.Config, err error) error {
	return fmt.Errorf("%s: listen %s %s: %w", model, cfg.Network, cfg.Address, err)
}

// Backlog changes the length of a listener's queue, if n is not 0.
func Backlog(fd, n int) error {
	if n == 0 {
		return nil
	}
	return os.NewSyscallError("listen", unix.Listen(fd, n))
}

// AddrOf is the local address of a socket.
func AddrOf(fd int) (net.Addr, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: name.Addr[:], Port: name.Port}, nil
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: name.Addr[:], Port: name.Port}, nil
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: name.Name, Net: "unix"}, nil
	}
	return nil, fmt.Errorf("a socket of an unknown family %T", name)
}

// Unread is how many bytes wait in a socket.
func Unread(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}
