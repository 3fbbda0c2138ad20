//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package files

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

const openFlags = os.O_RDONLY

// inode is unknown here.
func inode(fs.FileInfo) uint64 { return 0 }

// lockAlone locks nothing: Windows itself refuses to remove a file that is open, so
// what another process still writes to stays.
func lockAlone(*os.File) (bool, error) { return true, nil }

func lockShared(*os.File) error { return nil }

// syncDir does nothing: directories cannot be flushed here.
func syncDir(*os.File) error { return nil }

// isFull tells whether a file could not grow for want of room: ERROR_HANDLE_DISK_FULL
// or ERROR_DISK_FULL.
func isFull(err error) bool {
	return errors.Is(err, syscall.Errno(39)) || errors.Is(err, syscall.Errno(112))
}

// isExhausted tells whether this process has no descriptor left:
// ERROR_TOO_MANY_OPEN_FILES.
func isExhausted(err error) bool { return errors.Is(err, syscall.Errno(4)) }
