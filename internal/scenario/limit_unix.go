//go:build unix

package scenario

import "golang.org/x/sys/unix"

// descriptorLimit is the largest number of descriptors of a process here.
func descriptorLimit() int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 1024
	}
	return int(min(uint64(r.Max), 1<<30))
}
