package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile/cache/traces"
	"netbench/internal/cpu"
	"netbench/internal/proc"
	"netbench/load"
	"netbench/testenv"
)

// askingSpec says what a process asks of its cache.
type askingSpec struct {
	Cache      string
	Bound      int64
	Trace      traces.Spec
	Goroutines int // that share the requests
	Warm       int // requests of each before it is ready
}

// slice is what came of a number of requests in succession.
type slice struct {
	Requests, Hits int64
	Wall, CPU      time.Duration // CPU is that of the whole process
}

// asked is a cache in one round.
type asked []slice

// wallPer is the time of a request in ns, by the wall clock: the median over slices, as
// a slice in which somebody else had the CPU tells of that alone.
func (a asked) wallPer() float64 {
	var per []float64
	for _, s := range a {
		per = append(per, float64(s.Wall)/float64(s.Requests))
	}
	return median(per)
}

// cpuPer is the CPU time of a request in ns. For one goroutine with one CPU it is the
// wall clock's without what others used.
func (a asked) cpuPer() float64 {
	var used, n float64
	for _, s := range a {
		used += float64(s.CPU)
		n += float64(s.Requests)
	}
	return used / n
}

// hits is the share of requests that hit, 0 to 1.
func (a asked) hits() float64 {
	var hits, n float64
	for _, s := range a {
		hits += float64(s.Hits)
		n += float64(s.Requests)
	}
	return hits / n
}

// median sorts the values, at least one.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// askingRole has one cache in a process of its own, so that each pays for its own
// garbage and for its goroutines in the background.
var askingRole = proc.Role{Name: "cache-asking", Run: func(ctx context.Context, ch *proc.Channel, raw json.RawMessage) error {
	var s askingSpec
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	trace, err := traces.Make(s.Trace)
	if err != nil {
		return err
	}
	c, err := newPages(s.Cache, s.Bound)
	if err != nil {
		return err
	}
	defer c.Close()
	at := make([]int, s.Goroutines) // where in the trace each is
	round := func(n int) slice {
		var all sync.WaitGroup
		var hits atomic.Int64
		before, began := cpu.Used(), time.Now()
		for g := range at {
			from := at[g] + g*len(trace)/len(at)
			at[g] += n
			all.Go(func() { hits.Add(int64(askAround(c, trace, from, n))) })
		}
		all.Wait()
		return slice{int64(n * len(at)), hits.Load(), time.Since(began), cpu.Used() - before}
	}
	round(s.Warm)
	ch.Handle("ask", func(_ context.Context, arg json.RawMessage) (any, error) {
		var n int
		if err := json.Unmarshal(arg, &n); err != nil {
			return nil, err
		}
		return round(n), nil
	})
	if err := ch.Ready(nil); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}}

// raceOf says how caches are set beside each other.
type raceOf struct {
	trace    traces.Spec
	bound    int64
	conc     int // goroutines, and CPUs
	rounds   int // with fresh processes
	slices   int // of each contender in a round
	requests int // of each goroutine in a slice
}

// runRace runs the caches in turn, and returns what each came to by round. Which is
// started and asked first changes from round to round, and from slice to slice.
func runRace(ctx context.Context, t testing.TB, r raceOf, names []string) (all map[string][]asked, err error) {
	place, err := testenv.Place()
	if err != nil {
		return nil, err
	}
	cpus := place.Server
	if r.conc > len(cpus) {
		cpus = append(append([]int(nil), cpus...), place.Generator...)
	}
	all = map[string][]asked{}
	for round := range r.rounds {
		if err := oneRound(ctx, t, r, names, cpus, round, all); err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return all, nil
}

func oneRound(ctx context.Context, t testing.TB, r raceOf, names []string, cpus []int, round int, all map[string][]asked) (err error) {
	children := make([]*proc.Child, len(names))
	defer func() {
		for _, c := range children {
			if c != nil {
				err = errors.Join(err, c.Kill())
			}
		}
	}()
	for i := range names {
		at := (i + round) % len(names)
		children[at], err = proc.Start(ctx, proc.Options{
			Role: askingRole.Name, CPUs: cpus, GoMaxProcs: r.conc, StartTimeout: time.Minute, Log: childLog{t},
			Spec: askingSpec{Cache: names[at], Bound: r.bound, Trace: r.trace, Goroutines: r.conc, Warm: r.trace.N / 4},
		})
		if err != nil {
			return err
		}
	}
	sums := make([]asked, len(names))
	for turn := range r.slices {
		for i := range names {
			at := (i + round + turn) % len(names)
			if turn%2 == 1 {
				at = len(names) - 1 - at
			}
			var s slice
			if err := children[at].Call(ctx, "ask", r.requests, &s); err != nil {
				return err
			}
			sums[at] = append(sums[at], s)
		}
	}
	for i, name := range names {
		all[name] = append(all[name], sums[i])
	}
	return nil
}

// ratioOf is the throughput of a as a share of that of b, by a cost of a request.
func ratioOf(a, b []asked, per func(asked) float64) load.Ratio {
	var costA, costB []float64
	for i := range a {
		costA, costB = append(costA, per(a[i])), append(costB, per(b[i]))
	}
	return load.RatioOf(costA, costB)
}

func TestARaceAsksTheSameOfAll(t *testing.T) {
	r := raceOf{
		trace: traces.Spec{Name: "zipf", Sizes: traces.Fixed, Keys: 1000, N: 5000, Seed: 1},
		bound: 256 << 10, conc: 1, rounds: 2, slices: 2, requests: 3000,
	}
	got, err := runRace(t.Context(), t, r, allCaches)
	require.NoError(t, err)
	require.Len(t, got, len(allCaches))
	for name, rounds := range got {
		require.Len(t, rounds, 2, name)
		for _, a := range rounds {
			require.Len(t, a, 2, name)
			for i, s := range a {
				assert.EqualValues(t, 3000, s.Requests, name)
				assert.Positive(t, s.Wall, name)
				if name != otterName {
					assert.Equal(t, got[ours][0][i].Hits, s.Hits, "%s is LRU too, and the order of requests is kept", name)
				}
			}
		}
	}
	assert.Equal(t, 1.0, ratioOf(got[ours], got[ours], asked.wallPer).Mean)
}
