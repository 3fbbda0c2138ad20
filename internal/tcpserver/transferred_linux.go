package tcpserver

import (
	"net"

	"golang.org/x/sys/unix"
)

// Transferred is how many bytes a connection has received, and has sent and got
// acknowledged, by the kernel's account: what moves within one long write or splice
// too. It is 0 if c is nil or closed.
func Transferred(c *net.TCPConn) uint64 {
	if c == nil {
		return 0
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	var sum uint64
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			sum = info.Bytes_received + info.Bytes_acked
		}
	})
	return sum
}
