package listen

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// soReuseportLB is SO_REUSEPORT_LB of <sys/socket.h>, which unlike SO_REUSEPORT
// spreads connections over the sockets.
const soReuseportLB = 0x00010000

// share sets what o asks for on a socket that is going to listen.
func share(raw syscall.RawConn, o Options) error {
	if o.Steer {
		return Unsupported(errSteer)
	}
	if !o.Share {
		return nil
	}
	return setOption(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, soReuseportLB, 1)
	})
}
