package load

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQuantilesAreAbsentBelowTenSamplesBeyondThem(t *testing.T) {
	for _, c := range []struct {
		samples             int64
		p50, p90, p99, p999 bool
	}{
		{1, false, false, false, false},
		{19, false, false, false, false},
		{20, true, false, false, false},
		{99, true, false, false, false},
		{100, true, true, false, false},
		{999, true, true, false, false},
		{1000, true, true, true, false},
		{9999, true, true, true, false},
		{10_000, true, true, true, true},
	} {
		h := newHist()
		for i := range c.samples {
			require.NoError(t, h.RecordValue(1000*(i+1)))
		}
		q := quantiles(h)
		assert.Equal(t, c.samples, q.Count)
		for name, p := range map[string]struct {
			q    float64
			want bool
			got  *int64
		}{"p50": {0.5, c.p50, q.P50}, "p90": {0.9, c.p90, q.P90}, "p99": {0.99, c.p99, q.P99}, "p999": {0.999, c.p999, q.P999}} {
			if assert.Equal(t, p.want, p.got != nil, "%s of %d", name, c.samples) && p.want {
				assert.InEpsilon(t, 1000*math.Ceil(p.q*float64(c.samples)), *p.got, 0.002, name)
			}
		}
		assert.InEpsilon(t, 1000*c.samples, *q.Max, 0.002)
		assert.InEpsilon(t, 500*float64(c.samples+1), *q.Mean, 0.002)
	}
}

func TestQuantilesOfNothingAreAbsent(t *testing.T) {
	assert.Nil(t, quantiles(nil))
	assert.Equal(t, &Quantiles{}, quantiles(newHist()))
	b, err := json.Marshal(quantiles(newHist()))
	require.NoError(t, err)
	assert.JSONEq(t, `{"count": 0}`, string(b), "an absent quantile is no zero")
}

func TestHistogramsTakeFromANanosecondToAnHourAndRefuseTheRest(t *testing.T) {
	s := newSeries(Closed)
	for _, ns := range []int64{0, 1, int64(time.Hour)} {
		s.record(s.service, ns)
	}
	assert.Zero(t, s.recordErrors)
	for _, ns := range []int64{-1, 2 * int64(time.Hour)} {
		s.record(s.service, ns)
	}
	assert.EqualValues(t, 2, s.recordErrors)
	s.record(nil, -1)
	assert.EqualValues(t, 2, s.recordErrors, "a mode without that time records nothing")
}

func TestMergedTalliesAddUp(t *testing.T) {
	a := tally{series: newSeries(Open), elapsed: 2, completed: 10, drained: 1, errors: ErrorCounts{ShortError: 1}, lost: 1, bytesIn: 5, inSystem: 3, residence: 2, cpu: 4, cpuAll: 5, cpuWall: 7}
	b := tally{series: newSeries(Open), elapsed: 3, completed: 20, drained: 2, errors: ErrorCounts{ShortError: 2, DialError: 1}, alive: 2, bytesOut: 6, inSystem: 1, residence: 1, cpu: 1, cpuAll: 2, cpuWall: 6, first: "dial: x"}
	a.record(a.latency, 1000)
	b.record(b.latency, 3000)
	b.record(b.sendLag, -1)
	var sum tally
	require.NoError(t, sum.merge(&a))
	require.NoError(t, sum.merge(&b))
	assert.EqualValues(t, 2, sum.latency.TotalCount())
	assert.InEpsilon(t, 3000, sum.latency.Max(), 0.002)
	assert.EqualValues(t, 1, a.latency.TotalCount(), "what is merged stays as it was")
	sum.series = series{recordErrors: sum.recordErrors}
	assert.Equal(t, tally{
		series: series{recordErrors: 1}, elapsed: 3, completed: 30, drained: 3, errors: ErrorCounts{ShortError: 3, DialError: 1},
		lost: 1, alive: 2, bytesIn: 5, bytesOut: 6, inSystem: 4, residence: 3, cpu: 5, cpuAll: 7, cpuWall: 7, first: "dial: x",
	}, sum)
}

