//go:build !linux

package counters

import (
	"errors"
	"fmt"
)

// Set counts on the threads of one process tree; not on this platform.
type Set struct{}

var errPlatform = fmt.Errorf("counting system calls and context switches needs Linux: %w", errors.ErrUnsupported)

// Open fails on this platform.
func Open(pid int) (*Set, error) { return nil, errPlatform }

// Read fails on this platform.
func (s *Set) Read() (Counts, error) { return Counts{}, errPlatform }

// Close does nothing on this platform.
func (s *Set) Close() error { return nil }

// ErrNoReads is wrapped by the error of a [LargestRead] that saw no read.
var ErrNoReads = errors.New("no read was seen")

// LargestRead fails on this platform.
func LargestRead(pid int, during func() error) (bytes int, err error) {
	return 0, fmt.Errorf("watching reads needs Linux: %w", errors.ErrUnsupported)
}
