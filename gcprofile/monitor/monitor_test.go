package monitor

import (
	"context"
	"math"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is a program as a test wants it.
type program struct {
	mu sync.Mutex
	t  totals
}

func newProgram() *program {
	return &program{t: totals{pauses: &metrics.Float64Histogram{
		Buckets: []float64{math.Inf(-1), 0, 0.001, 0.002, 0.010, 0.0125, 0.015, math.Inf(1)},
		Counts:  make([]uint64, 7),
	}}}
}

func (p *program) read() totals {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.t
}

func (p *program) set(change func(*totals)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.t)
}

// watch starts a monitor of p.
func watch(t *testing.T, p *program, c Config) (*Monitor, <-chan Alert) {
	t.Helper()
	m, err := New(c)
	require.NoError(t, err)
	m.source = p.read
	alerts, err := m.Start(t.Context())
	require.NoError(t, err)
	return m, alerts
}

// told is what waits in the channel.
func told(alerts <-chan Alert) (all []Alert) {
	for {
		select {
		case a, open := <-alerts:
			if !open {
				return all
			}
			all = append(all, a)
		default:
			return all
		}
	}
}

func TestZeroValuesAreTheDefaults(t *testing.T) {
	m, err := New(Config{})
	require.NoError(t, err)
	c := m.Config()
	assert.EqualValues(t, 500_000_000, c.Heap)
	assert.Equal(t, 10_000, c.Goroutines)
	assert.Equal(t, 10*time.Millisecond, c.Pause)
	assert.Equal(t, 100e6, c.AllocRate)
	assert.Equal(t, 10*time.Second, c.Every)
	assert.Equal(t, 1.0, c.PauseQuantile)
}

func TestABadFieldIsNamed(t *testing.T) {
	for field, c := range map[string]Config{
		"Heap": {Heap: -2}, "Goroutines": {Goroutines: -7}, "Pause": {Pause: -time.Second},
		"AllocRate": {AllocRate: math.NaN()}, "PauseQuantile": {PauseQuantile: 1.01},
		"Every": {Every: time.Microsecond}, "Repeat": {Repeat: -2}, "Hysteresis": {Hysteresis: 1}, "Queue": {Queue: -1},
	} {
		_, err := New(c)
		var bad *ConfigError
		if assert.ErrorAs(t, err, &bad, field) {
			assert.Equal(t, field, bad.Field)
			assert.NotContains(t, err.Error(), "\n")
		}
	}
	_, err := New(Config{AllocRate: math.Inf(1)})
	assert.ErrorContains(t, err, "AllocRate is +Inf")
}

func TestARateIsOverTheTrueTimeBetweenSamples(t *testing.T) {
	p := newProgram()
	clock := time.Unix(0, 0)
	s := &sampler{source: p.read, now: func() time.Time { return clock }, quantile: 1}
	p.set(func(t *totals) { t.allocated = 1 << 50 })
	first := s.sample()
	assert.Zero(t, first.AllocRate, "a large total is no rate")
	assert.Zero(t, first.Within)

	clock = clock.Add(25 * time.Second) // a tick that was due after 10
	p.set(func(t *totals) { t.allocated += 1000 })
	second := s.sample()
	assert.Equal(t, 25*time.Second, second.Within)
	assert.Equal(t, 40.0, second.AllocRate)

	p.set(func(t *totals) { t.allocated += 500 })
	assert.Zero(t, s.sample().Within, "no time has passed")
	clock = clock.Add(5 * time.Second)
	assert.Equal(t, 100.0, s.sample().AllocRate, "and nothing of it is lost")
}

func TestACounterThatGoesBackIsNoHugeRate(t *testing.T) {
	p := newProgram()
	clock := time.Unix(0, 0)
	s := &sampler{source: p.read, now: func() time.Time { return clock }, quantile: 1}
	p.set(func(t *totals) { t.allocated, t.collections = 1000, 5 })
	s.sample()
	clock = clock.Add(time.Second)
	p.set(func(t *totals) { t.allocated, t.collections = 999, 4 })
	got := s.sample()
	assert.Zero(t, got.Allocated)
	assert.Zero(t, got.AllocRate)
	assert.Zero(t, got.Collections)
}

