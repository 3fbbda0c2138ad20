package ptree

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Blocked tells whether no thread of the tree runs or waits for a CPU, all at
// the same time.
//
// Looking at one thread after the other could miss work that is handed on from a
// thread not yet looked at to one already seen asleep. But a thread that hands
// on and blocks is charged at that moment, so a CPU clock that reads the same
// before and after the look shows that nobody did.
func Blocked(pid int) (bool, error) {
	before, err := treeTime(pid, false)
	if err != nil {
		return false, ignoreMoved(err)
	}
	still, err := allThreads(pid, func(state byte) bool { return state != 'R' })
	if !still || err != nil {
		return false, err
	}
	after, err := treeTime(pid, false)
	if err != nil {
		return false, ignoreMoved(err)
	}
	return before == after, nil
}

func ignoreMoved(err error) error {
	if errors.Is(err, errMoved) {
		return nil
	}
	return err
}

// allThreads tells whether the state of every thread of the tree satisfies ok.
// Threads and descendants that end meanwhile count as not yet satisfying it.
func allThreads(pid int, ok func(state byte) bool) (bool, error) {
	tree, err := Processes(pid)
	if err != nil {
		return false, err
	}
	for i, p := range tree {
		tids, err := Threads(p)
		if err != nil {
			if i > 0 && errors.Is(err, ErrGone) {
				return false, nil
			}
			return false, err
		}
		for _, tid := range tids {
			st, err := readStat(fmt.Sprintf("/proc/%d/task/%d/stat", p, tid), tid)
			if errors.Is(err, ErrGone) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			if !ok(st.state) {
				return false, nil
			}
		}
	}
	return true, nil
}

// stopPoll is the pause between two looks at a tree that is being stopped.
const stopPoll = 200 * time.Microsecond

// Freeze stops every process of the tree with SIGSTOP and returns when all
// threads have stopped, which takes the kernel a moment, or when ctx ends.
func Freeze(ctx context.Context, pid int) error {
	stopped := func(state byte) bool { return state == 'T' || state == 't' || state == 'Z' || state == 'X' }
	for {
		// Signalled each time round, as a process may have forked meanwhile.
		if err := signal(pid, unix.SIGSTOP); err != nil {
			return err
		}
		done, err := allThreads(pid, stopped)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stop process %d: %w", pid, ctx.Err())
		case <-time.After(stopPoll):
		}
	}
}

// Thaw lets a frozen tree continue.
func Thaw(pid int) error { return signal(pid, unix.SIGCONT) }

func signal(pid int, sig unix.Signal) error {
	tree, err := Processes(pid)
	if err != nil {
		return err
	}
	for i, p := range tree {
		if err := unix.Kill(p, sig); err != nil && (i == 0 || !errors.Is(err, unix.ESRCH)) {
			return fmt.Errorf("signal %v to process %d: %w", sig, p, gone(p, err))
		}
	}
	return nil
}
