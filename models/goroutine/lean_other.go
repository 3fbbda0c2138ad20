//go:build !unix

package goroutine

import "errors"

const leanSupported = false

// tryRead is never called here, as no server of the lean variant is made.
func (c *conn) tryRead(uintptr) bool {
	c.lean.n, c.lean.err = 0, errors.ErrUnsupported
	return true
}
