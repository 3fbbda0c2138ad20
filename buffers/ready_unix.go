//go:build unix

package buffers

import (
	"io"
	"os"
	"syscall"
)

// canWait tells whether a connection can wait for input without offering memory.
const canWait = true

// ready reads a connection only when there is something to read, and has no memory
// until then.
type ready struct {
	c    *conn
	from place
	want int                   // bytes to borrow
	try  func(fd uintptr) bool // attempt, made into a function value once

	memory []byte // lent for the read that succeeded last
	n      int    // what it brought
	err    error
}

func newReady(c *conn, from place) *ready {
	r := &ready{c: c, from: from}
	r.try = r.attempt
	return r
}

// read waits and reads once, into memory. Done has to follow.
func (r *ready) read() (int, error) {
	for {
		r.n, r.err = 0, nil
		err := r.c.raw.Read(r.try)
		if err != nil && r.c.drains(err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		r.c.in.Add(uint64(r.n))
		return r.n, r.err
	}
}

// done gives the memory back.
func (r *ready) done() {
	r.from.giveBack()
	r.memory = nil
}

// attempt makes one read that does not wait, and tells whether that gave
// something: bytes, the end of the stream or an error. If not, the memory is given
// back, and the runtime calls again when there is input.
func (r *ready) attempt(fd uintptr) bool {
	r.memory = r.from.lend(r.want)
	n, err := syscall.Read(int(fd), r.memory)
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), r.memory)
	}
	switch {
	case err == syscall.EAGAIN:
		r.done()
		return false
	case err != nil:
		r.err = os.NewSyscallError("read", err)
	case n == 0:
		r.err = io.EOF
	default:
		r.n = n
	}
	return true
}