func ptr[T any](v T) *T { return &v }

// goodResult is a result of which everything is valid, to be spoiled.
func goodResult(m Mode) (*Result, *tally) {
	latency := &Quantiles{P50: ptr(int64(time.Millisecond)), P99: ptr(int64(5 * time.Millisecond)), Count: 10_000}
	r := &Result{
		Mode: m, Requests: 10_000, Rate: 1000, Latency: latency, Service: latency, Reasons: []string{},
		GeneratorCPU: 0.5, ServerCPU: ptr(0.5), ServerPerOp: ptr(1000.0), Steal: ptr(0.0), LittleResidual: ptr(0.01),
	}
	if m == Open {
		r.Offered = 1000
		r.SendLag = &Quantiles{P99: ptr(int64(50 * time.Microsecond)), Count: 10_000}
	}
	return r, &tally{completed: 1000, offered: 1000}
}

func TestEveryRuleOfValidity(t *testing.T) {
	all := Valid{true, true, true, true}
	costAndCounts := Valid{CPU: true, Counts: true}
	costAndCountsAndRate := Valid{Rate: true, CPU: true, Counts: true}
	for _, c := range []struct {
		name  string
		mode  Mode
		spoil func(r *Result, t *tally)
		want  Valid
		limit Limit
		says  string // "" for no reason at all
	}{
		{"closed, nobody busy", Closed, func(*Result, *tally) {}, all, LimitNeither, ""},
		{"open, nobody busy", Open, func(*Result, *tally) {}, all, LimitNeither, ""},
		{"closed, server busy", Closed, func(r *Result, _ *tally) { *r.ServerCPU = 0.96 }, all, LimitServer, ""},
		{"closed, server just not busy", Closed, func(r *Result, _ *tally) { *r.ServerCPU = 0.94 }, all, LimitNeither, ""},
		{"closed, generator busy", Closed, func(r *Result, _ *tally) { r.GeneratorCPU = 0.96 }, costAndCounts, LimitGenerator, "rate: the generator was the limit"},
		{"closed, both busy", Closed, func(r *Result, _ *tally) { r.GeneratorCPU, *r.ServerCPU = 0.96, 0.97 },
			Valid{Rate: true, CPU: true, Counts: true}, LimitBoth, "latency: the generator was at its limit"},
		{"connect, generator busy", Connect, func(r *Result, _ *tally) { r.GeneratorCPU = 0.96 }, costAndCounts, LimitGenerator, "rate: the generator was the limit"},
		{"closed, server's CPU unknown", Closed, func(r *Result, _ *tally) { r.ServerCPU, r.ServerPerOp = nil, nil },
			Valid{Rate: true, Latency: true, Counts: true}, LimitServer, ""},
		{"idle, server's CPU unknown", Idle, func(r *Result, _ *tally) { r.ServerCPU, r.ServerPerOp = nil, nil },
			Valid{Rate: true, Latency: true, Counts: true}, LimitNeither, ""},

		{"open, generator above its share", Open, func(r *Result, _ *tally) { r.GeneratorCPU = 0.86 },
			Valid{Rate: true, CPU: true, Counts: true}, LimitGenerator, "latency: the generator used 86 %"},
		{"open, generator at its share", Open, func(r *Result, _ *tally) { r.GeneratorCPU = 0.85 }, all, LimitNeither, ""},
		{"closed, generator above the share of an open loop", Closed, func(r *Result, _ *tally) { r.GeneratorCPU = 0.86 }, all, LimitNeither, ""},

		{"lag above 200 µs", Open, func(r *Result, _ *tally) { *r.SendLag.P99 = int64(201 * time.Microsecond) },
			Valid{Rate: true, CPU: true, Counts: true}, LimitGenerator, "latency: the generator sent late, p99 201µs, above 200µs"},
		{"lag of 200 µs", Open, func(r *Result, _ *tally) { *r.SendLag.P99 = int64(200 * time.Microsecond) }, all, LimitNeither, ""},
		{"lag within 5 % of a long median", Open, func(r *Result, _ *tally) {
			*r.SendLag.P99, *r.Latency.P50 = int64(4*time.Millisecond), int64(100*time.Millisecond)
		}, all, LimitNeither, ""},
		{"lag above 5 % of a long median", Open, func(r *Result, _ *tally) {
			*r.SendLag.P99, *r.Latency.P50 = int64(6*time.Millisecond), int64(100*time.Millisecond)
		}, Valid{Rate: true, CPU: true, Counts: true}, LimitGenerator, "p99 6ms, above 5ms"},
		{"waiting for a connection is no lag", Open, func(r *Result, _ *tally) {
			r.ConnWait = &Quantiles{P99: ptr(int64(time.Second)), Count: 10_000}
		}, all, LimitNeither, ""},

		{"open, rate missed by a busy generator", Open, func(r *Result, t *tally) { t.completed, r.GeneratorCPU = 980, 0.97 },
			costAndCounts, LimitGenerator, "rate: of 1000 requests that were due, 980 succeeded in time"},
		{"open, rate missed by a busy server", Open, func(r *Result, t *tally) { t.completed, *r.ServerCPU = 980, 0.97 }, all, LimitServer, ""},
		{"open, rate missed though nobody is busy", Open, func(r *Result, t *tally) { t.completed = 980 }, all, LimitServer, ""},
		{"open, rate reached within 1 %", Open, func(r *Result, t *tally) { t.completed = 991 }, all, LimitNeither, ""},

		{"open, more came than the rate says", Open, func(_ *Result, t *tally) { t.completed, t.offered = 961, 961 }, all, LimitNeither, ""},
		{"open, late, with too few samples for p99", Open, func(r *Result, _ *tally) { r.SendLag = &Quantiles{Max: ptr(int64(600 * time.Millisecond)), Count: 875} },
			costAndCountsAndRate, LimitGenerator, "the generator sent late, at most 600ms"},
		{"open, in time, with few samples", Open, func(r *Result, _ *tally) { r.SendLag = &Quantiles{Max: ptr(int64(100 * time.Microsecond)), Count: 10} }, all, LimitNeither, ""},
		{"open, late, without a median", Open, func(r *Result, _ *tally) {
			r.SendLag, r.Latency = &Quantiles{Max: ptr(int64(time.Second)), Count: 10}, &Quantiles{Count: 10}
		}, costAndCountsAndRate, LimitGenerator, "the generator sent late, at most 1s"},

		{"Little's law off", Closed, func(r *Result, _ *tally) { *r.LittleResidual = 0.051 }, costAndCounts, LimitNeither, "Little's law is off by 5.1 %"},
		{"Little's law nearly off", Open, func(r *Result, _ *tally) { *r.LittleResidual = 0.05 }, all, LimitNeither, ""},
		{"Little's law unknown", Stream, func(r *Result, _ *tally) { r.LittleResidual = nil }, all, LimitNeither, ""},

		{"steal", Closed, func(r *Result, _ *tally) { *r.Steal = 0.06 }, Valid{Counts: true}, LimitNeither, "the host took 6.0 %"},
		{"little steal", Closed, func(r *Result, _ *tally) { *r.Steal = 0.05 }, all, LimitNeither, ""},
		{"steal unknown", Closed, func(r *Result, _ *tally) { r.Steal = nil }, all, LimitNeither, ""},

		{"a value without a place", Closed, func(_ *Result, t *tally) { t.recordErrors = 1 }, Valid{}, LimitNeither, "all: 1 values did not fit"},
		{"no success", Closed, func(r *Result, _ *tally) { r.Requests = 0 }, Valid{}, LimitNeither, "all: no request succeeded"},
		{"a wrong byte", Closed, func(_ *Result, t *tally) { t.errors[MismatchError] = 1 }, Valid{}, LimitNeither, "all: bytes were wrong on 1"},
		{"a lost connection", Closed, func(_ *Result, t *tally) { t.lost, t.errors[ResetError] = 1, 1 }, Valid{}, LimitNeither, "all: 1 connections were lost"},
		{"a failed request", Closed, func(_ *Result, t *tally) { t.errors[StatusError] = 1 }, Valid{Counts: true}, LimitNeither, "rate, latency, cpu: 1 requests failed"},
		{"an interruption", Closed, func(r *Result, _ *tally) { r.Interrupted = true }, all, LimitNeither, "interrupted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, counts := goodResult(c.mode)
			c.spoil(r, counts)
			r.judge(Thresholds{}.withDefaults(), counts)
			assert.Equal(t, c.want, r.Valid, r.Reasons)
			assert.Equal(t, c.limit, r.Limit)
			if c.says == "" {
				assert.Empty(t, r.Reasons)
			} else {
				assert.Contains(t, strings.Join(r.Reasons, "\n"), c.says)
			}
		})
	}
}

