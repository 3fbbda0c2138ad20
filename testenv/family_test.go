//go:build linux

package testenv

import (
	"context"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
)

// filled is a snapshot in which every number is n.
func filled(n int) Snapshot {
	var s Snapshot
	s.Rusage, s.Memory = new(Rusage), new(Memory)
	fill(reflect.ValueOf(&s).Elem(), n)
	s.Time = time.Unix(int64(n), 0)
	s.CPUs, s.PerListener = []int{n}, []uint64{uint64(n)}
	s.Runtime.Pauses = Histogram{Buckets: []Bucket{{AtMost: time.Duration(n), Count: 1}, {AtMost: 1000, Count: uint64(n)}}}
	return s
}

func fill(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		fill(v.Elem(), n)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Uint64:
		v.SetUint(uint64(n))
	case reflect.Float64:
		v.SetFloat(float64(n))
	}
}

func TestSumsOfSnapshotsLeaveNoNumberOut(t *testing.T) {
	want := filled(5)
	want.Time = time.Unix(3, 0)
	want.CPUs, want.PerListener = []int{2, 3}, []uint64{2, 3}
	want.Runtime.GOGC = 2
	want.Runtime.GCLimited = 3 // a collection's number, of which the later one counts
	want.Runtime.Pauses = Histogram{Buckets: []Bucket{{AtMost: 2, Count: 1}, {AtMost: 3, Count: 1}, {AtMost: 1000, Count: 5}}}
	assert.Equal(t, want, filled(2).Add(filled(3)))
	want.CPUs, want.PerListener = []int{2, 3}, []uint64{3, 2}
	want.Runtime.GOGC = 3
	assert.Equal(t, want, filled(3).Add(filled(2)))
}

func TestASumDoesNotKnowWhatOnePartDoesNot(t *testing.T) {
	unknown := filled(1)
	unknown.Rusage, unknown.Memory, unknown.FDs, unknown.Threads = nil, nil, -1, -1
	unknown.Runtime.GOMEMLIMIT = math.MaxInt64
	for _, s := range []Snapshot{filled(2).Add(unknown), unknown.Add(filled(2)), unknown.Add(unknown)} {
		assert.Nil(t, s.Rusage)
		assert.Nil(t, s.Memory)
		assert.Equal(t, -1, s.FDs)
		assert.Equal(t, -1, s.Threads)
		assert.EqualValues(t, math.MaxInt64, s.Runtime.GOMEMLIMIT, "no limit")
	}
}

func TestWhatAnEndedProcessLeavesAreItsCounters(t *testing.T) {
	past := filled(7).Past()
	all := filled(7)
	assert.Equal(t, Memory{}, *past.Memory)
	assert.Zero(t, past.FDs)
	assert.Zero(t, past.Threads)
	assert.Zero(t, past.Server.Active)
	assert.Zero(t, past.Rusage.MaxRSS)
	assert.Zero(t, past.Runtime.HeapInuse)
	assert.Zero(t, past.Runtime.Goroutines)
	assert.Empty(t, past.CPUs)
	assert.EqualValues(t, 7, past.Server.Accepted)
	assert.EqualValues(t, 7, past.Runtime.Mallocs)
	assert.EqualValues(t, 7, past.Rusage.User)
	assert.Equal(t, all.Runtime.Pauses, past.Runtime.Pauses)
	assert.EqualValues(t, 7, all.Rusage.MaxRSS, "the snapshot itself stays as it was")
	unknown := Snapshot{FDs: -1, Threads: -1}.Past()
	assert.Equal(t, -1, unknown.FDs)
	assert.Nil(t, unknown.Memory)
}

// parent is a server that claims to have workers.
type parent struct {
	*echo
	collected bool
}

func (p *parent) WorkerSnapshot(context.Context) (Snapshot, error) {
	s := filled(1 << 40)
	s.Time, s.CPUs = time.Now(), nil
	s.Server = models.Stats{Model: "parent", Accepted: 42}
	if p.collected {
		s.Server.Variant = "collected"
	}
	return s, nil
}

func (p *parent) WorkerRuntime(context.Context) (Runtime, error) {
	return Runtime{Mallocs: 1 << 40}, nil
}

func (p *parent) CollectWorkers(context.Context) error {
	p.collected = true
	return nil
}

func TestAServersFiguresIncludeItsWorkers(t *testing.T) {
	ctx := context.Background()
	s := startServer(t, ServerSpec{Model: "parent", Service: "echo"})
	require.NoError(t, s.Collect(ctx))
	snap, err := s.Stats(ctx)
	require.NoError(t, err)
	assert.Equal(t, models.Stats{Model: "parent", Accepted: 42, Variant: "collected"}, snap.Server)
	for name, n := range map[string]uint64{"mallocs": snap.Runtime.Mallocs, "RSS": snap.Memory.RSS, "descriptors": uint64(snap.FDs)} {
		assert.Greater(t, n, uint64(1)<<40, "%s of the workers and some of its own", name)
		assert.Less(t, n, uint64(1)<<41, name)
	}
	assert.Equal(t, []uint64{1 << 40}, snap.PerListener)
	r, err := s.Runtime(ctx)
	require.NoError(t, err)
	assert.Greater(t, r.Mallocs, uint64(1)<<40)
	assert.NotEmpty(t, r.GoVersion)
	_, err = json.Marshal(snap)
	require.NoError(t, err)
}