func TestPausesAreThoseSinceTheSampleBefore(t *testing.T) {
	p := newProgram()
	clock := time.Unix(0, 0)
	s := &sampler{source: p.read, now: func() time.Time { return clock }, quantile: 0.99}
	p.set(func(t *totals) { t.pauses.Counts[5] = 10_000 }) // long ago
	s.sample()

	clock = clock.Add(time.Second)
	p.set(func(t *totals) { t.pauses.Counts[2] += 985; t.pauses.Counts[4] += 15 })
	got := s.sample()
	assert.EqualValues(t, 1000, got.Pauses)
	assert.Equal(t, Pause{time.Millisecond, 2 * time.Millisecond}, got.PauseP50)
	assert.Equal(t, Pause{10 * time.Millisecond, 12500 * time.Microsecond}, got.PauseP99)
	assert.Equal(t, got.PauseP99, got.PauseMax)
	assert.True(t, got.isJudged)

	clock = clock.Add(time.Second)
	p.set(func(t *totals) { t.pauses.Counts[6] += 30 })
	got = s.sample()
	assert.Equal(t, Pause{15 * time.Millisecond, math.MaxInt64}, got.PauseMax, "the last bucket has no end")
	assert.Equal(t, got.PauseMax, got.PauseP50)
	assert.Zero(t, got.PauseP99, "30 pauses do not tell it")
	assert.False(t, got.isJudged, "nor are they judged by it")

	clock = clock.Add(time.Second)
	got = s.sample()
	assert.Zero(t, got.PauseMax)
	assert.True(t, got.isJudged, "no pause is short enough")
}

func TestQuantilesAreByNearestRank(t *testing.T) {
	buckets := []float64{0, 1, 2, 3}
	for _, c := range []struct {
		counts []uint64
		q      float64
		want   time.Duration
		ok     bool
	}{
		{[]uint64{10, 10, 0}, 0.5, 0, true},
		{[]uint64{9, 11, 0}, 0.5, time.Second, true},
		{[]uint64{19, 0, 1}, 1, 2 * time.Second, true},
		{[]uint64{0, 0, 1}, 1, 2 * time.Second, true},
		{[]uint64{19, 0, 0}, 0.5, 0, false},
		{[]uint64{0, 0, 0}, 0.9, 0, true},
	} {
		p, ok := quantile(buckets, c.counts, c.counts[0]+c.counts[1]+c.counts[2], c.q)
		assert.Equal(t, c.ok, ok, "%v", c)
		assert.Equal(t, c.want, p.AtLeast, "%v", c)
	}
}

func TestAnAlertCarriesValueThresholdUnitAndAdvice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram()
		m, alerts := watch(t, p, Config{})
		start := time.Now()
		assert.Empty(t, told(alerts))
		p.set(func(t *totals) {
			t.heap, t.goroutines = 500_000_001, 10_001
			t.allocated += 1_000_000_010
			t.pauses.Counts[5]++
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		m.Stop()
		all := told(alerts)
		require.Len(t, all, 4)
		for i, want := range []Alert{
			{Rule: HeapRule, Value: 500_000_001, Threshold: 500_000_000, Unit: "B"},
			{Rule: GoroutinesRule, Value: 10_001, Threshold: 10_000, Unit: "goroutines"},
			{Rule: PauseRule, Value: 0.0125, Threshold: 0.010, Unit: "s"},
			{Rule: AllocRateRule, Value: 100_000_001, Threshold: 100_000_000, Unit: "B/s"},
		} {
			a := all[i]
			assert.NotEmpty(t, a.Advice)
			want.State, want.Within, want.Advice = Raised, 10*time.Second, a.Advice
			want.At, want.Since = start.Add(10*time.Second), start.Add(10*time.Second)
			assert.Equal(t, want, a)
			assert.Contains(t, a.String(), a.Advice)
		}
	})
}

func TestLevelsAreJudgedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram()
		p.set(func(t *totals) { t.goroutines, t.allocated = 20_000, 1<<60 })
		m, alerts := watch(t, p, Config{})
		defer m.Stop()
		all := told(alerts)
		require.Len(t, all, 1, "a total is not a rate")
		assert.Equal(t, GoroutinesRule, all[0].Rule)
	})
}

