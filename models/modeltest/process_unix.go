//go:build unix

package modeltest

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// processCPU returns the CPU time, user and system, that this process has used.
func processCPU() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, os.NewSyscallError("getrusage", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// descriptorCount returns how many descriptors this process has open, or -1
// where the system does not tell.
func descriptorCount() int {
	dir := ""
	switch runtime.GOOS {
	case "linux", "android":
		dir = "/proc/self/fd"
	case "darwin", "ios":
		dir = "/dev/fd"
	default:
		return -1
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return -1
	}
	return len(names) - 1 // the directory itself was open meanwhile
}

func lacksDescriptorLimit() string { return "" }

// exhaustDescriptors makes every attempt of this process to open another
// descriptor fail with EMFILE, until restore is called. It lowers the soft
// limit to the first number that is free, since the kernel always hands out
// the lowest one: nothing has to be opened, however high the limit is.
func exhaustDescriptors() (restore func() error, err error) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		return nil, os.NewSyscallError("getrlimit", err)
	}
	free, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	if err := unix.Close(free); err != nil {
		return nil, os.NewSyscallError("close", err)
	}
	low := old
	assign(&low.Cur, free)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		return nil, os.NewSyscallError("setrlimit", err)
	}
	return func() error {
		return os.NewSyscallError("setrlimit", unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
	}, nil
}

// assign exists because the field's type differs between systems.
func assign[N int64 | uint64](field *N, n int) { *field = N(n) }
