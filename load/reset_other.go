//go:build !windows

package load

import (
	"errors"
	"syscall"
)

// isReset tells whether the peer, or the system in its place, broke a connection.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}
