package testenv

import (
	"runtime"
	"runtime/metrics"
	"slices"
)

// Runtime is what the Go runtime of a server knows, from package
// runtime/metrics, and the allocations from [runtime.ReadMemStats]. CPU seconds are estimates of the runtime: it counts the time
// that its processors spend in each class, whether or not the operating system
// lets them run, and brings the sums up to date at the end of a collection, so
// they are zero before the first.
type Runtime struct {
	GoVersion  string `json:"go_version"`
	GoMaxProcs int    `json:"gomaxprocs"`
	GOGC       int    `json:"gogc"`       // percent; -1 if off
	GOMEMLIMIT int64  `json:"gomemlimit"` // bytes; the largest int64 if there is none

	Goroutines int `json:"goroutines"` // live now, among them a handful of the control channel

	Mallocs    uint64 `json:"mallocs"`     // objects allocated so far, tiny ones too
	AllocBytes uint64 `json:"alloc_bytes"` // bytes allocated so far

	HeapLive    uint64 `json:"heap_live"`    // bytes that the last collection found in use
	HeapObjects uint64 `json:"heap_objects"` // bytes of live objects and garbage not yet swept
	HeapInuse   uint64 `json:"heap_inuse"`   // bytes of spans with at least one object
	StackInuse  uint64 `json:"stack_inuse"`  // bytes of goroutine stacks
	Mapped      uint64 `json:"mapped"`       // bytes that the runtime has mapped in all, less those given back

	HeapGoal uint64 `json:"heap_goal"` // bytes that the heap may have when the collection that comes next ends

	GCCycles    uint64    `json:"gc_cycles"`
	GCLimited   uint64    `json:"gc_limited"`      // the last collection whose CPU the runtime limited to half, 0 if none; counted as GCCycles
	GCCPU       float64   `json:"gc_cpu_s"`        // CPU seconds of collection, idle marking too
	GCAssistCPU float64   `json:"gc_assist_cpu_s"` // of these, what goroutines that allocate had to mark themselves
	GCIdleCPU   float64   `json:"gc_idle_cpu_s"`   // of these, what processors marked that had nothing else to do
	IdleCPU     float64   `json:"idle_cpu_s"`      // CPU seconds that the processors had nothing to do
	TotalCPU    float64   `json:"total_cpu_s"`     // CPU seconds that the processors had: GOMAXPROCS times the wall clock
	Pauses      Histogram `json:"pauses"`          // stop-the-world pauses of collections, two in each
	Latencies   Histogram `json:"sched_latencies"` // times that goroutines waited, runnable, until they ran
}

// readRuntime asks the runtime of this process. Every name is one of Go 1.26; a
// test makes sure that the runtime knows them all.
func readRuntime() Runtime {
	// Each processor keeps its own count of allocations and hands it in now and
	// then, so that the metrics lag by up to some thousand objects. This stops
	// the world for some ten microseconds, but counts every object, and brings
	// the metrics up to date as well.
	var exact runtime.MemStats
	runtime.ReadMemStats(&exact)
	samples := make([]metrics.Sample, len(metricNames))
	for i, name := range metricNames {
		samples[i].Name = name
	}
	metrics.Read(samples)
	at := func(name string) metrics.Value { return samples[slices.Index(metricNames, name)].Value }
	count := func(name string) uint64 { return at(name).Uint64() }
	return Runtime{
		GoVersion:   runtime.Version(),
		GoMaxProcs:  int(count(mGoMaxProcs)),
		GOGC:        int(int64(count(mGOGC))), // off is the largest uint64
		GOMEMLIMIT:  int64(count(mGOMEMLIMIT)),
		Goroutines:  int(count(mGoroutines)),
		Mallocs:     exact.Mallocs,
		AllocBytes:  exact.TotalAlloc,
		HeapLive:    count(mHeapLive),
		HeapObjects: count(mHeapObjects),
		HeapInuse:   count(mHeapObjects) + count(mHeapUnused),
		StackInuse:  count(mStacks),
		Mapped:      count(mMapped) - count(mReleased),
		HeapGoal:    count(mHeapGoal),
		GCCycles:    count(mGCCycles),
		GCLimited:   count(mGCLimited),
		GCCPU:       at(mGCCPU).Float64(),
		GCAssistCPU: at(mGCAssistCPU).Float64(),
		GCIdleCPU:   at(mGCIdleCPU).Float64(),
		IdleCPU:     at(mIdleCPU).Float64(),
		TotalCPU:    at(mTotalCPU).Float64(),
		Pauses:      fromRuntime(at(mPauses).Float64Histogram()),
		Latencies:   fromRuntime(at(mLatencies).Float64Histogram()),
	}
}

// The runtime's names of what is read.
const (
	mGoMaxProcs  = "/sched/gomaxprocs:threads"
	mGOGC        = "/gc/gogc:percent"
	mGOMEMLIMIT  = "/gc/gomemlimit:bytes"
	mGoroutines  = "/sched/goroutines:goroutines"
	mHeapLive    = "/gc/heap/live:bytes"
	mHeapObjects = "/memory/classes/heap/objects:bytes"
	mHeapUnused  = "/memory/classes/heap/unused:bytes"
	mReleased    = "/memory/classes/heap/released:bytes"
	mStacks      = "/memory/classes/heap/stacks:bytes"
	mMapped      = "/memory/classes/total:bytes"
	mHeapGoal    = "/gc/heap/goal:bytes"
	mGCLimited   = "/gc/limiter/last-enabled:gc-cycle"
	mGCAssistCPU = "/cpu/classes/gc/mark/assist:cpu-seconds"
	mGCIdleCPU   = "/cpu/classes/gc/mark/idle:cpu-seconds"
	mLatencies   = "/sched/latencies:seconds"
	mGCCycles    = "/gc/cycles/total:gc-cycles"
	mGCCPU       = "/cpu/classes/gc/total:cpu-seconds"
	mIdleCPU     = "/cpu/classes/idle:cpu-seconds"
	mTotalCPU    = "/cpu/classes/total:cpu-seconds"
	mPauses      = "/sched/pauses/total/gc:seconds"
)

var metricNames = []string{
	mGoMaxProcs, mGOGC, mGOMEMLIMIT, mGoroutines,
	mHeapLive, mHeapObjects, mHeapUnused, mReleased, mStacks, mMapped,
	mHeapGoal, mGCLimited, mGCAssistCPU, mGCIdleCPU, mLatencies,
	mGCCycles, mGCCPU, mIdleCPU, mTotalCPU, mPauses,
}