func TestThresholdsAreSettable(t *testing.T) {
	for name, c := range map[string]struct {
		th    Thresholds
		spoil func(r *Result)
	}{
		"lag":       {Thresholds{SendLag: time.Millisecond}, func(r *Result) { *r.SendLag.P99 = int64(900 * time.Microsecond) }},
		"lag share": {Thresholds{SendLagShare: 0.5}, func(r *Result) { *r.SendLag.P99 = int64(400 * time.Microsecond) }},
		"generator": {Thresholds{GeneratorCPU: 0.92}, func(r *Result) { r.GeneratorCPU = 0.9 }},
		"little":    {Thresholds{LittleResidual: 0.2}, func(r *Result) { *r.LittleResidual = 0.1 }},
		"steal":     {Thresholds{Steal: 0.2}, func(r *Result) { *r.Steal = 0.1 }},
	} {
		r, counts := goodResult(Open)
		c.spoil(r)
		r.judge(Thresholds{}.withDefaults(), counts)
		assert.False(t, r.Valid.Latency, "%s: the default refuses it", name)
		r, counts = goodResult(Open)
		c.spoil(r)
		r.judge(c.th.withDefaults(), counts)
		assert.Equal(t, Valid{true, true, true, true}, r.Valid, "%s: %v", name, r.Reasons)
	}
	r, counts := goodResult(Closed)
	*r.ServerCPU = 0.6
	r.judge(Thresholds{BusyCPU: 0.55}.withDefaults(), counts)
	assert.Equal(t, LimitServer, r.Limit)
}

