package load

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// bindNoPort lets a socket that is bound to a source address share its local
// port with sockets that are connected elsewhere: the port is then chosen when
// the target is known.
func bindNoPort(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	if err != nil {
		return err
	}
	return failed
}
