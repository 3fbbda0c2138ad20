package gcprofile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/load"
	"netbench/testenv"
)

// looks are two looks at a process: what it has done before the first is no part of
// the block between them.
func looks() (from, to testenv.Snapshot) {
	at := time.Unix(1000, 0)
	from = testenv.Snapshot{
		Time:   at,
		Rusage: &testenv.Rusage{User: 3 * time.Second, System: time.Second, MaxRSS: 50 * mib},
		Runtime: testenv.Runtime{
			Mallocs: 1_000_000, AllocBytes: 500 * mib, GCCycles: 100, GCLimited: 90,
			GCCPU: 5, GCAssistCPU: 2, GCIdleCPU: 1, IdleCPU: 10, TotalCPU: 40,
			HeapGoal: 11 * mib, HeapLive: 7 * mib,
			Pauses:    testenv.Histogram{Buckets: []testenv.Bucket{{AtMost: 10, Count: 150}, {AtMost: 900, Count: 50}}},
			Latencies: testenv.Histogram{Buckets: []testenv.Bucket{{AtMost: 20, Count: 10}, {AtMost: 7000, Count: 3000}}},
		},
	}
	to = testenv.Snapshot{
		Time:   at.Add(20 * time.Second),
		Rusage: &testenv.Rusage{User: 10 * time.Second, System: 4 * time.Second, MaxRSS: 80 * mib},
		Runtime: testenv.Runtime{
			Mallocs: 1_006_000, AllocBytes: 530 * mib, GCCycles: 120, GCLimited: 90,
			GCCPU: 10, GCAssistCPU: 3, GCIdleCPU: 3, IdleCPU: 20, TotalCPU: 60,
			HeapGoal: 22 * mib, HeapLive: 9 * mib, HeapObjects: 15 * mib,
			Pauses:    testenv.Histogram{Buckets: []testenv.Bucket{{AtMost: 10, Count: 180}, {AtMost: 90, Count: 10}, {AtMost: 900, Count: 50}}},
			Latencies: testenv.Histogram{Buckets: []testenv.Bucket{{AtMost: 20, Count: 1000}, {AtMost: 300, Count: 10}, {AtMost: 7000, Count: 3000}}},
		},
	}
	return from, to
}

func TestABlockHasWhatWasDoneInItAndNothingOfBefore(t *testing.T) {
	b := &Block{Drive: Drive{Collections: 20}, Answers: 3000}
	b.read(looks())
	assert.Equal(t, 20*time.Second, b.Lasted)
	assert.Equal(t, 2.0, b.Allocs)
	assert.Equal(t, 30*float64(mib)/3000, b.Bytes)
	assert.EqualValues(t, 20, b.Collections)
	assert.Equal(t, 60.0, b.CollectionsPerMinute())
	assert.True(t, b.Reached)
	require.NotNil(t, b.GCShare)
	assert.InDelta(t, 0.5, *b.GCShare, 1e-9, "5 s of collection in 10 s of CPU time")
	require.NotNil(t, b.AssistShare)
	assert.InDelta(t, 0.1, *b.AssistShare, 1e-9, "1 s of these")
	assert.InDelta(t, 0.15, b.GCOfAll, 1e-9, "3 s that were not idle, of 20 s that there were")
	assert.False(t, b.Limited, "it was ten collections before")
	assert.False(t, b.Spiral())
	assert.EqualValues(t, 40, b.Pauses.Count)
	assert.EqualValues(t, 10, *b.Pauses.P50)
	assert.EqualValues(t, 90, *b.Pauses.Max)
	assert.EqualValues(t, 1000, b.SchedWait.Count)
	assert.EqualValues(t, 20, *b.SchedWait.P99)
	assert.EqualValues(t, 300, *b.SchedWait.Max)
	assert.EqualValues(t, 80*mib, b.PeakRSS)
	assert.EqualValues(t, 22*mib, b.HeapGoal)
	assert.EqualValues(t, 9*mib, b.HeapLive)

	b.Drive.Collections = 21
	b.read(looks())
	assert.False(t, b.Reached)
}

func TestABlockInWhichTheRuntimeLimitedCollectionsIsASpiral(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(from, to *testenv.Runtime)
		limited bool
	}{
		"never":                     {func(f, to *testenv.Runtime) { f.GCLimited, to.GCLimited = 0, 0 }, false},
		"in the last one before":    {func(f, to *testenv.Runtime) { f.GCLimited, to.GCLimited = 100, 100 }, false},
		"in the one that began":     {func(f, to *testenv.Runtime) { f.GCLimited, to.GCLimited = 101, 101 }, true},
		"in the last of the block":  {func(_, to *testenv.Runtime) { to.GCLimited = 120 }, true},
		"in one of two processes'":  {func(_, to *testenv.Runtime) { to.GCLimited = 95 }, true}, // whose cycles are added up
		"a process that took over":  {func(f, to *testenv.Runtime) { f.GCLimited, to.GCLimited = 0, 3 }, true},
		"collections took all":      {func(_, to *testenv.Runtime) { to.GCCPU = 16 }, false},
		"collections took the idle": {func(_, to *testenv.Runtime) { to.GCCPU, to.GCIdleCPU = 16, 12 }, false},
	} {
		from, to := looks()
		c.change(&from.Runtime, &to.Runtime)
		b := &Block{Drive: Drive{Collections: 20}, Answers: 1}
		b.read(from, to)
		assert.Equal(t, c.limited, b.Limited, name)
		assert.Equal(t, c.limited || name == "collections took all", b.Spiral(), name)
	}
}

func TestABlockSaysNothingOfWhatTheSystemDoesNotTell(t *testing.T) {
	from, to := looks()
	from.Rusage, to.Rusage = nil, nil
	b := &Block{Drive: Drive{Collections: 20}}
	b.read(from, to)
	assert.Nil(t, b.GCShare)
	assert.Nil(t, b.AssistShare)
	assert.Zero(t, b.PeakRSS)
	assert.Zero(t, b.Allocs, "without an answer there is none for each")
	assert.InDelta(t, 0.15, b.GCOfAll, 1e-9, "this is of the runtime alone")
}

func TestAServerThatDoesNotKeepUpIsOverloaded(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(*load.Result)
		overloaded bool
	}{
		"all in time":        {func(*load.Result) {}, false},
		"as good as all":     {func(r *load.Result) { r.Rate = 951 }, false},
		"too few":            {func(r *load.Result) { r.Rate = 940 }, true},
		"a lost connection":  {func(r *load.Result) { r.Lost = 1 }, true},
		"one failed":         {func(r *load.Result) { r.Success = 0.9999 }, true},
		"the generator's":    {func(r *load.Result) { r.Rate, r.Valid.Rate = 500, false }, false},
		"few are no share":   {func(r *load.Result) { r.Offered, r.Rate = 2, 1 }, false},
		"nothing was heard":  {func(r *load.Result) { r.Rate, r.Answered = 0, 0 }, true},
		"late, but answered": {func(r *load.Result) { r.Rate, r.Answered = 900, 10_000 }, true},
	} {
		r := &load.Result{Duration: 10, Offered: 1000, Rate: 1000, Answered: 10_000, Success: 1, Valid: load.Valid{Rate: true}}
		c.change(r)
		b := &Block{Answers: 7}
		b.add(r)
		assert.Equal(t, c.overloaded, b.Overloaded, name)
		assert.Equal(t, 7+r.Answered, b.Answers, name)
	}
}
