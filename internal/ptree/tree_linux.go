package ptree

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Processes returns pid and its descendants, parents before their children.
func Processes(pid int) ([]int, error) {
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		children, err := childrenOf(tree[i])
		if err != nil {
			if i > 0 && errors.Is(err, ErrGone) {
				continue
			}
			return nil, err
		}
		tree = append(tree, children...)
	}
	return tree, nil
}

// Threads returns the ids of the threads of one process.
func Threads(pid int) ([]int, error) {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, gone(pid, err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, gone(pid, err)
	}
	tids := make([]int, 0, len(names))
	for _, name := range names {
		tid, err := strconv.Atoi(name)
		if err != nil {
			return nil, fmt.Errorf("threads of process %d: /proc lists %q among them", pid, name)
		}
		tids = append(tids, tid)
	}
	return tids, nil
}

func childrenOf(pid int) ([]int, error) {
	tids, err := Threads(pid)
	if err != nil {
		return nil, err
	}
	var children []int
	for _, tid := range tids {
		list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, tid))
		switch {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist) && tid == pid && exists(pid):
			// The file exists only in kernels built with CONFIG_PROC_CHILDREN.
			return childrenByScan(pid)
		case errors.Is(gone(pid, err), ErrGone):
			continue // this thread ended; its children passed to another
		default:
			return nil, err
		}
		for _, field := range strings.Fields(string(list)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				return nil, fmt.Errorf("children of process %d: /proc lists %q among them", pid, field)
			}
			children = append(children, child)
		}
	}
	return children, nil
}

func exists(pid int) bool {
	return unix.Kill(pid, 0) != unix.ESRCH
}

func childrenByScan(pid int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var children []int
	for _, e := range entries {
		other, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if st, err := readStat(fmt.Sprintf("/proc/%d/stat", other), other); err == nil && st.parent == pid {
			children = append(children, other)
		}
	}
	return children, nil
}

// stat holds the fields of /proc/PID/stat (see proc_pid_stat(5)) that are wanted
// here. It is parsed by hand, since Blocked reads it for every thread while a
// measurement waits.
type stat struct {
	state  byte
	parent int
	waited uint64 // user and system time of waited-for children, in ticks
}

func readStat(path string, pid int) (stat, error) {
	line, err := os.ReadFile(path)
	if err != nil {
		return stat{}, gone(pid, err)
	}
	return parseStat(line)
}

func parseStat(line []byte) (stat, error) {
	// The command name, in parentheses, may itself hold spaces and parentheses.
	_, rest, found := bytes.Cut(line[bytes.LastIndexByte(line, ')')+1:], []byte(" "))
	fields := bytes.Fields(rest)
	const state, parent, cutime, cstime = 0, 1, 13, 14 // fields 3, 4, 16 and 17
	if !found || len(fields) <= cstime || len(fields[state]) != 1 {
		return stat{}, fmt.Errorf("unexpected line in /proc/PID/stat: %q", line)
	}
	s := stat{state: fields[state][0]}
	var err error
	if s.parent, err = strconv.Atoi(string(fields[parent])); err != nil {
		return stat{}, fmt.Errorf("parent in /proc/PID/stat: %w", err)
	}
	for _, i := range []int{cutime, cstime} {
		// Signed, as the kernel prints it.
		ticks, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return stat{}, fmt.Errorf("field %d of /proc/PID/stat: %w", i+3, err)
		}
		s.waited += uint64(max(ticks, 0))
	}
	return s, nil
}

// gone turns the errors by which the kernel says that a process has ended into
// ErrGone.
func gone(pid int, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	return err
}
