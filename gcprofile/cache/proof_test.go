//go:build proof

package cache_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile/cache"
	"netbench/gcprofile/cache/traces"
	"netbench/internal/proof"
	"netbench/load"
)

// How long the proof measures: about five minutes with these.
var (
	proofRounds   = flag.Int("cache-rounds", 10, "rounds of throughput")
	proofSlices   = flag.Int("cache-slices", 8, "slices of each cache in a round of throughput")
	proofRequests = flag.Int("cache-requests", 50_000, "requests in a slice of throughput, for each goroutine")
	proofEntries  = flag.Int("cache-entries", 1_000_000, "entries whose memory and collections are measured")
	proofBlocks   = flag.Int("cache-blocks", 3, "blocks of each cache in the service")
	proofBlock    = flag.Duration("cache-block", 4*time.Second, "length of a block of the service")
	proofOut      = flag.String("cache-out", filepath.Join("..", "..", "docs", "cache.md"), "file to write")
)

// TestProofCache sets the cache beside golang-lru and otter: hits, throughput, memory,
// collections, and a service before a slow source. What has to hold is that it hits as
// often as the reference, exactly, and that one goroutine has at least half of
// golang-lru's throughput.
func TestProofCache(t *testing.T) {
	began := time.Now()
	doc := proof.Begin(t, "A bounded cache", "./gcprofile/cache")
	fmt.Fprintf(doc, `The cache of gcprofile/cache (netbench here: bound in bytes, expiry of an hour, sweeps)
beside golang-lru v2.0.7 (bound in entries, no expiry), its expirable variant (bound in
entries, expiry of an hour) and otter v2.4.0 (bound in bytes, expiry of an hour, W-TinyLFU).
All are bounded to 10 MiB or, where they count entries, to the %d that cost 1 KiB each.
Traces go to %d keys (scan: to a quarter more than fit) with 1 KiB each, fixed, or 64 B to
16 KiB, varying, 1 KiB on average; s of Zipf is %v.
`, benchBound/traces.FixedSize, benchKeys, traces.Exponent)
	proveHits(t, doc)
	proveThroughput(t, doc)
	proveMemory(t, doc)
	proveService(t, doc)
	t.Logf("took %v", time.Since(began).Round(time.Second))
	doc.Save(t, *proofOut)
}

func proveHits(t *testing.T, doc *proof.Page) {
	fmt.Fprintf(doc, `
## Hits

Share of %d requests that hit, from an empty cache on. The reference is the textbook's
LRU, bounded in bytes. Netbench equals it to the request, everywhere; golang-lru has to
where all sizes are the same.

| trace | sizes | reference | netbench | golang-lru | otter |
|---|---|---|---|---|---|
`, benchTrace)
	for _, name := range traces.Names() {
		for _, sizes := range []traces.Sizes{traces.Fixed, traces.Varying} {
			trace, err := traces.Make(benchSpec(name, sizes))
			require.NoError(t, err)
			want := hitsOf(trace, benchBound)
			fmt.Fprintf(doc, "| %s | %s | %.2f %% |", name, sizes, 100*float64(want)/benchTrace)
			for _, cacheName := range quietCaches {
				c, err := newPages(cacheName, benchBound)
				require.NoError(t, err)
				hits := ask(c, trace)
				c.Close()
				if cacheName == ours || cacheName == plainLRU && sizes == traces.Fixed {
					assert.Equal(t, want, hits, "%s on %s, %s: hits", cacheName, name, sizes)
				}
				fmt.Fprintf(doc, " %.2f %% |", 100*float64(hits)/benchTrace)
			}
			doc.WriteString("\n")
		}
	}
}

func proveThroughput(t *testing.T, doc *proof.Page) {
	fmt.Fprintf(doc, `
## Throughput

A request is a Get, and a Set if it misses; sizes are fixed, so all LRUs do the same. Each
cache has a process of its own, with as many CPUs as goroutines; they are asked in turn in
slices of %d requests for each goroutine, %d a round, %d rounds with fresh processes.
Throughput of netbench over that of another: geometric means over rounds with 95 %%
intervals, more than 1 where netbench is faster. Times are medians over rounds; by the
wall clock a round counts with the median of its slices, so that one in which somebody
else had the CPU does no harm. CPU time counts the collector and what a cache does in the
background.

| trace | goroutines | cache | wall/request | CPU/request | hits | netbench faster by wall | by CPU |
|---|---|---|---|---|---|---|---|
`, *proofRequests, *proofSlices, *proofRounds)
	cells := []struct {
		name string
		conc int
	}{{"zipf", 1}, {"scan", 1}, {"mixed", 1}, {"drift", 1}, {"zipf", 2}}
	var judged []string
	for _, cell := range cells {
		spec := benchSpec(cell.name, traces.Fixed)
		spec.N = 1 << 18
		got, err := runRace(t.Context(), t, raceOf{
			trace: spec, bound: benchBound, conc: cell.conc,
			rounds: *proofRounds, slices: *proofSlices, requests: *proofRequests,
		}, allCaches)
		require.NoError(t, err)
		for _, name := range allCaches {
			rounds := got[name]
			byWall, byCPU := "1", "1"
			if name != ours {
				wall, cpu := ratioOf(got[ours], rounds, asked.wallPer), ratioOf(got[ours], rounds, asked.cpuPer)
				byWall, byCPU = proof.Interval(wall), proof.Interval(cpu)
				if name == plainLRU && cell.conc == 1 {
					assert.GreaterOrEqual(t, wall.Lo, 0.5, "%s: throughput over golang-lru's by the wall clock, lower end of its interval", cell.name)
					assert.GreaterOrEqual(t, cpu.Lo, 0.5, "%s: the same by CPU time", cell.name)
					judged = append(judged, fmt.Sprintf("%.2f and %.2f on %s", wall.Lo, cpu.Lo, cell.name))
				}
			}
			fmt.Fprintf(doc, "| %s | %d | %s | %.0f ns | %.0f ns | %.1f %% | %s | %s |\n", cell.name, cell.conc, name,
				medianOf(rounds, asked.wallPer), medianOf(rounds, asked.cpuPer), 100*medianOf(rounds, asked.hits), byWall, byCPU)
		}
	}
	fmt.Fprintf(doc, `
Asked for: one goroutine has at least half of golang-lru's throughput. The lower ends of
the intervals, by the wall clock and by CPU time, are %s.
`, strings.Join(judged, ", "))
}

