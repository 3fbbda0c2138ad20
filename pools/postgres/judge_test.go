package postgres

import (
	"database/sql"
	"math"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
)

func sample(change func(*Sample)) Sample {
	s := Sample{
		DBStats: sql.DBStats{MaxOpenConnections: 5, WaitCount: 1_000_000, WaitDuration: time.Hour, MaxIdleClosed: 1000, MaxIdleTimeClosed: 1000, MaxLifetimeClosed: 1000},
		Dials:   3000, GaveUp: 500,
	}
	if change != nil {
		change(&s)
	}
	return s
}

func TestEachLimitIsJudgedByWhatHappenedWithinTheInterval(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Sample)
		rule   string // "" for none
		value  float64
		cause  string
		advice string
	}{
		"large totals are no news": {nil, "", 0, "", ""},
		"waits at the limit":       {func(s *Sample) { s.WaitCount += 100 }, "", 0, "", ""},
		"waits": {func(s *Sample) { s.WaitCount += 101; s.WaitDuration += 101 * time.Second }, RuleWaits, 101,
			"all 5 connections were taken when callers came, who waited 1s each and stood 10.1 in line on average", "raise MaxOpen from 5, the server permitting 97"},
		"in use at the limit": {func(s *Sample) { s.InUse, s.OpenConnections = 4, 4 }, "", 0, "", ""},
		"in use": {func(s *Sample) { s.InUse, s.OpenConnections = 5, 5 }, RuleInUse, 1,
			"5 of at most 5 connections were in use", "raise MaxOpen from 5"},
		"gave up": {func(s *Sample) { s.GaveUp++ }, RuleGaveUp, 1, "without having asked the database", "shorter queries"},
		"idle limit": {func(s *Sample) { s.MaxIdleClosed += 11; s.Dials += 12 }, RuleIdle, 11,
			"as more than 2 became idle, and 12 were opened anew", "raise MaxIdle from 2 to half of MaxOpen 5"},
		"idle limit, twice the pool": {func(s *Sample) { s.MaxIdleClosed += 10 }, "", 0, "", ""},
		"idle time":                  {func(s *Sample) { s.MaxIdleTimeClosed += 11 }, RuleIdleTime, 11, "after 1s without use", "raise IdleTime from 1s"},
		"lifetime":                   {func(s *Sample) { s.MaxLifetimeClosed += 11 }, RuleLifetime, 11, "at the age of 2s", "raise Lifetime from 2s"},
	} {
		t.Run(name, func(t *testing.T) {
			j := judge{DefaultLimits(), Settings{MaxOpen: 5, MaxIdle: 2, IdleTime: time.Second, Lifetime: 2 * time.Second}, 97}
			alerts := j.compare(sample(nil), sample(tc.change), 10*time.Second)
			if tc.rule == "" {
				assert.Empty(t, alerts)
				return
			}
			require.Len(t, alerts, 1)
			a := alerts[0]
			assert.Equal(t, tc.rule, a.Rule)
			assert.Equal(t, tc.value, a.Value)
			assert.Less(t, a.Limit, a.Value)
			assert.NotEmpty(t, a.Unit)
			assert.Contains(t, a.Cause, tc.cause)
			assert.Contains(t, a.Advice, tc.advice)
		})
	}
}

func TestAPoolWithoutALimitHasNoShareInUseButCanChurn(t *testing.T) {
	j := judge{DefaultLimits(), LibraryDefaults(), 97}
	unlimited := func(change func(*Sample)) Sample {
		return sample(func(s *Sample) {
			s.MaxOpenConnections, s.InUse = 0, 90
			change(s)
		})
	}
	alerts := j.compare(unlimited(func(*Sample) {}), unlimited(func(s *Sample) { s.MaxIdleClosed += 51 }), time.Second)
	require.Len(t, alerts, 1)
	assert.Equal(t, RuleIdle, alerts[0].Rule)
	assert.Equal(t, 50.0, alerts[0].Limit, "twice the 25 that are recommended")
	assert.Contains(t, alerts[0].Advice, "set MaxOpen")
}

func TestAPoolAsLargeAsTheServerIsNotAdvisedToGrow(t *testing.T) {
	j := judge{DefaultLimits(), Settings{MaxOpen: 5}, 5}
	alerts := j.compare(sample(nil), sample(func(s *Sample) { s.GaveUp++ }), time.Second)
	require.Len(t, alerts, 1)
	assert.NotContains(t, alerts[0].Advice, "raise")
	assert.Contains(t, alerts[0].Advice, "the server has no more")
}

