package cache_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/gcprofile/cache"
	"netbench/gcprofile/cache/traces"
)

// Of all benchmarks and proofs: 10 MiB before 100,000 keys of 1 KiB on average, of
// which so about a tenth fits.
const (
	benchBound = cache.DefaultMaxBytes
	benchKeys  = 100_000
	benchTrace = 1 << 20
)

// benchSpec is a trace for them. A scan is one over a quarter more than fits.
func benchSpec(name string, sizes traces.Sizes) traces.Spec {
	s := traces.Spec{Name: name, Sizes: sizes, Keys: benchKeys, N: benchTrace, Seed: 1}
	if name == "scan" {
		s.Keys = benchBound / traces.FixedSize * 5 / 4
	}
	return s
}

// traceOf makes each trace once.
var traceOf = func() func(s traces.Spec) ([]traces.Request, error) {
	var mu sync.Mutex
	made := map[traces.Spec][]traces.Request{}
	return func(s traces.Spec) ([]traces.Request, error) {
		mu.Lock()
		defer mu.Unlock()
		if t := made[s]; t != nil {
			return t, nil
		}
		t, err := traces.Make(s)
		if err == nil {
			made[s] = t
		}
		return t, err
	}
}()

// A request of a trace: a Get, and a Set if it misses. The trace begins anew when it is
// over. At conc=2 two goroutines have a half of the requests each, from different
// places of the trace.
func BenchmarkCache(b *testing.B) {
	for _, name := range quietCaches {
		for _, trace := range traces.Names() {
			for _, sizes := range []traces.Sizes{traces.Fixed, traces.Varying} {
				for _, conc := range []int{1, 2} {
					b.Run(fmt.Sprintf("cache=%s/trace=%s/sizes=%s/conc=%d", name, trace, sizes, conc), func(b *testing.B) {
						requests, err := traceOf(benchSpec(trace, sizes))
						require.NoError(b, err)
						c, err := newPages(name, benchBound)
						require.NoError(b, err)
						defer c.Close()
						ask(c, requests[:benchTrace/4])
						var hits atomic.Int64
						b.ReportAllocs()
						b.ResetTimer()
						var all sync.WaitGroup
						for g := range conc {
							n, at := b.N/conc, g*benchTrace/conc
							if g == 0 {
								n = b.N - (conc-1)*n
							}
							all.Go(func() { hits.Add(int64(askAround(c, requests, at, n))) })
						}
						all.Wait()
						b.StopTimer()
						b.ReportMetric(100*float64(hits.Load())/float64(b.N), "hit-%")
					})
				}
			}
		}
	}
}

// askAround makes n requests from a place of the trace on, which begins anew.
func askAround(c pages, trace []traces.Request, at, n int) (hits int) {
	for n > 0 {
		part := trace[at%len(trace):]
		part = part[:min(n, len(part))]
		hits += ask(c, part)
		n -= len(part)
		at += len(part)
	}
	return hits
}

// G4: 10,000 sets and as many gets of what was set last, 40 MiB through 10. An
// operation is one of both.
func BenchmarkSetsAndGetsThatEvict(b *testing.B) {
	for _, name := range quietCaches {
		b.Run("cache="+name, func(b *testing.B) {
			const entries, size = 10_000, 4 << 10
			c, err := newStore(name, benchBound, size, func(_ uint64, v []byte) int64 { return int64(len(v)) })
			require.NoError(b, err)
			defer c.Close()
			b.ReportAllocs()
			for i := range b.N {
				key := uint64(i % entries)
				c.Set(key, content[:size])
				c.Get(key)
			}
			b.StopTimer()
			if left := c.Len(); b.N >= entries && left > benchBound/size {
				b.Fatalf("%d entries are left, %d fit", left, benchBound/size)
			}
		})
	}
}

// What an entry takes beside its bytes, and what a collection of many costs, each in a
// process of its own. An operation is a whole measurement.
func BenchmarkMemory(b *testing.B) {
	for _, kind := range holdingKinds {
		for _, name := range allCaches {
			b.Run(fmt.Sprintf("cache=%s/entries=%s/n=200000", name, kind), func(b *testing.B) {
				var h holding
				for b.Loop() {
					var err error
					h, err = measureHolding(b.Context(), holdingSpec{Cache: name, Kind: kind, Entries: 200_000, Collections: 5}, b)
					require.NoError(b, err)
				}
				b.ReportMetric(0, "ns/op") // says nothing
				b.ReportMetric(h.Overhead, "overhead-B/entry")
				b.ReportMetric(h.CollectionCPU/200_000, "gc-cpu-ns/entry")
			})
		}
	}
}

// A sweep of 100,000 entries, of which none or all have expired. An operation is a
// whole sweep; others wait for a hundredth of it at most.
func BenchmarkSweep(b *testing.B) {
	for _, expired := range []string{"none", "all"} {
		b.Run("expired="+expired+"/entries=100000", func(b *testing.B) {
			w := newWatch()
			c, err := cache.New(cache.Config[uint64, uint64]{
				MaxBytes: 100_000, TTL: time.Minute, SweepEvery: cache.NoLimit, Now: w.now, Cost: func(_, _ uint64) int64 { return 1 },
			})
			require.NoError(b, err)
			defer c.Close()
			fill := func() {
				for k := range uint64(100_000) {
					_ = c.Set(k, k)
				}
			}
			fill()
			want := 0
			if expired == "all" {
				want = 100_000
			}
			for range b.N {
				if want > 0 {
					b.StopTimer()
					fill()
					w.pass(time.Minute)
					b.StartTimer()
				}
				if n := c.Sweep(); n != want {
					b.Fatalf("%d entries were removed, %d have expired", n, want)
				}
			}
		})
	}
}
