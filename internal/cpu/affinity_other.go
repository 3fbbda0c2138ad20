//go:build !linux

package cpu

import (
	"errors"
	"fmt"
	"strconv"
)

// errPlatform is what this package's functions return where threads cannot be
// tied to CPUs.
var errPlatform = fmt.Errorf("CPU sets need Linux: %w", errors.ErrUnsupported)

// Initial returns the set that this process was started on; not on this
// platform.
func Initial() ([]int, error) { return nil, errPlatform }

// Thread returns the set of a thread; not on this platform.
func Thread(tid int) ([]int, error) { return nil, errPlatform }

// RunOn calls f; with cpus, it fails on this platform.
func RunOn(cpus []int, f func() error) error {
	if len(cpus) == 0 {
		return f()
	}
	return errPlatform
}

// PinProcess fails on this platform.
func PinProcess(cpus []int) error { return errPlatform }

// Core names the physical core of a CPU; on this platform every CPU is one.
func Core(cpu int) string { return strconv.Itoa(cpu) }
