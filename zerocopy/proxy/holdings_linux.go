package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadHoldings looks at the descriptors of a process, which may be this one: then the one
// that it looks with is not counted. Descriptors that are closed meanwhile are left
// out. It needs the same user, or root.
func ReadHoldings(pid int) (Holdings, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	d, err := os.Open(dir)
	if err != nil {
		return Holdings{}, fmt.Errorf("proxy: descriptors of process %d: %w", pid, err)
	}
	names, err := d.Readdirnames(-1)
	own := int(d.Fd())
	if err = errors.Join(err, d.Close()); err != nil {
		return Holdings{}, fmt.Errorf("proxy: descriptors of process %d: %w", pid, err)
	}
	var h Holdings
	seen := make(map[string]bool)
	for _, name := range names {
		if pid == os.Getpid() && name == strconv.Itoa(own) {
			continue
		}
		path := filepath.Join(dir, name)
		target, err := os.Readlink(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Holdings{}, fmt.Errorf("proxy: %w", err)
		}
		h.Descriptors++
		switch {
		case strings.HasPrefix(target, "socket:"):
			h.Sockets++
		case strings.HasPrefix(target, "pipe:"):
			h.PipeEnds++
			if seen[target] {
				continue
			}
			seen[target] = true
			h.Pipes++
			size, err := pipeCapacity(path)
			if err != nil {
				return Holdings{}, err
			}
			h.PipeBytes += size
		}
	}
	return h, nil
}

// pipeCapacity opens a pipe of another process, or of this one, once more to ask for
// its capacity. It is 0 for a pipe that is gone.
func pipeCapacity(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("proxy: open %s: %w", path, err)
	}
	defer unix.Close(fd)
	size, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		return 0, fmt.Errorf("proxy: capacity of %s: %w", path, err)
	}
	return size, nil
}
