//go:build !unix

package buffers

import "errors"

// canWait tells that a connection cannot wait for input without offering memory.
const canWait = false

// ready is never made here.
type ready struct {
	want   int
	memory []byte
}

func newReady(*conn, place) *ready { return &ready{} }

func (r *ready) read() (int, error) { return 0, errors.ErrUnsupported }

func (r *ready) done() {}
