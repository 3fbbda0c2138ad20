package testenv

import (
	"time"

	"netbench/models"
)

// Snapshot is the state of a server's process at one moment, or of all its
// processes: see [Family]. Counters count from its start, so what happened
// between two snapshots is their difference. What the platform does not tell is
// absent: a nil pointer, or -1 where so noted.
type Snapshot struct {
	Time    time.Time    `json:"time"`
	Server  models.Stats `json:"server"`
	Runtime Runtime      `json:"runtime"`

	// PerListener counts the connections of each listener, if the server tells
	// them apart: see [models.Spread].
	PerListener []uint64 `json:"per_listener,omitempty"`

	Rusage  *Rusage `json:"rusage,omitempty"` // nil on Windows
	Memory  *Memory `json:"memory,omitempty"` // nil but on Linux
	FDs     int     `json:"fds"`              // open descriptors; -1 but on Linux
	Threads int     `json:"threads"`          // threads of the OS; -1 but on Linux
	CPUs    []int   `json:"cpus,omitempty"`   // the set that it runs on; nil but on Linux
}

// Rusage is what the operating system has accounted to the process.
type Rusage struct {
	User   time.Duration `json:"user_ns"`   // CPU time in user mode
	System time.Duration `json:"system_ns"` // CPU time in the kernel
	MaxRSS uint64        `json:"max_rss"`   // largest resident set of this program so far, in bytes; but on Linux not below its parent's

	MinorFaults         uint64 `json:"minor_faults"` // page faults served from memory
	MajorFaults         uint64 `json:"major_faults"` // page faults that had to read from a disk
	VoluntarySwitches   uint64 `json:"voluntary_switches"`
	InvoluntarySwitches uint64 `json:"involuntary_switches"`
}

// Memory is the process's memory as the kernel sees it, in bytes.
type Memory struct {
	RSS       uint64 `json:"rss"`       // resident pages
	PSS       uint64 `json:"pss"`       // the same, shared pages divided among those who share them
	Anonymous uint64 `json:"anonymous"` // resident pages that belong to no file: heap, stacks, runtime
	Swap      uint64 `json:"swap"`      // pages that were swapped out
}

// GCShare is the share, 0 to 1, of the CPU time used since an earlier snapshot
// that went into garbage collection: collections that ended in between, by the
// runtime's account, over user and system time, by the kernel's. ok is false if
// no CPU time was used or the platform does not tell it. A collection that one of
// the snapshots falls into counts for the interval in which it ended, so take the
// share over many.
func (s Snapshot) GCShare(earlier Snapshot) (share float64, ok bool) {
	if s.Rusage == nil || earlier.Rusage == nil {
		return 0, false
	}
	used := s.Rusage.User + s.Rusage.System - earlier.Rusage.User - earlier.Rusage.System
	if used <= 0 {
		return 0, false
	}
	return min(1, max(0, (s.Runtime.GCCPU-earlier.Runtime.GCCPU)/used.Seconds())), true
}

// takeSnapshot is the snapshot of a server that is this process.
func takeSnapshot(server models.Server) (Snapshot, error) {
	stats := server.Stats()
	var spread []uint64
	if s, ok := server.(models.Spread); ok {
		spread = s.PerListener()
	}
	snap, err := readProcess()
	snap.Server, snap.PerListener = stats, spread
	return snap, err
}

// readProcess reads the runtime last: what the rest allocates is then in this
// snapshot and not in the difference to the next.
func readProcess() (Snapshot, error) {
	snap := Snapshot{Time: time.Now(), FDs: -1, Threads: -1}
	if err := fillFromOS(&snap); err != nil {
		return Snapshot{}, err
	}
	snap.Runtime = readRuntime()
	return snap, nil
}
