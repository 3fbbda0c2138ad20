package beforeafter

import "time"

// A metric is one number of a block.
type metric struct {
	key   string // in JSON
	unit  string // of results.Units
	title string
	claim [2]string // what the article says of before and after; "" if nothing
	scale float64   // by which a value is divided to be printed
	digit int       // behind the point
	of    func(*Block) (v float64, ok bool)
}

// Keys of metrics that bounds are about.
const (
	allocsPerRequest = "allocs_per_request"
	collectionsRate  = "collections_per_minute"
	p99              = "p99_ns"
	p99AtMost        = "p99_at_most_ns"
)

// ofRuntime is a metric of the runtime's reading.
func ofRuntime(f func(b *Block, r *Reading) float64) func(*Block) (float64, bool) {
	return func(b *Block) (float64, bool) { return f(b, b.Runtime), true }
}

// ofCycles is a metric over whole cycles, of which there has to be one.
func ofCycles(f func(r *Reading) float64) func(*Block) (float64, bool) {
	return func(b *Block) (float64, bool) {
		if b.Runtime.Collections == 0 || b.Runtime.Cycles <= 0 {
			return 0, false
		}
		return f(b.Runtime), true
	}
}

func ofPointer(f func(b *Block) *float64) func(*Block) (float64, bool) {
	return func(b *Block) (float64, bool) {
		v := f(b)
		if v == nil {
			return 0, false
		}
		return *v, true
	}
}

// table has the metrics in the order of the lines.
var table = []metric{
	{"allocs_per_second", "server-allocs/s", "allocations/s", [2]string{"50000", "12000"}, 1, 0,
		ofRuntime(func(_ *Block, r *Reading) float64 { return float64(r.Mallocs) / r.Elapsed.Seconds() })},
	{allocsPerRequest, "server-allocs/op", "allocations/request", [2]string{}, 1, 1,
		ofRuntime(func(b *Block, r *Reading) float64 { return float64(r.Mallocs) / float64(b.Requests) })},
	{"bytes_per_request", "server-B/op", "KiB allocated/request", [2]string{}, 1 << 10, 2,
		ofRuntime(func(b *Block, r *Reading) float64 { return float64(r.AllocBytes) / float64(b.Requests) })},
	{collectionsRate, "gc/min", "collections/minute", [2]string{"2", "0.5"}, 1, 2,
		ofCycles(func(r *Reading) float64 { return float64(r.Collections) / r.Cycles.Minutes() })},
	{"pause_mean_ns", "gc-pause-mean-ns", "mean pause of a collection, ms", [2]string{"15", "4"}, 1e6, 3,
		ofCycles(func(r *Reading) float64 { return float64(r.PauseTotal) / float64(r.Collections) })},
	{"gc_cpu_percent", "gc-cpu-%", "GC share of CPU, %", [2]string{"8", "2"}, 1, 2,
		func(b *Block) (float64, bool) {
			if b.Runtime.Collections == 0 || b.Runtime.BusyCPU <= 0 {
				return 0, false
			}
			return 100 * b.Runtime.GCCPU / b.Runtime.BusyCPU, true
		}},
	{"peak_heap_bytes", "peak-heap-B", "peak heap, MiB", [2]string{"2048", "800"}, 1 << 20, 0,
		ofRuntime(func(_ *Block, r *Reading) float64 { return float64(r.PeakHeap) })},
	{"live_heap_bytes", "live-heap-B", "live heap, MiB", [2]string{}, 1 << 20, 0,
		ofRuntime(func(_ *Block, r *Reading) float64 { return float64(r.LiveHeap) })},
	{"peak_rss_bytes", "peak-rss-B", "peak RSS, MiB", [2]string{}, 1 << 20, 0,
		func(b *Block) (float64, bool) {
			if b.Runtime.PeakRSS == nil {
				return 0, false
			}
			return float64(*b.Runtime.PeakRSS), true
		}},
	{"p50_ns", "p50-ns", "p50, ms", [2]string{}, 1e6, 3, ofPointer(func(b *Block) *float64 { return b.P50 })},
	{p99, "p99-ns", "p99, ms", [2]string{}, 1e6, 3, ofPointer(func(b *Block) *float64 { return b.P99 })},
	{p99AtMost, "p99-at-most-ns", "p99, at most, ms", [2]string{}, 1e6, 3, ofPointer(func(b *Block) *float64 { return b.P99AtMost })},
	{"server_cpu_ns_per_request", "server-cpu-ns/op", "server CPU/request, µs", [2]string{}, 1e3, 1,
		ofPointer(func(b *Block) *float64 { return b.CPUPerOp })},
}

// pauseQuantiles are those that a report has, and how many pauses they need: ten
// above the quantile.
var pauseQuantiles = []struct {
	name string
	q    float64
	need uint64
}{{"p50", 0.5, 20}, {"p90", 0.9, 100}, {"p99", 0.99, 1000}}

// A PauseSummary is the pauses of all blocks of a service that count, each of the two
// of a collection by itself. Bounds are those of the runtime's buckets.
type PauseSummary struct {
	Count     uint64                   `json:"count"`
	Quantiles map[string]time.Duration `json:"quantiles_ns"` // p50, p90, p99, as far as there are enough
	Max       time.Duration            `json:"max_ns"`
}

// summarize adds up the pauses of blocks.
func summarize(blocks []*Block) PauseSummary {
	counts := map[time.Duration]uint64{}
	s := PauseSummary{Quantiles: map[string]time.Duration{}}
	for _, b := range blocks {
		for _, bucket := range b.Runtime.Pauses {
			counts[bucket.UpTo] += bucket.Count
			s.Count += bucket.Count
			s.Max = max(s.Max, bucket.UpTo)
		}
	}
	for _, p := range pauseQuantiles {
		if s.Count >= p.need {
			s.Quantiles[p.name] = quantile(counts, s.Count, p.q)
		}
	}
	return s
}
