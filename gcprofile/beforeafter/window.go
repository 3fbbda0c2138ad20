package beforeafter

import (
	"errors"
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"
)

// A Reading is what the server's runtime counted in a block. What it brings up to
// date at the end of a collection only is counted over whole cycles: from a collection
// that the block began with to the last one in it.
type Reading struct {
	Elapsed    time.Duration `json:"elapsed_ns"`
	Mallocs    uint64        `json:"mallocs"`     // objects allocated
	AllocBytes uint64        `json:"alloc_bytes"` // bytes of them

	Collections uint64        `json:"collections"`
	Cycles      time.Duration `json:"cycles_ns"`       // time that they are spread over
	PauseTotal  time.Duration `json:"pause_total_ns"`  // sum of their pauses
	GCCPU       float64       `json:"gc_cpu_s"`        // CPU seconds of collection in Cycles
	BusyCPU     float64       `json:"busy_cpu_s"`      // CPU seconds of all that was done in Cycles
	Pauses      []PauseBucket `json:"pauses"`          // two in each collection; empty buckets are left out
	PeakHeap    uint64        `json:"peak_heap_bytes"` // objects, live or not yet swept, at most
	LiveHeap    uint64        `json:"live_heap_bytes"` // that the first collection left
	PeakRSS     *uint64       `json:"peak_rss_bytes,omitempty"`
}

// A PauseBucket counts pauses up to a bound, by the runtime's buckets.
type PauseBucket struct {
	UpTo  time.Duration `json:"up_to_ns"`
	Count uint64        `json:"count"`
}

// Names of package runtime/metrics, and their places in a snapshot.
var sampled = []string{
	"/cpu/classes/gc/total:cpu-seconds",
	"/cpu/classes/total:cpu-seconds",
	"/cpu/classes/idle:cpu-seconds",
	"/sched/pauses/total/gc:seconds",
}

const heapObjects = "/memory/classes/heap/objects:bytes"

// heapEvery is how often the heap is looked at, for its peak.
const heapEvery = 10 * time.Millisecond

// snapshot is the state of the counters.
type snapshot struct {
	at      time.Time
	mem     runtime.MemStats
	metrics []metrics.Sample
}

func takeSnapshot() *snapshot {
	s := &snapshot{at: time.Now(), metrics: make([]metrics.Sample, len(sampled))}
	for i, name := range sampled {
		s.metrics[i].Name = name
	}
	metrics.Read(s.metrics)
	runtime.ReadMemStats(&s.mem)
	return s
}

// busy is the CPU seconds that were not idle.
func (s *snapshot) busy() float64 { return s.metrics[1].Value.Float64() - s.metrics[2].Value.Float64() }

// window is the time between begin and end.
type window struct {
	mu     sync.Mutex
	before *snapshot
	live   uint64

	quit chan struct{}
	peak chan uint64 // gets the peak when quit was closed
}

// begin collects, reads the counters, and watches the heap.
func (w *window) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quit != nil {
		return errors.New("begin a block: one is under way")
	}
	runtime.GC()
	resetPeakRSS()
	w.before = takeSnapshot()
	w.live = w.before.mem.HeapAlloc
	w.quit, w.peak = make(chan struct{}), make(chan uint64, 1)
	go watchHeap(w.quit, w.peak)
	return nil
}

// watchHeap finds the largest heap until quit is closed.
func watchHeap(quit <-chan struct{}, peak chan<- uint64) {
	sample := []metrics.Sample{{Name: heapObjects}}
	tick := time.NewTicker(heapEvery)
	defer tick.Stop()
	largest := uint64(0)
	for {
		metrics.Read(sample)
		largest = max(largest, sample[0].Value.Uint64())
		select {
		case <-quit:
			peak <- largest
			return
		case <-tick.C:
		}
	}
}

// stop ends the watch over the heap, if there is one.
func (w *window) stop() (peak uint64, was bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quit == nil {
		return 0, false
	}
	close(w.quit)
	w.quit = nil
	return <-w.peak, true
}

// end returns what was counted since begin.
func (w *window) end() (*Reading, error) {
	now := takeSnapshot()
	rss := peakRSS()
	peak, was := w.stop()
	if !was {
		return nil, errors.New("end a block: none is under way")
	}
	before := w.before
	return &Reading{
		Elapsed:     now.at.Sub(before.at),
		Mallocs:     now.mem.Mallocs - before.mem.Mallocs,
		AllocBytes:  now.mem.TotalAlloc - before.mem.TotalAlloc,
		Collections: uint64(now.mem.NumGC - before.mem.NumGC),
		Cycles:      time.Duration(now.mem.LastGC - before.mem.LastGC),
		PauseTotal:  time.Duration(now.mem.PauseTotalNs - before.mem.PauseTotalNs),
		GCCPU:       now.metrics[0].Value.Float64() - before.metrics[0].Value.Float64(),
		BusyCPU:     now.busy() - before.busy(),
		Pauses:      pausesBetween(before.metrics[3].Value.Float64Histogram(), now.metrics[3].Value.Float64Histogram()),
		PeakHeap:    peak, LiveHeap: w.live, PeakRSS: rss,
	}, nil
}

// pausesBetween is what came to a histogram. A bucket without an upper bound is known
// by its lower one.
func pausesBetween(before, now *metrics.Float64Histogram) (buckets []PauseBucket) {
	for i, count := range now.Counts {
		count -= before.Counts[i]
		if count == 0 {
			continue
		}
		bound := now.Buckets[i+1]
		if math.IsInf(bound, 1) {
			bound = now.Buckets[i]
		}
		buckets = append(buckets, PauseBucket{time.Duration(bound * 1e9), count})
	}
	return buckets
}
