// Package counters counts what another process asks of the kernel: system calls
// and context switches of every thread of a process tree, by perf events.
//
// The kernel counts while the process runs, for a few percent of its time, so
// times measured meanwhile are not comparable with others. One event is opened on
// every thread; it is inherited by the threads and processes which that thread
// makes later, so that nothing is missed and nothing is asked of the process.
//
// System calls are the tracepoint raw_syscalls:sys_enter. Its number has to be
// read from tracefs, which need not be mounted anywhere: then the file system is
// opened without mounting it, and the host stays as it is.
//
// Where the kernel does not let this process count, the counter is absent and
// says why. An absent counter is not zero.
package counters

// Counts is what was counted since [Open]. A counter is valid only if the reason
// for its absence is empty.
type Counts struct {
	Syscalls    uint64 `json:"syscalls"`     // system calls entered
	CtxSwitches uint64 `json:"ctx_switches"` // context switches, voluntary or not

	NoSyscalls    string `json:"no_syscalls,omitempty"`     // why Syscalls is absent
	NoCtxSwitches string `json:"no_ctx_switches,omitempty"` // why CtxSwitches is absent
}

// Sub returns what was counted between an earlier reading and c.
func (c Counts) Sub(earlier Counts) Counts {
	if c.NoSyscalls == "" {
		c.Syscalls -= earlier.Syscalls
	}
	if c.NoCtxSwitches == "" {
		c.CtxSwitches -= earlier.CtxSwitches
	}
	return c
}
