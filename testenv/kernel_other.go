//go:build !linux

package testenv

import (
	"errors"
	"fmt"
)

// ReadKernelMemory fails on this platform.
func ReadKernelMemory() (KernelMemory, error) {
	return KernelMemory{}, fmt.Errorf("kernel memory needs Linux: %w", errors.ErrUnsupported)
}
