package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile/cache"
	"netbench/internal/proc"
)

// Kinds of entries.
const (
	numbers = "numbers" // a number for a number: no pointers
	texts   = "texts"   // a string of 16 bytes, and 64 bytes, each on the heap
)

var holdingKinds = []string{numbers, texts}

// holdingSpec says what a process is to hold.
type holdingSpec struct {
	Cache, Kind          string
	Entries, Collections int
}

// holding is what it says of that.
type holding struct {
	PerEntry float64 // heap that an entry takes, bytes: the slope over four numbers of entries
	Overhead float64 // of these, beside the bytes of key and value

	// Of a collection with all entries: CPU time that the runtime counts for it, wall
	// clock, medians; ns.
	CollectionCPU, CollectionTime float64

	Estimate int64 // what Overhead of this package estimates
}

// holdingRole measures in a process that has nothing else on its heap.
var holdingRole = proc.Role{Name: "cache-holding", Run: func(ctx context.Context, ch *proc.Channel, raw json.RawMessage) error {
	var s holdingSpec
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	var h holding
	var err error
	var held io.Closer
	switch s.Kind {
	case numbers:
		h, held, err = hold(s, func(i int) (uint64, uint64) { return uint64(i), uint64(i) })
		h.Overhead = h.PerEntry - 16
		h.Estimate = cache.Overhead[uint64, uint64]() - 16
	case texts:
		h, held, err = hold(s, func(i int) (string, []byte) {
			return strconv.Itoa(1e15 + i), make([]byte, 64)
		})
		h.Overhead = h.PerEntry - 16 - 64
		h.Estimate = cache.Overhead[string, []byte]()
	default:
		err = fmt.Errorf("unknown kind %q", s.Kind)
	}
	if err != nil {
		return err
	}
	if err := ch.Ready(h); err != nil {
		return errors.Join(err, held.Close())
	}
	<-ctx.Done()
	return held.Close()
}}

// slope is that of the line through points with the least squares.
func slope(xs, ys []float64) float64 {
	var mx, my, xy, xx float64
	for i := range xs {
		mx += xs[i] / float64(len(xs))
		my += ys[i] / float64(len(ys))
	}
	for i := range xs {
		xy += (xs[i] - mx) * (ys[i] - my)
		xx += (xs[i] - mx) * (xs[i] - mx)
	}
	return xy / xx
}

// closer closes what a process holds.
type closer func()

func (c closer) Close() error { c(); return nil }

// hold fills a cache step by step.
func hold[K comparable, V any](s holdingSpec, entry func(i int) (K, V)) (h holding, c io.Closer, err error) {
	all, err := newStore(s.Cache, int64(s.Entries), 1, func(K, V) int64 { return 1 })
	if err != nil {
		return h, nil, err
	}
	var xs, ys []float64
	filled := 0
	for step := 1; step <= 4; step++ {
		for ; filled < s.Entries*step/4; filled++ {
			all.Set(entry(filled))
		}
		if n := all.Len(); n != filled {
			return h, nil, fmt.Errorf("%s has %d entries of %d", s.Cache, n, filled)
		}
		xs, ys = append(xs, float64(filled)), append(ys, float64(heap()))
	}
	h.PerEntry = slope(xs, ys)
	var cpu, took []float64
	for range s.Collections {
		before, began := collectionCPU(), time.Now()
		runtime.GC()
		took = append(took, float64(time.Since(began)))
		cpu = append(cpu, 1e9*(collectionCPU()-before))
	}
	slices.Sort(cpu)
	slices.Sort(took)
	h.CollectionCPU, h.CollectionTime = cpu[len(cpu)/2], took[len(took)/2]
	return h, closer(all.Close), nil
}

// heap is the bytes of live objects.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// collectionCPU is the CPU time of collections so far, in seconds, with what processors
// did for them that had nothing else to do.
func collectionCPU() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64()
}

// measureHolding asks a process of its own.
func measureHolding(ctx context.Context, s holdingSpec, t testing.TB) (h holding, err error) {
	child, err := proc.Start(ctx, proc.Options{Role: holdingRole.Name, Spec: s, GoMaxProcs: 1, StartTimeout: time.Minute, Log: childLog{t}})
	if err != nil {
		return h, err
	}
	err = json.Unmarshal(child.Info(), &h)
	return h, errors.Join(err, child.Kill())
}

// childLog is the log of a child.
type childLog struct{ t testing.TB }

func (l childLog) Write(p []byte) (int, error) {
	l.t.Logf("child: %s", p)
	return len(p), nil
}

func TestTheOverheadIsWhatIsEstimated(t *testing.T) {
	for _, kind := range holdingKinds {
		h, err := measureHolding(t.Context(), holdingSpec{Cache: ours, Kind: kind, Entries: 100_000, Collections: 1}, t)
		require.NoError(t, err)
		t.Logf("%s: %.1f bytes per entry beside its own, %d estimated", kind, h.Overhead, h.Estimate)
		assert.InEpsilon(t, float64(h.Estimate), h.Overhead, 0.35)
	}
}