func TestAnAlertIsToldOnCrossingRepeatedSeldomAndTakenBackWithRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram()
		m, alerts := watch(t, p, Config{Goroutines: 100, Every: time.Second, Repeat: 10 * time.Second, Hysteresis: 0.2})
		step := func(goroutines uint64) (states []State) {
			p.set(func(t *totals) { t.goroutines = goroutines })
			time.Sleep(time.Second)
			synctest.Wait()
			for _, a := range told(alerts) {
				states = append(states, a.State)
			}
			return states
		}
		assert.Empty(t, step(100), "the threshold itself is permitted")
		assert.Equal(t, []State{Raised}, step(101))
		for range 4 { // a figure that wavers
			assert.Empty(t, step(99))
			assert.Empty(t, step(101))
		}
		assert.Empty(t, step(150))
		assert.Equal(t, []State{Lasts}, step(150), "10 s after it was told")
		assert.Empty(t, step(81))
		assert.Equal(t, []State{Over}, step(80))
		assert.Empty(t, step(80))
		assert.Equal(t, []State{Raised}, step(101), "at once, whenever it was last told")
		m.Stop()
	})
}

func TestRulesThatAreOffSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram()
		m, alerts := watch(t, p, Config{Heap: Off, Goroutines: Off, Pause: Off, AllocRate: Off})
		p.set(func(t *totals) { t.heap, t.goroutines, t.allocated = 1<<60, 1<<60, 1<<60; t.pauses.Counts[6]++ })
		time.Sleep(time.Minute)
		m.Stop()
		assert.Empty(t, told(alerts))
	})
}

func TestAlertsThatNobodyTakesAreDroppedCountedAndBlockNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram()
		p.set(func(t *totals) { t.goroutines = 101 })
		m, alerts := watch(t, p, Config{Goroutines: 100, Every: time.Second, Repeat: time.Second, Queue: 3})
		time.Sleep(9500 * time.Millisecond)
		synctest.Wait()
		assert.EqualValues(t, 7, m.Dropped(), "1 raised and 9 repeated, of which 3 wait")
		last, _ := m.Last()
		assert.Equal(t, time.Second, last.Within, "and sampling went on")
		m.Stop()
		assert.Len(t, told(alerts), 3)
	})
}

func TestStopMayBeCalledTwiceAtOnceAndBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle, err := New(Config{})
		require.NoError(t, err)
		idle.Stop()
		m, alerts := watch(t, newProgram(), Config{})
		var all sync.WaitGroup
		for range 8 {
			all.Go(m.Stop)
		}
		all.Wait()
		m.Stop()
		_, open := <-alerts
		assert.False(t, open, "who ranges over the alerts goes on")
	})
}

func TestAMonitorStartsAnewAfterStopAndNotWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram()
		p.set(func(t *totals) { t.goroutines = 101 })
		ctx, cancel := context.WithCancel(t.Context())
		m, err := New(Config{Goroutines: 100})
		require.NoError(t, err)
		m.source = p.read
		first, err := m.Start(ctx)
		require.NoError(t, err)
		_, err = m.Start(ctx)
		assert.ErrorIs(t, err, ErrRunning)
		time.Sleep(10 * time.Second)
		cancel() // ends it as Stop does
		synctest.Wait()
		assert.Len(t, told(first), 1)

		p.set(func(t *totals) { t.allocated = 1 << 60 }) // while nobody looked
		time.Sleep(time.Hour)
		second, err := m.Start(t.Context())
		require.NoError(t, err)
		last, _ := m.Last()
		assert.Zero(t, last.Within, "the time in between is no interval")
		all := told(second)
		require.Len(t, all, 1, "the rule is told anew")
		assert.Equal(t, Raised, all[0].State)
		time.Sleep(10 * time.Second)
		m.Stop()
		assert.Empty(t, told(second))
	})
}

