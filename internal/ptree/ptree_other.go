//go:build !linux

package ptree

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errPlatform is what this package's functions return where there is no /proc.
var errPlatform = fmt.Errorf("observing another process needs Linux: %w", errors.ErrUnsupported)

// Processes fails on this platform.
func Processes(pid int) ([]int, error) { return nil, errPlatform }

// Threads fails on this platform.
func Threads(pid int) ([]int, error) { return nil, errPlatform }

// CPUTime fails on this platform.
func CPUTime(pid int) (time.Duration, error) { return 0, errPlatform }

// Blocked fails on this platform.
func Blocked(pid int) (bool, error) { return false, errPlatform }

// Freeze fails on this platform.
func Freeze(ctx context.Context, pid int) error { return errPlatform }

// Thaw fails on this platform.
func Thaw(pid int) error { return errPlatform }
