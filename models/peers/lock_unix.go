//go:build unix && !aix && !solaris && !illumos

package peers

import (
	"os"

	"golang.org/x/sys/unix"
)

// tryLock locks a file unless somebody else has.
func tryLock(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK || err == unix.EINTR {
		return false, nil
	}
	return err == nil, err
}
