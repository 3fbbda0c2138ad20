package monitor

import (
	"math"
	"runtime/metrics"
	"time"
)

// Sample is the state of the program at one moment, and what happened since the
// sample before. Of the first sample after [Monitor.Start], Within and all that
// happened within are zero.
type Sample struct {
	At     time.Time
	Within time.Duration // since the sample before

	Heap       uint64 // bytes of objects on the heap, dead ones that are not yet swept included
	Goroutines uint64 // live ones

	Allocated   uint64  // bytes allocated within
	AllocRate   float64 // the same by second
	Collections uint64  // that ended within

	// Pauses is how many times collections stopped the world within, two in each; the
	// quantiles are of these. P50 is known from 20 pauses on and P99 from 1000; before,
	// they are zero.
	Pauses                       uint64
	PauseP50, PauseP99, PauseMax Pause

	judged   Pause // at Config.PauseQuantile
	isJudged bool
}

// Pause is the length of a pause as the runtime's histogram tells it: within a bucket,
// whose width is 12 to 25 % of its length. Rules take AtLeast, so what is told of was
// longer than its threshold, and what exceeds it by less than a bucket may not be told.
type Pause struct{ AtLeast, AtMost time.Duration }

// The runtime's names of what is read, in the order of reader.samples.
var metricNames = [...]string{
	"/memory/classes/heap/objects:bytes",
	"/sched/goroutines:goroutines",
	"/gc/heap/allocs:bytes",
	"/gc/cycles/total:gc-cycles",
	"/sched/pauses/total/gc:seconds",
}

// totals are what the runtime counts since its start.
type totals struct {
	heap, goroutines, allocated, collections uint64
	pauses                                   *metrics.Float64Histogram // belongs to the source
}

// runtimeSource reads the runtime of this program. Its memory is used again for each
// sample: it allocates with the first one only.
type runtimeSource struct{ samples []metrics.Sample }

func newRuntimeSource() *runtimeSource {
	s := &runtimeSource{samples: make([]metrics.Sample, len(metricNames))}
	for i, name := range metricNames {
		s.samples[i].Name = name
	}
	return s
}

func (s *runtimeSource) read() totals {
	metrics.Read(s.samples)
	return totals{
		heap:        s.samples[0].Value.Uint64(),
		goroutines:  s.samples[1].Value.Uint64(),
		allocated:   s.samples[2].Value.Uint64(),
		collections: s.samples[3].Value.Uint64(),
		pauses:      s.samples[4].Value.Float64Histogram(),
	}
}

// sampler makes samples of totals.
type sampler struct {
	source   func() totals
	now      func() time.Time
	quantile float64

	at     time.Time // of the last sample; zero before the first
	before totals
	counts []uint64 // of the last sample's pauses
	delta  []uint64 // of the pauses since
}

func (m *sampler) sample() Sample {
	t := m.source()
	s := Sample{At: m.now(), Heap: t.heap, Goroutines: t.goroutines}
	if m.at.IsZero() {
		m.counts = append(m.counts[:0], t.pauses.Counts...)
		m.delta = make([]uint64, len(m.counts))
	} else if s.Within = s.At.Sub(m.at); s.Within > 0 {
		s.Allocated = since(t.allocated, m.before.allocated)
		s.AllocRate = float64(s.Allocated) / s.Within.Seconds()
		s.Collections = since(t.collections, m.before.collections)
		for i, n := range t.pauses.Counts {
			m.delta[i] = since(n, m.counts[i])
			s.Pauses += m.delta[i]
		}
		copy(m.counts, t.pauses.Counts)
		at := func(q float64) (Pause, bool) { return quantile(t.pauses.Buckets, m.delta, s.Pauses, q) }
		s.PauseP50, _ = at(0.5)
		s.PauseP99, _ = at(0.99)
		s.PauseMax, _ = at(1)
		s.judged, s.isJudged = at(m.quantile)
	} else {
		// The clock stands still or goes back: nothing can be said of this interval,
		// and the next one begins where this one did.
		s.Within = 0
		return s
	}
	m.at, m.before = s.At, t
	return s
}

// since is the growth of a counter, which never wraps.
func since(now, before uint64) uint64 { return now - min(now, before) }

// quantile is that of total durations in seconds, by nearest rank, of which there are
// counts[i] from buckets[i] to buckets[i+1]. ok is false if they are too few: fewer
// than 10/(1-q), and for q = 1 none is enough, the longest of none being zero.
func quantile(buckets []float64, counts []uint64, total uint64, q float64) (p Pause, ok bool) {
	if total == 0 {
		return Pause{}, true
	}
	if q < 1 && float64(total) < 10/(1-q)-1e-6 {
		return Pause{}, false
	}
	rank := max(1, uint64(math.Ceil(q*float64(total))))
	seen := uint64(0)
	for i, n := range counts {
		if seen += n; seen >= rank {
			return Pause{duration(buckets[i]), duration(buckets[i+1])}, true
		}
	}
	return Pause{}, false
}

// duration of a bound in seconds; the last bucket has none, and the first may begin
// below zero.
func duration(seconds float64) time.Duration {
	switch {
	case seconds <= 0:
		return 0
	case seconds >= float64(math.MaxInt64)/1e9:
		return math.MaxInt64
	}
	return time.Duration(math.Round(seconds * 1e9))
}
