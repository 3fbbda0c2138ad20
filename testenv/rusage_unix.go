//go:build unix

package testenv

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

func readRusage() (*Rusage, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return nil, fmt.Errorf("resource usage: %w", err)
	}
	unit := uint64(1 << 10)
	if runtime.GOOS == "darwin" {
		unit = 1 // it counts the resident set in bytes
	}
	return &Rusage{
		User:                time.Duration(r.Utime.Nano()),
		System:              time.Duration(r.Stime.Nano()),
		MaxRSS:              uint64(r.Maxrss) * unit,
		MinorFaults:         uint64(r.Minflt),
		MajorFaults:         uint64(r.Majflt),
		VoluntarySwitches:   uint64(r.Nvcsw),
		InvoluntarySwitches: uint64(r.Nivcsw),
	}, nil
}
