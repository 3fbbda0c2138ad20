package cpu

import (
	"time"

	"golang.org/x/sys/windows"
)

// Used is the CPU time that this process has used, all threads together.
func Used() time.Duration {
	var created, exited, kernel, user windows.Filetime
	if windows.GetProcessTimes(windows.CurrentProcess(), &created, &exited, &kernel, &user) != nil {
		return 0
	}
	return time.Duration(ticks(kernel)+ticks(user)) * 100
}

// ticks is a duration in the system's unit, 100 ns.
func ticks(t windows.Filetime) int64 {
	return int64(t.HighDateTime)<<32 | int64(t.LowDateTime)
}
