package ptree

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of the times in /proc/PID/stat. USER_HZ is part of the
// kernel's interface and 100 on every architecture that Go supports.
const tick = time.Second / 100

// attempts bounds how often a walk over a tree is repeated because a process
// ended in the middle of it.
const attempts = 20

// CPUTime returns the CPU time that pid and its descendants have used since they
// started, user and system together: of live processes, with nanoseconds, that
// of all their threads, also ended ones; of descendants that ended, what their
// parents waited for, in units of 10 ms rounded down. So the sum can step back
// by up to 20 ms when a descendant ends, and never otherwise.
func CPUTime(pid int) (time.Duration, error) {
	for range attempts {
		total, err := treeTime(pid, true)
		if err == nil || !errors.Is(err, errMoved) {
			return total, err
		}
	}
	return 0, fmt.Errorf("CPU time of process %d: its descendants come and go too fast to be summed", pid)
}

// errMoved says that a descendant ended during a walk.
var errMoved = errors.New("the process tree changed")

// treeTime sums the clocks of a tree and, on request, the time of children
// waited for. It takes parents first: a process that ends between the two
// readings is then found missing rather than counted twice.
func treeTime(pid int, waited bool) (time.Duration, error) {
	tree, err := Processes(pid)
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for i, p := range tree {
		t, err := processTime(p)
		if err == nil && waited {
			var st stat
			st, err = readStat(fmt.Sprintf("/proc/%d/stat", p), p)
			t += time.Duration(st.waited) * tick
		}
		if err != nil {
			if i > 0 && errors.Is(err, ErrGone) {
				return 0, errMoved
			}
			return 0, err
		}
		total += t
	}
	return total, nil
}

// processTime reads the CPU clock of one process. The id of another process's
// clock is made as clock_getcpuclockid(3) makes it: the complement of the pid,
// shifted left by three, with 2 for the scheduler's clock of a thread group.
func processTime(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		if errors.Is(err, unix.EINVAL) { // also for a pid that does not exist
			return 0, fmt.Errorf("CPU clock of process %d: %w", pid, ErrGone)
		}
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
