//go:build !linux

package leak

import (
	"errors"
	"fmt"
	"runtime"
)

// descriptors are the open ones of this process.
func descriptors() ([]descriptor, error) {
	return nil, fmt.Errorf("leak: the open descriptors of a process are read from /proc, which %s has not (watch on Linux): %w", runtime.GOOS, errors.ErrUnsupported)
}
