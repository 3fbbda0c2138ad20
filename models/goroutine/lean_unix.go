//go:build unix

package goroutine

import (
	"io"
	"os"
	"syscall"
)

const leanSupported = true

// tryRead makes one read that does not wait. It tells whether that gave
// something: bytes, the end of the stream or an error. If not, the connection is
// left without a buffer, unless the beginning of a message is in it, and the
// runtime calls again when there is something to read.
func (c *conn) tryRead(fd uintptr) bool {
	room := c.room()
	n, err := syscall.Read(int(fd), room)
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), room)
	}
	switch {
	case err == syscall.EAGAIN:
		c.unborrow()
		return false
	case err != nil:
		n, err = 0, os.NewSyscallError("read", err)
	case n == 0:
		err = io.EOF
	}
	c.lean.n, c.lean.err = n, err
	return true
}
