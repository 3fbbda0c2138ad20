package link

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// killAll ends all processes in the namespace and returns when none is left in it.
// A process that has left its group, or whose parent is gone, is found too: it
// cannot be in the namespace unless it descends from one that was started there.
func (n *namespace) killAll() error {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		left, err := n.kill()
		if err != nil {
			return err
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("link: %d processes in a network namespace do not end", left)
		}
	}
}

// kill sends SIGKILL to the processes in the namespace and returns how many.
func (n *namespace) kill() (int, error) {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("link: look for processes in a network namespace: %w", err)
	}
	found := 0
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() || !n.contains(pid) {
			continue
		}
		// With a descriptor the process looked at and the one killed are the same,
		// whatever becomes of its number.
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("link: open process %d: %w", pid, err)
		}
		if n.contains(pid) {
			found++
			err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		unix.Close(fd)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, fmt.Errorf("link: kill process %d: %w", pid, err)
		}
	}
	return found, nil
}

// contains tells whether a process is in the namespace. One that has ended, and
// that nobody has waited for, is in none.
func (n *namespace) contains(pid int) bool {
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	return err == nil && name == fmt.Sprintf("net:[%d]", n.inode)
}
