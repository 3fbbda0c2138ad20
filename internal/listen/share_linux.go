package listen

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// share sets what o asks for on a socket that is going to listen.
func share(raw syscall.RawConn, o Options) error {
	return setOption(raw, func(fd int) error {
		if o.Share {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
				return err
			}
		}
		if o.Steer {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_INCOMING_CPU, o.IncomingCPU)
		}
		return nil
	})
}
