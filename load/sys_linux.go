package load

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of the measuring loop do not tell the Go scheduler that they
// happen. Each is short, but for the wait, which is bounded; and while a thread
// is in a call that the scheduler knows of, sysmon takes its processor away
// after 20 µs and wakes every 20 µs to do so, on the very CPU that measures. A
// stop of the world interrupts the wait by a signal, so it is not held up.

// rawRead and rawWrite are recv and send, which reach the socket on a shorter way
// through the kernel than read and write do: 2 % less CPU time for an echo (netbench
// calibrate, Linux 6.18).
func rawRead(fd int32, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
	return int(n), e
}

func rawWrite(fd int32, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

// rawWait waits for events with a resolution of nanoseconds (epoll_pwait2, Linux
// 5.11). A timeout of 0 polls.
func rawWait(ep int, events []unix.EpollEvent, timeout time.Duration) (int, syscall.Errno) {
	ts := unix.NsecToTimespec(int64(max(timeout, 0)))
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	return int(n), e
}

// pinThread ties the calling thread to one CPU, and lets its timers fire when
// they are due instead of up to 50 µs later.
func pinThread(cpu int) error {
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return err
	}
	if cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}