func TestWhatIsScrapedAreTheFiguresOfTheLastSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram()
		p.set(func(t *totals) { t.goroutines = 10_001 })
		m, _ := watch(t, p, Config{Queue: 1})
		registry := prometheus.NewPedanticRegistry()
		require.NoError(t, registry.Register(m))
		p.set(func(t *totals) {
			t.heap, t.allocated, t.collections = 123_456, 5_000, 7
			t.pauses.Counts[2], t.pauses.Counts[4] = 19, 1
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		p.set(func(t *totals) { t.heap = 1 }) // not sampled yet

		want := map[string]float64{
			"memory_monitor_heap_bytes":                       123_456,
			"memory_monitor_goroutines":                       10_001,
			"memory_monitor_allocation_rate_bytes_per_second": 500,
			"memory_monitor_interval_collections":             7,
			"memory_monitor_interval_pauses":                  20,
			"memory_monitor_interval_pause_seconds/0.5":       0.001,
			"memory_monitor_interval_pause_seconds/1":         0.010,
			"memory_monitor_interval_seconds":                 10,
			"memory_monitor_samples_total":                    2,
			"memory_monitor_threshold/heap":                   500e6,
			"memory_monitor_threshold/goroutines":             10_000,
			"memory_monitor_threshold/pause":                  0.010,
			"memory_monitor_threshold/allocation-rate":        100e6,
			"memory_monitor_alert_raised/heap":                0,
			"memory_monitor_alert_raised/goroutines":          1,
			"memory_monitor_alert_raised/pause":               0,
			"memory_monitor_alert_raised/allocation-rate":     0,
			"memory_monitor_alerts_total/heap":                0,
			"memory_monitor_alerts_total/goroutines":          1,
			"memory_monitor_alerts_total/pause":               0,
			"memory_monitor_alerts_total/allocation-rate":     0,
			"memory_monitor_alerts_dropped_total":             0,
		}
		assert.Equal(t, want, scraped(t, registry))
		s, ok := m.Last()
		require.True(t, ok)
		assert.EqualValues(t, 123_456, s.Heap, "the sample's are the same")
		assert.Equal(t, 500.0, s.AllocRate)
		m.Stop()
	})
}

func TestAQuantileOfTooFewPausesIsNotScraped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram()
		m, _ := watch(t, p, Config{})
		registry := prometheus.NewPedanticRegistry()
		require.NoError(t, registry.Register(m))
		p.set(func(t *totals) { t.pauses.Counts[2] = 19 })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		m.Stop()
		all := scraped(t, registry)
		assert.NotContains(t, all, "memory_monitor_interval_pause_seconds/0.5")
		assert.NotContains(t, all, "memory_monitor_interval_pause_seconds/0.99")
		assert.Contains(t, all, "memory_monitor_interval_pause_seconds/1")
	})
}

// scraped is what a scrape yields, by name and label.
func scraped(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			name := f.GetName()
			for _, l := range metric.GetLabel() {
				name += "/" + l.GetValue()
			}
			all[name] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
		}
	}
	return all
}

func TestMetricsKeepPrometheusConventions(t *testing.T) {
	m, err := New(Config{})
	require.NoError(t, err)
	problems, err := testutil.CollectAndLint(m)
	require.NoError(t, err)
	assert.Empty(t, problems)
	expected := `
		# HELP memory_monitor_samples_total Samples taken.
		# TYPE memory_monitor_samples_total counter
		memory_monitor_samples_total 0
	`
	assert.NoError(t, testutil.CollectAndCompare(m, strings.NewReader(expected), "memory_monitor_samples_total", "memory_monitor_heap_bytes"),
		"before the first sample there are no figures, not zeros")
}

var kept [][]byte // escapes

func TestTheRuntimesOwnFiguresAreRead(t *testing.T) {
	source := newRuntimeSource()
	s := &sampler{source: source.read, now: time.Now, quantile: 1}
	first := s.sample()
	assert.Positive(t, first.Heap)
	assert.Positive(t, first.Goroutines)
	for range 64 {
		kept = append(kept, make([]byte, 1<<20))
	}
	runtime.GC()
	second := s.sample()
	kept = nil
	assert.Greater(t, second.Heap, first.Heap+60<<20)
	assert.GreaterOrEqual(t, second.Allocated, uint64(64<<20))
	assert.Less(t, second.Allocated, uint64(128<<20))
	assert.GreaterOrEqual(t, second.Collections, uint64(1))
	assert.GreaterOrEqual(t, second.Pauses, 2*second.Collections)
	assert.GreaterOrEqual(t, second.PauseMax.AtMost, second.PauseMax.AtLeast)
	assert.Positive(t, second.PauseMax.AtMost)
}

func TestASampleAllocatesNothing(t *testing.T) {
	s := &sampler{source: newRuntimeSource().read, now: time.Now, quantile: 1}
	s.sample()
	assert.Zero(t, testing.AllocsPerRun(100, func() { s.sample() }))
}

// BenchmarkSample is what a sample costs the program that is watched, once in
// [Config].Every: reading the runtime, and judging.
func BenchmarkSample(b *testing.B) {
	m, err := New(Config{})
	require.NoError(b, err)
	r := &run{m: m, alerts: make(chan Alert, 1)}
	for _, rule := range m.config.rules() {
		r.rules = append(r.rules, watched{rule: rule})
	}
	s := &sampler{source: m.source, now: time.Now, quantile: 1}
	b.ReportAllocs()
	for b.Loop() {
		r.judge(s.sample())
	}
}