func TestResultComputesFromTheTally(t *testing.T) {
	p, err := Plan{Targets: targets(t, "frame://127.0.0.1:7"), Mode: Closed, Size: 100, ServerCPUs: 2, CPUs: []int{0}}.Normalize()
	require.NoError(t, err)
	counts := tally{
		series: newSeries(Closed), elapsed: 2 * time.Second, completed: 900, drained: 100, errors: ErrorCounts{StatusError: 100},
		bytesIn: 7, bytesOut: 8, alive: 50, inSystem: 110, residence: 100,
		cpu: 500 * time.Millisecond, cpuWall: time.Second, cpuAll: 600 * time.Millisecond,
	}
	for range 900 {
		counts.record(counts.service, int64(time.Millisecond))
	}
	r := newResult(&p, &counts, circumstances{serverCPU: ptr(time.Second), wall: 2 * time.Second, processes: 1, genCPUs: 1, steal: ptr(0.01)})
	assert.EqualValues(t, 900, r.Requests)
	assert.EqualValues(t, 1000, r.Answered)
	assert.InDelta(t, 450, r.Rate, 1e-9, "what came after the window is not in the rate")
	assert.InDelta(t, 0.9, r.Success, 1e-9)
	assert.InDelta(t, 0.5, r.GeneratorCPU, 1e-9)
	assert.InDelta(t, 600_000, r.GeneratorPerOp, 1e-6)
	assert.InDelta(t, 0.25, *r.ServerCPU, 1e-9, "of two CPUs")
	assert.InDelta(t, 1_000_000, *r.ServerPerOp, 1e-6, "all that were answered cost")
	assert.InDelta(t, 1.0/11, *r.LittleResidual, 1e-9)
	assert.Equal(t, 100, r.Size)
	assert.Same(t, counts.service, r.Histogram())
	assert.Equal(t, r.Service, r.Latency, "in a closed loop they are the same")
	assert.Nil(t, r.SendLag)

	var printed map[string]any
	b, err := json.Marshal(r)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &printed))
	for _, name := range []string{
		"mode", "target", "conns", "duration_s", "requests", "rate", "errors", "bytes_in", "bytes_out", "latency_ns", "service_ns",
		"generator_cpu", "little_residual", "limit", "valid", "reasons",
	} {
		assert.Contains(t, printed, name)
	}
	assert.NotContains(t, printed, "send_lag_ns", "what a mode does not measure is absent")
	assert.NotContains(t, printed["service_ns"], "p99", "900 samples give no p99")
	assert.Equal(t, "frame://127.0.0.1:7", printed["target"])
}

