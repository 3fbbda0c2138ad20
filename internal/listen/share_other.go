//go:build !linux && !freebsd

package listen

import (
	"errors"
	"syscall"
)

// share refuses: where SO_REUSEPORT exists here, it does not spread connections
// over the sockets.
func share(_ syscall.RawConn, o Options) error {
	if o.Share || o.Steer {
		return Unsupported(errors.New("this platform does not spread connections over sockets that share an address (Linux and FreeBSD do)"))
	}
	return nil
}
