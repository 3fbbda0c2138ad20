//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package files

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openFlags keep a pipe that lies in the directory from blocking who opens it.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// inode is the number of the file's inode.
func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}

// lockAlone locks the directory, and tells false if another process or service has
// it locked.
func lockAlone(dir *os.File) (bool, error) {
	err := flock(dir, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// lockShared locks the directory beside others who do the same, until dir is closed.
func lockShared(dir *os.File) error { return flock(dir, syscall.LOCK_SH) }

func flock(f *os.File, how int) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for {
			if failed = syscall.Flock(int(fd), how); failed != syscall.EINTR {
				return
			}
		}
	})
	return errors.Join(err, failed)
}

// syncDir makes a rename in the directory last.
func syncDir(dir *os.File) error { return dir.Sync() }

// isFull tells whether a file could not grow for want of room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// isExhausted tells whether this process or the host has no descriptor left.
func isExhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
