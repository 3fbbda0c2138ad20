package cpu

import (
	"time"

	"golang.org/x/sys/unix"
)

// Used is the CPU time that this process has used, all threads together.
func Used() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
