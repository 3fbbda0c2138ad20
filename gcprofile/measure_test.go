package gcprofile_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile"
)

// easy is a load that a busy machine bears, with collections all the same.
func easy() gcprofile.Drive {
	return gcprofile.Drive{Rate: 300, Conns: 8, Collections: 3, Min: 300 * time.Millisecond, Max: 20 * time.Second, Warm: 200 * time.Millisecond}
}

func TestABlockLastsUntilEnoughCollectionsWereSeen(t *testing.T) {
	keepsDescriptors(t)
	// 300 x 64 KiB a second fill the room that 8 MiB leave in some 400 ms.
	var b *gcprofile.Block
	for range 5 { // the machine may have been busy with something else
		var err error
		b, err = gcprofile.MeasureFresh(t.Context(), gcprofile.Spec{Live: 8 * mebibyte, Alloc: "64KiB"}, easy())
		require.NoError(t, err)
		if !b.Overloaded {
			break
		}
	}
	require.False(t, b.Overloaded, "%v", b.Reasons)
	assert.GreaterOrEqual(t, b.Collections, uint64(3))
	assert.True(t, b.Reached)
	assert.GreaterOrEqual(t, b.Lasted, 300*time.Millisecond)
	assert.GreaterOrEqual(t, b.Answers, int64(90))
	assert.InDelta(t, 64<<10, b.Bytes, 3000)
	assert.InDelta(t, 1, b.Allocs, 20, "looks at the runtime are in it")
	require.NotNil(t, b.GCShare)
	assert.Positive(t, *b.GCShare)
	assert.LessOrEqual(t, *b.AssistShare, *b.GCShare)
	assert.Positive(t, b.GCOfAll)
	assert.EqualValues(t, 2*b.Collections, b.Pauses.Count, "two for each")
	assert.Positive(t, b.SchedWait.Count)
	assert.Greater(t, b.PeakRSS, uint64(8*mebibyte))
	assert.Less(t, b.PeakRSS, uint64(200*mebibyte))
	assert.Greater(t, b.HeapGoal, b.HeapLive)
	assert.GreaterOrEqual(t, b.HeapLive, uint64(8*mebibyte*95/100))
	if b.Latency.P50 == nil {
		assert.NotEmpty(t, b.Reasons, "it says why it has none")
	}
}

func TestASettingIsThatOfTheServersProcess(t *testing.T) {
	keepsDescriptors(t)
	t.Setenv("GOGC", "33")
	t.Setenv("GOMEMLIMIT", "1GiB")
	for set, want := range map[gcprofile.Setting]struct {
		gogc  int
		limit int64
	}{
		{}:          {100, math.MaxInt64},
		{GOGC: 400}: {400, math.MaxInt64},
		{GOGC: gcprofile.Off, Limit: 64 * mebibyte}: {-1, 64 * mebibyte},
	} {
		s := start(t, gcprofile.Spec{Live: mebibyte}.With(set))
		r, err := s.Runtime(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want.gogc, r.GOGC, set)
		assert.Equal(t, want.limit, r.GOMEMLIMIT, set)
	}
}

func TestABlockThatSeesTooFewCollectionsEndsAndSaysSo(t *testing.T) {
	keepsDescriptors(t)
	d := easy()
	d.Max, d.Warm = d.Min, time.Millisecond
	spec := gcprofile.Spec{Live: mebibyte, Alloc: gcprofile.AllocNone}.With(gcprofile.Setting{GOGC: gcprofile.Off, Limit: 256 * mebibyte})
	r, err := gcprofile.Sweep(t.Context(), gcprofile.Plan{Spec: spec, Settings: []gcprofile.Setting{spec.Setting()}, Drive: d, Blocks: 1})
	require.NoError(t, err)
	b := r.Rows[0].Blocks[0]
	assert.Zero(t, b.Collections)
	assert.False(t, b.Reached)
	assert.Zero(t, b.Pauses.Count)
	assert.Nil(t, b.Pauses.P50)
	require.NotEmpty(t, r.Warnings)
	assert.Contains(t, r.Warnings[0], "1 of 1 blocks had fewer than 3 collections within 300ms")
	assert.Zero(t, r.Capacity, "the rate was given")
}

