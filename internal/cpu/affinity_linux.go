package cpu

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// maxCPUs bounds the masks handed to the kernel, which refuses to read a mask
// that is smaller than its own; no Linux kernel is configured for more.
const maxCPUs = 8192

// initialMask is read while packages initialise: the main goroutine still runs
// on the main thread then, and nobody has moved it.
var initialMask, initialErr = Thread(0)

// pinning keeps PinProcess from racing with RunOn, which would give its thread
// the old mask back after the process was moved.
var pinning sync.Mutex

// Initial returns the set that this process was started on, whatever
// [PinProcess] did since.
func Initial() ([]int, error) { return slices.Clone(initialMask), initialErr }

// Thread returns the set of the thread with the given id; 0 is the calling one.
func Thread(tid int) ([]int, error) {
	mask := unix.NewCPUSet(maxCPUs)
	if err := unix.SchedGetaffinityDynamic(tid, mask); err != nil {
		return nil, fmt.Errorf("read the CPU set of thread %d: %w", tid, err)
	}
	var cpus []int
	for c := range maxCPUs {
		if mask.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}

// setThread moves a thread and makes sure that it got all it was given: the
// kernel silently leaves out CPUs that a cpuset cgroup forbids or that are
// offline.
func setThread(tid int, cpus []int) error {
	mask := unix.NewCPUSet(maxCPUs)
	for _, c := range cpus {
		if c >= maxCPUs {
			return fmt.Errorf("CPU %d: this host has fewer", c)
		}
		mask.Set(c)
	}
	if err := unix.SchedSetaffinityDynamic(tid, mask); err != nil {
		if errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("pin to CPUs %s: none of them may be used here (this process was started on %s)", Format(cpus), Format(initialMask))
		}
		return fmt.Errorf("pin to CPUs %s: %w", Format(cpus), err)
	}
	got, err := Thread(tid)
	if err != nil {
		return err
	}
	if want := slices.Sorted(slices.Values(cpus)); !slices.Equal(got, want) {
		return fmt.Errorf("pin to CPUs %s: the kernel allows only %s of them", Format(want), Format(got))
	}
	return nil
}

// RunOn calls f on a thread that runs on cpus, and gives the thread its previous
// set back. Whatever f forks starts on cpus. With no cpus it just calls f.
func RunOn(cpus []int, f func() error) (err error) {
	if len(cpus) == 0 {
		return f()
	}
	if err := Check(cpus); err != nil {
		return err
	}
	pinning.Lock()
	defer pinning.Unlock()
	runtime.LockOSThread()
	before, err := Thread(0)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		if back := setThread(0, before); back != nil {
			// The thread stays locked, so that the runtime ends it together
			// with this goroutine instead of running others on a wrong CPU.
			err = errors.Join(err, back)
			return
		}
		runtime.UnlockOSThread()
	}()
	if err := setThread(0, cpus); err != nil {
		return err
	}
	return f()
}

// PinProcess moves every thread of this process to cpus, and so every thread
// that they make from now on. It does not touch GOMAXPROCS.
func PinProcess(cpus []int) error {
	if len(cpus) == 0 {
		return errors.New("pin this process: no CPU given")
	}
	if err := Check(cpus); err != nil {
		return err
	}
	pinning.Lock()
	defer pinning.Unlock()
	want := slices.Sorted(slices.Values(cpus))
	// A thread not yet moved may make another one behind our back, which then
	// has the old mask: go round until a whole pass found nothing to move. As
	// every pass leaves fewer threads that could do so, it soon ends.
	for range 100 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list the threads of this process: %w", err)
		}
		moved := false
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				continue
			}
			if got, err := Thread(tid); err == nil && slices.Equal(got, want) {
				continue
			}
			switch err := setThread(tid, want); {
			case errors.Is(err, unix.ESRCH): // ended meanwhile
			case err != nil:
				return err
			default:
				moved = true
			}
		}
		if !moved {
			return nil
		}
	}
	return fmt.Errorf("pin this process to CPUs %s: it makes threads faster than they can be moved", Format(cpus))
}

// Core names the physical core of a CPU: the list of the hardware threads that
// share it. Where the kernel does not tell, every CPU is a core of its own.
func Core(cpu int) string {
	list, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu))
	if name := strings.TrimSpace(string(list)); err == nil && name != "" {
		return name
	}
	return strconv.Itoa(cpu)
}
