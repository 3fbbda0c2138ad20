//go:build unix && !linux

package cpu

import (
	"time"

	"golang.org/x/sys/unix"
)

// Used is the CPU time that this process has used, all threads together.
func Used() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