func TestAResultOfNothingHasNoNumbersOutOfThinAir(t *testing.T) {
	p, err := Plan{Targets: targets(t, "tcp://127.0.0.1:7")}.Normalize()
	require.NoError(t, err)
	r := newResult(&p, &tally{series: newSeries(Closed)}, circumstances{})
	assert.Zero(t, r.Rate)
	assert.Zero(t, r.Success)
	assert.Zero(t, r.GeneratorPerOp)
	assert.Nil(t, r.LittleResidual)
	assert.Equal(t, Valid{}, r.Valid)
	_, err = json.Marshal(r) // NaN and Inf would not encode
	assert.NoError(t, err)
}

func TestGeneratorShareIsOfTheCPUsThatItMayUse(t *testing.T) {
	assert.Equal(t, 3, generatorCPUs(&Plan{CPUs: []int{1, 2, 3}}, circumstances{genCPUs: 3, processes: 2}))
	assert.Equal(t, 1, generatorCPUs(&Plan{Engine: Epoll}, circumstances{genCPUs: 1, processes: 1}), "one thread, not pinned")
	few := generatorCPUs(&Plan{Engine: Epoll}, circumstances{genCPUs: 1, processes: 2})
	assert.LessOrEqual(t, few, 2)
	many := generatorCPUs(&Plan{Engine: Portable}, circumstances{genCPUs: 1, processes: 1000})
	assert.GreaterOrEqual(t, many, few)
	assert.Less(t, many, 10_000, "never more than there are")
}

func TestRingIsFirstInFirstOutAndWrapsAround(t *testing.T) {
	r := ring{tokens: make([]token, 3)}
	next, want := int32(0), int32(0)
	for range 10 {
		for r.len < 3 {
			r.push(token{next, int64(next)})
			next++
		}
		for range 2 {
			assert.Equal(t, token{want, int64(want)}, r.peek())
			assert.Equal(t, token{want, int64(want)}, r.pop())
			want++
		}
	}
	assert.Equal(t, 1, r.len)
	r.push(token{})
	r.push(token{})
	assert.Panics(t, func() { r.push(token{}) }, "a place that nobody has is a defect")
	r.clear()
	assert.Zero(t, r.len)
	r.push(token{9, 9})
	assert.Equal(t, token{9, 9}, r.pop())
}

func TestSharesDifferByOneAtMostAndAddUp(t *testing.T) {
	assert.Equal(t, []int64{4, 3, 3}, shares(10, 3))
	assert.Equal(t, []int64{1, 1, 0}, shares(2, 3))
	assert.Equal(t, []int64{0, 0}, shares(0, 2))
}