func proveMemory(t *testing.T, doc *proof.Page) {
	fmt.Fprintf(doc, `
## Memory and collections

%d entries, alone on the heap of a process with one CPU. Numbers are 8 bytes for 8 bytes,
without a pointer; texts a string of 16 bytes and a slice of 64, both on the heap. The
overhead is the slope of the heap after collections over four numbers of entries, less the
bytes of key and value. A collection is the median of 9; its CPU time is what the runtime
counts. Of netbench, Overhead estimates %d bytes for numbers and %d for texts.

| entries | cache | overhead/entry | CPU of a collection | time of a collection |
|---|---|---|---|---|
`, *proofEntries, cache.Overhead[uint64, uint64]()-16, cache.Overhead[string, []byte]())
	for _, kind := range holdingKinds {
		for _, name := range allCaches {
			h, err := measureHolding(t.Context(), holdingSpec{Cache: name, Kind: kind, Entries: *proofEntries, Collections: 9}, t)
			require.NoError(t, err)
			fmt.Fprintf(doc, "| %s | %s | %.0f B | %.2f ms | %.2f ms |\n", kind, name, h.Overhead, h.CollectionCPU/1e6, h.CollectionTime/1e6)
		}
	}
}

func proveService(t *testing.T, doc *proof.Page) {
	s := benchService(ours, "zipf")
	fmt.Fprintf(doc, `
## Before a slow source

An HTTP service in a process of its own with each cache before a source that takes %v for
a page and makes %d at once. %d requests a second, an open loop with Poisson arrivals over
64 connections, varying sizes, %d blocks of %v for each cache in rotated order, each with a
fresh process that went through %d requests before. Latency counts from the due time.
Medians over the blocks in which the generator was not the limit, and their range.

| trace | cache | hits | p50 | p99 | server CPU/request | valid blocks |
|---|---|---|---|---|---|---|
`, s.Delay, s.AtOnce, benchRate, *proofBlocks, *proofBlock, s.Warm)
	for _, trace := range serviceTraces {
		hits, p50, p99, cpu := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
		for block := range *proofBlocks {
			for i := range quietCaches {
				name := quietCaches[(i+block)%len(quietCaches)]
				oneBlock(t, benchService(name, trace), func(r *load.Result, h float64) {
					hits[name] = append(hits[name], 100*h)
					if r.Valid.Latency && r.Latency != nil && r.Latency.P50 != nil && r.Latency.P99 != nil && r.Success == 1 {
						p50[name] = append(p50[name], float64(*r.Latency.P50)/1e6)
						p99[name] = append(p99[name], float64(*r.Latency.P99)/1e6)
					} else {
						t.Logf("%s on %s: latency is left out: %.1f %% succeeded, %q", name, trace, 100*r.Success, r.Reasons)
					}
					if r.Valid.CPU && r.ServerPerOp != nil {
						cpu[name] = append(cpu[name], *r.ServerPerOp/1e3)
					}
				})
			}
		}
		for _, name := range quietCaches {
			fmt.Fprintf(doc, "| %s | %s | %s | %s | %s | %s | %d of %d |\n", trace, name, spread(hits[name], "%.1f", "%"),
				spread(p50[name], "%.2f", "ms"), spread(p99[name], "%.1f", "ms"), spread(cpu[name], "%.0f", "µs"), len(p99[name]), *proofBlocks)
		}
	}
}

// oneBlock runs a service under load.
func oneBlock(t *testing.T, s serviceSpec, note func(*load.Result, float64)) {
	t.Helper()
	running, err := startService(t.Context(), s, t)
	require.NoError(t, err)
	defer func() { require.NoError(t, running.child.Kill()) }()
	r, hits, err := running.drive(t.Context(), func(p *load.Plan) {
		p.Mode, p.Rate, p.Arrivals, p.Conns, p.Duration, p.Warmup = load.Open, benchRate, load.Poisson, 64, *proofBlock, 300*time.Millisecond
	})
	require.NoError(t, err)
	if s.Cache == ours {
		stats, err := running.stats(t.Context())
		require.NoError(t, err)
		trace, err := traces.Make(s.Trace)
		require.NoError(t, err)
		n := int(stats.Hits + stats.Misses)
		before := hitsOf(trace[:s.Warm], s.Bound)
		want := hitsOf(trace[:s.Warm+n], s.Bound) - before
		assert.InDelta(t, float64(want)/float64(n), float64(stats.Hits)/float64(n), 0.01,
			"hits of the service beside the reference's, whose requests have no other order")
	}
	note(r, hits)
}

func medianOf(rounds []asked, per func(asked) float64) float64 {
	var values []float64
	for _, a := range rounds {
		values = append(values, per(a))
	}
	return median(values)
}

// spread is the median of values and their range.
func spread(values []float64, format, unit string) string {
	if len(values) == 0 {
		return "not known"
	}
	m := median(values)
	return fmt.Sprintf(format+" "+strings.ReplaceAll(unit, "%", "%%")+" ("+format+" to "+format+")", m, values[0], values[len(values)-1])
}
