package counters

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mountPoint is where tracefs is on most hosts. The older place under
// /sys/kernel/debug is left alone: looking there would mount it.
const mountPoint = "/sys/kernel/tracing"

// tracepointID returns the number by which perf knows a tracepoint.
func tracepointID(group, name string) (uint64, error) {
	file := path.Join("events", group, name, "id")
	text, mounted := os.ReadFile(path.Join(mountPoint, file))
	if mounted != nil {
		var detached error
		if text, detached = readDetached(file); detached != nil {
			return 0, fmt.Errorf("number of tracepoint %s:%s: %w (neither mounted nor to be opened; needs root or CAP_SYS_ADMIN)",
				group, name, errors.Join(mounted, detached))
		}
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("number of tracepoint %s:%s: %w", group, name, err)
	}
	return id, nil
}

// readDetached reads a file of tracefs through a mount that is attached nowhere
// and ends with its descriptor.
func readDetached(file string) ([]byte, error) {
	fs, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open tracefs: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("configure tracefs: %w", err)
	}
	root, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, fmt.Errorf("instantiate tracefs: %w", err)
	}
	defer unix.Close(root)
	fd, err := unix.Openat(root, file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s in tracefs: %w", file, err)
	}
	defer unix.Close(fd)
	text := make([]byte, 64) // a number
	n, err := unix.Read(fd, text)
	if err != nil {
		return nil, fmt.Errorf("read %s in tracefs: %w", file, err)
	}
	return text[:n], nil
}
