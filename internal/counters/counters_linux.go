package counters

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"netbench/internal/ptree"
)

// Set counts on the threads of one process tree. Its methods may be called from
// several goroutines.
type Set struct {
	mu     sync.Mutex
	events []*event
}

// event is one counter on all threads.
type event struct {
	name   string
	attr   unix.PerfEventAttr
	absent error
	fds    []int
}

// Open starts to count on the process pid and its descendants, which takes two
// descriptors of this process per thread. It fails if neither counter is to be
// had; if only one is, the other is marked absent in [Counts].
func Open(pid int) (*Set, error) {
	syscalls := &event{name: "system calls"}
	if id, err := tracepointID("raw_syscalls", "sys_enter"); err != nil {
		syscalls.absent = err
	} else {
		syscalls.attr = unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id}
	}
	switches := &event{name: "context switches", attr: unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CONTEXT_SWITCHES,
	}}
	s := &Set{events: []*event{syscalls, switches}}
	for _, e := range s.events {
		e.attr.Size = uint32(unsafe.Sizeof(e.attr))
		e.attr.Bits = unix.PerfBitInherit
		if e.absent == nil {
			e.absent = e.open(pid)
		}
	}
	if syscalls.absent != nil && switches.absent != nil {
		return nil, fmt.Errorf("count on process %d: %w", pid, errors.Join(syscalls.absent, switches.absent))
	}
	return s, nil
}

// attempts bounds how often opening starts anew because a thread came or went.
const attempts = 50

// open attaches the event to every thread. A thread that appears while this goes
// on may or may not have inherited the event from the thread that made it, which
// nobody can tell afterwards; so if the list of threads has changed at the end,
// everything is closed and done again.
func (e *event) open(pid int) error {
	for range attempts {
		before, err := treeThreads(pid)
		if err != nil {
			return err
		}
		err = e.attach(before)
		if err == nil {
			var after []int
			if after, err = treeThreads(pid); err == nil && slices.Equal(before, after) {
				return nil
			}
		}
		e.close()
		if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, ptree.ErrGone) {
			return err
		}
	}
	return fmt.Errorf("count %s of process %d: its threads come and go too fast to attach to all of them, or it has ended", e.name, pid)
}

func (e *event) attach(tids []int) error {
	for _, tid := range tids {
		fd, err := unix.PerfEventOpen(&e.attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			return fmt.Errorf("count %s of thread %d: %w%s", e.name, tid, err, hint(err))
		}
		e.fds = append(e.fds, fd)
	}
	return nil
}

// treeThreads lists the threads of a process tree in ascending order.
func treeThreads(pid int) ([]int, error) {
	tree, err := ptree.Processes(pid)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, p := range tree {
		tids, err := ptree.Threads(p)
		if err != nil {
			return nil, err
		}
		all = append(all, tids...)
	}
	slices.Sort(all)
	return all, nil
}

// hint says what to do about an error of perf_event_open.
func hint(err error) string {
	switch {
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
		level, _ := os.ReadFile("/proc/sys/kernel/perf_event_paranoid")
		return fmt.Sprintf(" (needs root or CAP_PERFMON; kernel.perf_event_paranoid is %q here)", strings.TrimSpace(string(level)))
	case errors.Is(err, unix.EMFILE):
		return " (raise the limit of open files)"
	case errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOENT):
		return " (this kernel was built without it)"
	}
	return ""
}

// Read returns what was counted so far, also of threads that have ended.
func (s *Set) Read() (Counts, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.events == nil {
		return Counts{}, errors.New("read counters: they are closed")
	}
	var c Counts
	for i, e := range s.events {
		n, err := e.read()
		if err != nil {
			return Counts{}, err
		}
		why := ""
		if e.absent != nil {
			why = e.absent.Error()
		}
		if i == 0 {
			c.Syscalls, c.NoSyscalls = n, why
		} else {
			c.CtxSwitches, c.NoCtxSwitches = n, why
		}
	}
	return c, nil
}

func (e *event) read() (uint64, error) {
	var total uint64
	for _, fd := range e.fds {
		var value [8]byte
		n, err := unix.Read(fd, value[:])
		if err != nil {
			return 0, fmt.Errorf("read the counter of %s: %w", e.name, err)
		}
		if n != len(value) {
			return 0, fmt.Errorf("read the counter of %s: %d bytes, not %d", e.name, n, len(value))
		}
		total += binary.NativeEndian.Uint64(value[:])
	}
	return total, nil
}

// Close stops counting. It may be called several times.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		e.close()
	}
	s.events = nil
	return nil
}

func (e *event) close() {
	for _, fd := range e.fds {
		_ = unix.Close(fd) // nothing is written through it
	}
	e.fds = nil
}
