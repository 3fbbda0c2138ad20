// Package ptree observes a process and all its descendants from outside: their
// CPU time, whether they run, their threads. The observed processes need not
// cooperate, so observing costs them nothing.
//
// A server is measured as a tree because some servers are several processes. The
// tree is what the kernel's parent links show: a process whose parent ended was
// adopted by another and is not found any more.
//
// CPU time is read from the processes' CPU clocks, which count nanoseconds,
// whereas /proc/PID/stat counts in hundredths of a second. Even the clock has a
// catch: the kernel brings the account of a thread up to date when the thread
// leaves the CPU and at scheduler ticks, so the clock of a running process read
// from outside lags by up to one tick (4 ms at 250 Hz). It is exact when every
// thread is blocked, which [Blocked] tells.
package ptree

import "errors"

// ErrGone is wrapped by errors about a process that does not exist (any more).
var ErrGone = errors.New("no such process")
