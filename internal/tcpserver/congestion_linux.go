package tcpserver

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// CheckCongestion returns an error for a congestion control that this kernel does not
// have, or this process may not choose. Needs Linux.
func CheckCongestion(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	return congestion(fd, name)
}

// SetCongestion sets the congestion control of what a connection sends. Needs Linux.
func SetCongestion(c *net.TCPConn, name string) error {
	return OnDescriptor(c, func(fd int) error { return congestion(fd, name) })
}

// SetPacing has the kernel pace what a connection sends, at that many bytes a second at
// most. Needs Linux.
func SetPacing(c *net.TCPConn, rate int64) error {
	return OnDescriptor(c, func(fd int) error {
		if err := unix.SetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, uint64(rate)); err != nil {
			return fmt.Errorf("SO_MAX_PACING_RATE of %d bytes a second: %w", rate, err)
		}
		return nil
	})
}

// OnDescriptor calls set with the descriptor of a connection, which stays non-blocking,
// and returns its error.
func OnDescriptor(c *net.TCPConn, set func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var fault error
	if err := raw.Control(func(fd uintptr) { fault = set(int(fd)) }); err != nil {
		return err
	}
	return fault
}

func congestion(fd int, name string) error {
	if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name); err != nil {
		return fmt.Errorf("congestion control %.20q: %w (see net.ipv4.tcp_available_congestion_control, and tcp_allowed_congestion_control without root)", name, err)
	}
	return nil
}
