package proxy

import (
	"net"

	"golang.org/x/sys/unix"
)

// gone tells whether the kernel has done with a connection: it was reset, or both
// sides have ended it.
func gone(c *net.TCPConn) (is bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		is = err == nil && info.State == unix.BPF_TCP_CLOSE
	})
	return is
}
