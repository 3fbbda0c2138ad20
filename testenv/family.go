package testenv

import (
	"context"
	"math"
	"slices"

	"netbench/models"
)

// Family is implemented by servers that have worker processes, children of their
// own. What [Server.Stats], [Server.Runtime] and [Server.Collect] are about is
// then the server's first process and its workers together.
//
// A worker that dies takes its counters with it. So that sums do not go back, an
// implementation adds [Snapshot.Past] of the last snapshot it had of a worker
// that has ended.
type Family interface {
	models.Server

	// WorkerSnapshot is the sum over all workers, and the time at which it was
	// complete. Its Server is that of the whole server, as Stats would return
	// it.
	WorkerSnapshot(ctx context.Context) (Snapshot, error)

	// WorkerRuntime is the sum over the workers' runtimes.
	WorkerRuntime(ctx context.Context) (Runtime, error)

	// CollectWorkers makes all workers collect their garbage.
	CollectWorkers(ctx context.Context) error
}

// Add returns the sum of two processes' snapshots, at the later time. Counters,
// memory, descriptors and threads are added up, so RSS counts a page that both
// share twice (PSS does not), and MaxRSS is a bound that the two may not have
// reached at once; CPUs are united. What one of the two does not know, the sum
// does not know. The first one's model and settings stay.
func (s Snapshot) Add(o Snapshot) Snapshot {
	if o.Time.After(s.Time) {
		s.Time = o.Time
	}
	s.Server = addStats(s.Server, o.Server)
	s.PerListener = append(slices.Clone(s.PerListener), o.PerListener...)
	s.Runtime = s.Runtime.Add(o.Runtime)
	s.Rusage = addKnown(s.Rusage, o.Rusage, func(a, b Rusage) Rusage {
		return Rusage{
			User: a.User + b.User, System: a.System + b.System, MaxRSS: a.MaxRSS + b.MaxRSS,
			MinorFaults: a.MinorFaults + b.MinorFaults, MajorFaults: a.MajorFaults + b.MajorFaults,
			VoluntarySwitches:   a.VoluntarySwitches + b.VoluntarySwitches,
			InvoluntarySwitches: a.InvoluntarySwitches + b.InvoluntarySwitches,
		}
	})
	s.Memory = addKnown(s.Memory, o.Memory, func(a, b Memory) Memory {
		return Memory{RSS: a.RSS + b.RSS, PSS: a.PSS + b.PSS, Anonymous: a.Anonymous + b.Anonymous, Swap: a.Swap + b.Swap}
	})
	s.FDs = addCounts(s.FDs, o.FDs)
	s.Threads = addCounts(s.Threads, o.Threads)
	cpus := append(slices.Clone(s.CPUs), o.CPUs...)
	slices.Sort(cpus)
	s.CPUs = slices.Compact(cpus)
	return s
}

// Past is what remains of a process's snapshot when it has ended: what it has
// done and used up, but neither connections, memory, descriptors nor threads.
func (s Snapshot) Past() Snapshot {
	s.Server.Active = 0
	s.Runtime = s.Runtime.Past()
	if s.Rusage != nil {
		used := *s.Rusage
		used.MaxRSS = 0
		s.Rusage = &used
	}
	if s.Memory != nil {
		s.Memory = &Memory{}
	}
	s.FDs, s.Threads = min(s.FDs, 0), min(s.Threads, 0)
	s.PerListener, s.CPUs = nil, nil
	return s
}

// Add returns the sum of two runtimes, GOMAXPROCS included. GoVersion and GOGC
// stay the first one's; GOMEMLIMIT is the sum too, unless one has none.
func (r Runtime) Add(o Runtime) Runtime {
	r.GoMaxProcs += o.GoMaxProcs
	if r.GOMEMLIMIT > math.MaxInt64-o.GOMEMLIMIT {
		r.GOMEMLIMIT = math.MaxInt64
	} else {
		r.GOMEMLIMIT += o.GOMEMLIMIT
	}
	r.Goroutines += o.Goroutines
	r.Mallocs += o.Mallocs
	r.AllocBytes += o.AllocBytes
	r.HeapLive += o.HeapLive
	r.HeapObjects += o.HeapObjects
	r.HeapInuse += o.HeapInuse
	r.StackInuse += o.StackInuse
	r.Mapped += o.Mapped
	r.HeapGoal += o.HeapGoal
	r.GCCycles += o.GCCycles
	r.GCLimited = max(r.GCLimited, o.GCLimited)
	r.GCAssistCPU += o.GCAssistCPU
	r.GCIdleCPU += o.GCIdleCPU
	r.Latencies = r.Latencies.Add(o.Latencies)
	r.GCCPU += o.GCCPU
	r.IdleCPU += o.IdleCPU
	r.TotalCPU += o.TotalCPU
	r.Pauses = r.Pauses.Add(o.Pauses)
	return r
}

// Past is what remains of a runtime whose process has ended: its counters.
func (r Runtime) Past() Runtime {
	return Runtime{
		GoVersion: r.GoVersion, GOGC: r.GOGC,
		Mallocs: r.Mallocs, AllocBytes: r.AllocBytes,
		GCCycles: r.GCCycles, GCLimited: r.GCLimited, GCCPU: r.GCCPU, GCAssistCPU: r.GCAssistCPU, GCIdleCPU: r.GCIdleCPU,
		IdleCPU: r.IdleCPU, TotalCPU: r.TotalCPU, Pauses: r.Pauses, Latencies: r.Latencies,
	}
}

// addStats adds up what two servers have done. Names stay the first one's.
func addStats(s, o models.Stats) models.Stats {
	s.Accepted += o.Accepted
	s.Active += o.Active
	s.Rejected += o.Rejected
	s.AcceptErrors += o.AcceptErrors
	s.IdleClosed += o.IdleClosed
	s.ConnErrors += o.ConnErrors
	s.Paused += o.Paused
	s.BytesIn += o.BytesIn
	s.BytesOut += o.BytesOut
	s.Restarts += o.Restarts
	return s
}

func addKnown[T any](a, b *T, add func(T, T) T) *T {
	if a == nil || b == nil {
		return nil
	}
	sum := add(*a, *b)
	return &sum
}

// addCounts adds two counts of which -1 is unknown.
func addCounts(a, b int) int {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b
}

// takeFamilySnapshot is takeSnapshot of a server, with its workers.
func takeFamilySnapshot(ctx context.Context, server models.Server) (Snapshot, error) {
	family, ok := server.(Family)
	if !ok {
		return takeSnapshot(server)
	}
	workers, err := family.WorkerSnapshot(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	own, err := readProcess()
	if err != nil {
		return Snapshot{}, err
	}
	return own.Add(workers).named(workers.Server), nil
}

// named puts stats in place of those that were added up.
func (s Snapshot) named(stats models.Stats) Snapshot {
	s.Server = stats
	return s
}

// readFamilyRuntime is readRuntime of a server, with its workers.
func readFamilyRuntime(ctx context.Context, server models.Server) (Runtime, error) {
	family, ok := server.(Family)
	if !ok {
		return readRuntime(), nil
	}
	workers, err := family.WorkerRuntime(ctx)
	if err != nil {
		return Runtime{}, err
	}
	return readRuntime().Add(workers), nil
}
