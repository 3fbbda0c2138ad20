package load

import (
	"errors"
	"syscall"
)

// isReset tells whether the peer, or the system in its place, broke a connection.
func isReset(err error) bool {
	return errors.Is(err, syscall.WSAECONNRESET) || errors.Is(err, syscall.WSAECONNABORTED)
}
