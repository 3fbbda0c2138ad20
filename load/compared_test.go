package load

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sampled is a sample of which only rate and busy share are known.
func sampled(name string, rate, busy float64) *Sample {
	r := &Result{Rate: rate, Valid: Valid{Rate: true, Latency: true, CPU: true, Counts: true}, Thresholds: Thresholds{}.withDefaults()}
	if busy >= 0 {
		r.ServerCPU = &busy
	}
	return &Sample{Name: name, Result: r}
}

func TestRatesAreComparedOnlyWhereBothContendersWereSaturated(t *testing.T) {
	c := Comparison{Names: []string{"a", "b", "c"}, Rounds: []*Round{
		{Samples: []*Sample{sampled("a", 100, 0.95), sampled("b", 110, 1), sampled("c", 90, 0.2)}},
		{Samples: []*Sample{sampled("a", 100, 0.98), sampled("b", 300, 0.94), sampled("c", 90, 0.99)}},
		{Samples: []*Sample{sampled("a", 100, 0.97), sampled("b", 112, 0.96), sampled("c", 90, 0.95)}},
		{Samples: []*Sample{sampled("a", 100, 0.97), sampled("b", 300, -1), sampled("c", 90, 0.99)}},
		{Samples: make([]*Sample, 3), Invalid: "b: it died"},
	}}
	r := c.RateRatio(0, 1)
	require.Equal(t, 2, r.N, "whatever the third one did")
	assert.InDelta(t, math.Sqrt(1.10*1.12), r.Mean, 1e-9)
	assert.Equal(t, 4, c.Ratio(0, 1, RequestRate).N, "the metric itself does not ask")
	assert.Equal(t, 3, c.RateRatio(0, 2).N)
	assert.False(t, (*Sample)(nil).Saturated())
}

func TestDifferenceHasStudentsInterval(t *testing.T) {
	value := func(vs ...float64) *Comparison {
		c := &Comparison{Names: []string{"a", "b"}}
		for _, v := range vs {
			a, b := sampled("a", 1, 1), sampled("b", 1, 1)
			zero := 0.0
			a.SyscallsPerOp, b.SyscallsPerOp = &zero, &v
			c.Rounds = append(c.Rounds, &Round{Samples: []*Sample{a, b}})
		}
		return c
	}
	d := value(1, 2, 3).Difference(0, 1, SyscallsPerOp)
	assert.Equal(t, 3, d.N)
	assert.InDelta(t, 2, d.Mean, 1e-12)
	half := 4.302652729911275 / math.Sqrt(3) // t(0.975, 2) sd/sqrt(n)
	assert.InDelta(t, 2-half, d.Lo, 1e-6)
	assert.InDelta(t, 2+half, d.Hi, 1e-6)
	one := value(5).Difference(1, 0, SyscallsPerOp)
	assert.Equal(t, -5.0, one.Mean)
	assert.True(t, math.IsInf(one.Hi, 1) && math.IsInf(one.Lo, -1), "one round has no bounds")
	assert.Zero(t, value().Difference(0, 1, SyscallsPerOp).N)
}

func TestLatencyOfAComparisonIsThatOfAllItsValidRounds(t *testing.T) {
	round := func(ns int64, n int, valid bool) *Round {
		s := sampled("a", 1, 1)
		s.Valid.Latency = valid
		s.hist.latency = newHist()
		for range n {
			require.NoError(t, s.hist.latency.RecordValue(ns))
		}
		return &Round{Samples: []*Sample{s}}
	}
	c := Comparison{Names: []string{"a"}, Rounds: []*Round{round(1000, 600, true), round(5000, 600, true), round(1e6, 9000, false)}}
	q, err := c.Latency(0)
	require.NoError(t, err)
	assert.EqualValues(t, 1200, q.Count)
	assert.InDelta(t, 5000, *q.P99, 10)
	assert.InDelta(t, 1000, *q.P50, 2)
	none, err := (&Comparison{Names: []string{"a"}, Rounds: c.Rounds[2:]}).Latency(0)
	require.NoError(t, err)
	assert.Nil(t, none)
}

func TestAContenderThatFailsToStartLaterLosesOnlyThatRound(t *testing.T) {
	var f fakes
	var starts atomic.Int64
	good := f.contender("good", 1000, nil)
	moody := Contender{Name: "moody", Start: func(ctx context.Context) (Subject, error) {
		if starts.Add(1) == 2 {
			return nil, errors.New("no port to be had")
		}
		return f.contender("moody", 1000, nil).Start(ctx)
	}}
	c, err := Interleave(t.Context(), short(3), good, moody)
	require.NoError(t, err)
	require.Len(t, c.Rounds, 3)
	assert.Equal(t, "moody: it could not be started: no port to be had", c.Rounds[1].Invalid)
	assert.Equal(t, []string{"moody"}, c.Rounds[1].Faulty)
	assert.Equal(t, 2, c.Ratio(0, 1, GeneratorCPUPerOp).N)
	for _, s := range f.all {
		assert.EqualValues(t, 1, s.stopped.Load())
	}
}

func TestAContenderThatWentBeforeItWasReachedLosesOnlyThatRound(t *testing.T) {
	var f fakes
	var starts atomic.Int64
	gone := Contender{Name: "gone", Start: func(ctx context.Context) (Subject, error) {
		s, err := f.contender("gone", 1000, nil).Start(ctx)
		if err == nil && starts.Add(1) == 2 {
			err = s.(*fakeSubject).l.Close()
		}
		return s, err
	}}
	c, err := Interleave(t.Context(), Comparing{Plan: Plan{Conns: 2}, Rounds: 2, Slice: 10 * time.Millisecond, Slices: 4, Warmup: time.Millisecond},
		f.contender("good", 1000, nil), gone)
	require.NoError(t, err)
	assert.Empty(t, c.Rounds[0].Invalid)
	assert.Contains(t, c.Rounds[1].Invalid, "gone: connect to ")
	assert.Equal(t, []string{"gone"}, c.Rounds[1].Faulty)
}

// Before says that a contender was reached before; the plan may be bad all the same.
func TestABadPlanIsHeldAgainstNoContender(t *testing.T) {
	var f fakes
	_, err := Interleave(t.Context(), Comparing{Plan: Plan{Conns: -1}, Rounds: 1, Before: 1, Slice: 10 * time.Millisecond, Slices: 4},
		f.contender("a", 1000, nil), f.contender("b", 1000, nil))
	require.ErrorIs(t, err, ErrInput)
	for _, s := range f.all {
		assert.EqualValues(t, 1, s.stopped.Load())
	}
}