func TestCountersThatBeginAnewNeverYieldNegativeValues(t *testing.T) {
	for _, tc := range []struct{ before, now, want int64 }{
		{0, 0, 0},
		{5, 8, 3},
		{8, 5, 5},                         // reset, then 5
		{8, 0, 0},                         // reset
		{math.MaxInt64, math.MinInt64, 0}, // wrapped
		{math.MaxInt64, 7, 7},
		{pools.Absent, pools.Absent, 0},
		{pools.Absent, 7, 7},
		{7, pools.Absent, 0},
		{math.MinInt64, 7, 7},
	} {
		assert.Equal(t, tc.want, since(tc.before, tc.now), "%d to %d", tc.before, tc.now)
	}
	j := judge{DefaultLimits(), Undersized(), 97}
	assert.Empty(t, j.compare(sample(nil), Sample{}, time.Second), "all begin anew")
}

func TestAbsentCountersAreNoTrouble(t *testing.T) {
	j := judge{Limits{Every: time.Second, InUse: 1}, Undersized(), 97}
	absent := sample(func(s *Sample) { s.MaxIdleClosed = pools.Absent })
	assert.Empty(t, j.compare(absent, absent, time.Second))
	assert.Contains(t, absent.String(), "idle limit absent")
}

func TestLimitsThatMakeNoSenseAreNamed(t *testing.T) {
	for want, change := range map[string]func(*Limits){
		"Waits is -1":      func(l *Limits) { l.Waits = -1 },
		"InUse is 1.5":     func(l *Limits) { l.InUse = 1.5 },
		"InUse is NaN":     func(l *Limits) { l.InUse = math.NaN() },
		"GaveUp is -3":     func(l *Limits) { l.GaveUp = -3 },
		"Turnover is -0.5": func(l *Limits) { l.Turnover = -0.5 },
		"at least 1 ms":    func(l *Limits) { l.Every = 0 },
	} {
		l := DefaultLimits()
		change(&l)
		_, err := watch(t.Context(), l, judge{}, func() Sample { return Sample{} }, func(pools.Alert) {})
		assert.ErrorContains(t, err, want)
	}
}

func TestWaitsAreSummarizedOnlyAsFarAsThereAreEnough(t *testing.T) {
	w := newWaits()
	assert.Equal(t, Waits{P50: pools.Absent, P99: pools.Absent}, SummarizeWaits(w.snapshot()))
	for i := range 999 {
		w.record(time.Duration(i+1) * time.Millisecond)
	}
	got := SummarizeWaits(w.snapshot())
	assert.InEpsilon(t, 500*time.Millisecond, got.P50, 0.002)
	assert.InEpsilon(t, 999*time.Millisecond, got.Max, 0.002)
	assert.Equal(t, time.Duration(pools.Absent), got.P99)
	assert.Contains(t, got.String(), "p99 too few")
	w.record(time.Second)
	assert.InEpsilon(t, 990*time.Millisecond, SummarizeWaits(w.snapshot()).P99, 0.002)
	w.record(time.Hour)
	w.record(-time.Second)
	got = SummarizeWaits(w.snapshot())
	assert.Equal(t, int64(1002), got.N, "what is out of bounds is counted")
	assert.InEpsilon(t, longestWait, got.Max, 0.002)
	w.reset()
	assert.Zero(t, w.snapshot().TotalCount())
}

func TestASampleShowsAllStatistics(t *testing.T) {
	s := Sample{Dials: 210, GaveUp: 211, Acquired: 212, AcquireTime: 213 * time.Second}
	stats := reflect.ValueOf(&s.DBStats).Elem()
	for i := range stats.NumField() {
		n := int64(110 + i)
		if stats.Field(i).Type() == reflect.TypeFor[time.Duration]() {
			n *= int64(time.Second)
		}
		stats.Field(i).SetInt(n)
	}
	text := s.String()
	for i := range stats.NumField() {
		n := int64(110 + i)
		if d, ok := stats.Field(i).Interface().(time.Duration); ok {
			assert.Contains(t, text, d.String())
			continue
		}
		assert.Contains(t, text, strconv.FormatInt(n, 10), stats.Type().Field(i).Name)
	}
	for _, want := range []string{"210", "211", "212", "3m33s"} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "\n")
	s.Acquired, s.MaxOpenConnections = pools.Absent, 0
	assert.NotContains(t, s.String(), "acquired")
	assert.Contains(t, s.String(), "of no limit")
}