func TestASweepHasABlockOfEachSettingInEachRoundInAnOrderThatItsSeedMakes(t *testing.T) {
	keepsDescriptors(t)
	d := easy()
	d.Min, d.Max, d.Warm, d.Rate = 100*time.Millisecond, 100*time.Millisecond, time.Millisecond, 0
	plan := gcprofile.Plan{
		Spec: gcprofile.Spec{Alloc: "1KiB"}, Settings: []gcprofile.Setting{{GOGC: 50}, {GOGC: 400}},
		Drive: d, Share: 0.02, CapacityFor: 200 * time.Millisecond, Blocks: 2, Seed: 7,
	}
	var lines []string
	plan.Progress = func(line string) { lines = append(lines, line) }
	r, err := gcprofile.Sweep(t.Context(), plan)
	require.NoError(t, err)
	assert.Positive(t, r.Capacity)
	assert.InEpsilon(t, 0.02*r.Capacity, r.Drive.Rate, 1e-9)
	assert.EqualValues(t, 7, r.Seed)
	require.Len(t, r.Rows, 2)
	for _, row := range r.Rows {
		require.Len(t, row.Blocks, 2)
		assert.Equal(t, row.Setting, row.Blocks[0].Spec.Setting())
		require.NotNil(t, row.PeakRSS.Value)
	}
	require.Len(t, lines, 5)
	assert.Contains(t, lines[0], "capacity")
	assert.Contains(t, lines[4], "round 2 of 2, 2 of 2")
	for i, setting := range []string{"GOGC=50", "GOGC=400", "GOGC=400", "GOGC=50"} { // by seed 7
		assert.Contains(t, lines[1+i], ": "+setting+": ", "a second round that is not in the order of the first")
	}
}

func TestASweepThatIsInterruptedReturnsWhatItHas(t *testing.T) {
	keepsDescriptors(t)
	ctx, cancel := context.WithCancel(t.Context())
	d := easy()
	d.Min, d.Max, d.Warm = 100*time.Millisecond, 100*time.Millisecond, time.Millisecond
	r, err := gcprofile.Sweep(ctx, gcprofile.Plan{
		Spec: gcprofile.Spec{Alloc: "1KiB"}, Settings: []gcprofile.Setting{{GOGC: 100}}, Drive: d, Blocks: 50,
		Progress: func(string) { cancel() },
	})
	require.ErrorIs(t, err, context.Canceled)
	require.NotNil(t, r)
	assert.Len(t, r.Rows[0].Blocks, 1)
	assert.Contains(t, r.Warnings, "it ended early: 1 of 50 blocks were measured")

	r, err = gcprofile.Sweep(ctx, gcprofile.Plan{Spec: gcprofile.Spec{Alloc: "1KiB"}, Drive: d})
	require.ErrorIs(t, err, context.Canceled)
	assert.Nil(t, r)
}

func TestScenariosStartServersWithTheirSettings(t *testing.T) {
	keepsDescriptors(t)
	seen := map[string]bool{}
	for _, s := range gcprofile.Scenarios() {
		require.False(t, seen[s.Name], "%s is there twice", s.Name)
		seen[s.Name] = true
		assert.Empty(t, s.Missing())
	}
	require.True(t, seen["GC/gogc=100/limit=none/live=64MiB/alloc=64KiB"])
	require.True(t, seen["GC/gogc=off/limit=1.5x/live=64MiB/alloc=64KiB"])
	for _, s := range gcprofile.Scenarios() {
		if s.Name != "GC/gogc=off/limit=1.5x/live=64MiB/alloc=64KiB" {
			continue
		}
		server, _, err := s.Start(t.Context())
		require.NoError(t, err)
		defer func() { assert.NoError(t, server.Stop(context.WithoutCancel(t.Context()))) }()
		r, err := server.Runtime(t.Context())
		require.NoError(t, err)
		assert.Equal(t, -1, r.GOGC)
		assert.EqualValues(t, 96*mebibyte, r.GOMEMLIMIT)
		require.NoError(t, server.Collect(t.Context()))
		r, err = server.Runtime(t.Context())
		require.NoError(t, err)
		assert.InEpsilon(t, 64*mebibyte, r.HeapLive, 0.05)
	}
}
