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
	return onDescriptor(conn, func(fd int) error { return congestion(fd, name) })
}

// checkPacing has nothing to say: every kernel can pace.
func checkPacing() error { return nil }

// setPacing has the kernel pace what a connection sends, at that many bytes a second at
// most.
func setPacing(conn *net.TCPConn, rate int64) error {
	return onDescriptor(conn, func(fd int) error {
		if err := unix.SetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, uint64(rate)); err != nil {
			return fmt.Errorf("SO_MAX_PACING_RATE of %d bytes a second: %w", rate, err)
		}
		return nil
	})
}

// onDescriptor calls set with the descriptor of a connection, which stays non-blocking.
func onDescriptor(conn *net.TCPConn, set func(fd int) error) error {
	raw, err := conn.SyscallConn()
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
