package habits

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// cost is what was counted of this process while something ran.
type cost struct {
	collections uint64
	pause       time.Duration // sum over collections
	gcCPU       float64       // CPU seconds of collection
	allCPU      float64       // CPU seconds that the processors had, GOMAXPROCS times the clock
	peakHeap    uint64        // objects, live or not yet swept, above what was there before
}

// heapEvery is how often the heap is looked at for its peak.
const heapEvery = 500 * time.Microsecond

// meter counts from start to stop. The runtime brings its CPU times up to date at the
// end of a collection, so both ask for one; the second, when the work is done and its
// garbage remains, belongs to the work.
type meter struct {
	mem     runtime.MemStats
	cpu     [2]float64
	quit    chan struct{}
	highest chan uint64
}

func startMeter() *meter {
	m := &meter{quit: make(chan struct{}), highest: make(chan uint64)}
	runtime.GC()
	m.cpu = readCPU()
	runtime.ReadMemStats(&m.mem)
	watching := make(chan struct{})
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		tick := time.NewTicker(heapEvery)
		defer tick.Stop()
		highest := uint64(0)
		close(watching)
		for {
			metrics.Read(sample)
			highest = max(highest, sample[0].Value.Uint64())
			select {
			case <-m.quit:
				m.highest <- highest
				return
			case <-tick.C:
			}
		}
	}()
	<-watching
	return m
}

func (m *meter) stop() (c cost) {
	close(m.quit)
	highest := <-m.highest
	runtime.GC()
	cpu := readCPU()
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	c.collections = uint64(now.NumGC - m.mem.NumGC)
	c.pause = time.Duration(now.PauseTotalNs - m.mem.PauseTotalNs)
	c.gcCPU, c.allCPU = cpu[0]-m.cpu[0], cpu[1]-m.cpu[1]
	c.peakHeap = highest - min(highest, m.mem.HeapAlloc)
	return c
}

func readCPU() [2]float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/total:cpu-seconds"}}
	metrics.Read(s)
	return [2]float64{s[0].Value.Float64(), s[1].Value.Float64()}
}

// costOf is the cost of f alone, whose garbage is collected at once, so that the peak
// is of what is live.
func costOf(t testing.TB, f func()) cost {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	m := startMeter()
	f()
	return m.stop()
}

// report reports what the iterations of a benchmark cost beside time, allocations and
// bytes.
func (c cost) report(b *testing.B) {
	b.Helper()
	n := float64(b.N)
	if c.allCPU > 0 {
		b.ReportMetric(100*c.gcCPU/c.allCPU, "gc-share-%")
	}
	b.ReportMetric(1e9*c.gcCPU/n, "gc-cpu-ns/op")
	b.ReportMetric(float64(c.collections)/n, "gc/op")
	if c.collections > 0 {
		b.ReportMetric(float64(c.pause)/float64(c.collections), "gc-pause-mean-ns")
	}
	b.ReportMetric(float64(c.peakHeap), "peak-heap-B")
}

// measured runs a benchmark's loop between a meter's start and its stop.
func measured(b *testing.B, op func()) {
	b.Helper()
	b.ReportAllocs()
	m := startMeter()
	b.ResetTimer()
	for range b.N {
		op()
	}
	b.StopTimer()
	m.stop().report(b)
}
