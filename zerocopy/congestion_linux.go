package zerocopy

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// checkCongestion returns an error for a congestion control that this kernel does not
// have, or this process may not choose.
func checkCongestion(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	return congestion(fd, name)
}

// setCongestion sets the congestion control of what a connection sends.
func setCongestion(conn *net.TCPConn, name string) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var fault error
	if err := raw.Control(func(fd uintptr) { fault = congestion(int(fd), name) }); err != nil {
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
