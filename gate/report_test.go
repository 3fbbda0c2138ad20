package gate

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/scenario"
	"netbench/load"
)

// made is a cell's rounds as they could have been measured: the value of a metric
// in each arm.
func made(name string, m Metric, base, head []float64) *track {
	t := &track{cell: Cell{Scenario: scenario.Scenario{Name: name}, Metrics: []Metric{m}}, names: [2]string{"base", "head"}}
	for i := range base {
		t.rounds = append(t.rounds, &load.Round{Samples: []*load.Sample{sample(m, base[i]), sample(m, head[i])}})
	}
	return t
}

// sample has one value, of whatever metric.
func sample(m Metric, v float64) *load.Sample {
	s := &load.Sample{Result: &load.Result{}}
	busy := 1.0
	s.ServerCPU, s.Thresholds.BusyCPU = &busy, 0.95
	s.Valid = load.Valid{Rate: true, Latency: true, CPU: true, Counts: true}
	whole := int64(v)
	switch m.Unit {
	case serverCPU.Unit:
		s.ServerPerOp = &v
	case rate.Unit:
		s.Rate = v
	case p99.Unit:
		s.Latency = &load.Quantiles{P99: &whole}
	case syscalls.Unit:
		s.SyscallsPerOp = &v
	case allocs.Unit:
		s.AllocsPerOp = &v
	}
	return s
}

// around returns n values around a mean, with a standard deviation of sd of it.
func around(seed uint64, n int, mean, sd float64) []float64 {
	random := rand.New(rand.NewPCG(seed, 1))
	all := make([]float64, n)
	for i := range all {
		all[i] = mean * math.Exp(sd*random.NormFloat64())
	}
	return all
}

func judgeOf(tracks ...*track) *Report {
	o := Options{Rules: DefaultRules(), Rounds: 15, Arms: [2]Arm{{Name: "base", Hash: "a"}, {Name: "head", Hash: "b"}}}
	return o.report(tracks, time.Minute, false)
}

// Which way a metric improves is what its unit says.
func TestLessThroughputFailsAndMoreDoesNot(t *testing.T) {
	for _, tc := range []struct {
		m    Metric
		head float64
		want Verdict
	}{
		{rate, 0.9, Fail}, {rate, 1.1, Pass},
		{serverCPU, 1.1, Fail}, {serverCPU, 0.9, Pass},
		{p99, 1.3, Fail}, {p99, 0.7, Pass},
		{syscalls, 1.1, Fail}, {syscalls, 0.9, Pass},
		{allocs, 1.1, Fail}, {allocs, 0.9, Pass},
	} {
		r := judgeOf(made("Echo", gating(tc.m), around(1, 15, 1e5, 0.01), around(2, 15, 1e5*tc.head, 0.01)))
		assert.Equal(t, tc.want, r.Verdict, "%s times %v: %v", tc.m.Unit, tc.head, r.Reasons)
		assert.Equal(t, tc.want == Fail, *r.Rows[0].Effect > 0, "positive is worse")
	}
}

func TestARateJudgesOnlyWhereTheServerWasTheLimit(t *testing.T) {
	idle := made("Echo", gating(rate), around(1, 15, 1e5, 0.01), around(2, 15, 5e4, 0.01))
	for _, r := range idle.rounds {
		half := 0.5
		r.Samples[0].ServerCPU = &half
	}
	steady := made("HTTP", gating(serverCPU), around(3, 15, 100, 0.01), around(4, 15, 100, 0.01))
	r := judgeOf(idle, steady)
	assert.Equal(t, Pass, r.Verdict, r.Reasons)
	assert.Equal(t, Informs, r.Rows[0].Verdict)
	assert.Equal(t, r.Rows[1].P, r.Rows[1].PAdj, "it takes no place among those that judge")
	assert.Zero(t, r.Rows[0].N)
	require.Len(t, r.Rows[0].Warnings, 2)
	assert.Contains(t, r.Rows[0].Warnings[0], "the server was not the limit of base")
	assert.Contains(t, r.Rows[0].Warnings[1], "it does not judge, as the server was not the limit")
	assert.Equal(t, Unfit, judgeOf(idle).Verdict, "alone it judges nothing")

	busy := 1.0
	for _, round := range idle.rounds[3:] {
		round.Samples[0].ServerCPU = &busy
	}
	r = judgeOf(idle, steady)
	assert.Equal(t, Fail, r.Verdict, "in twelve rounds it was")
	assert.Equal(t, 12, r.Rows[0].N)
}

func TestAnArmThatCompletesNothingWhereTheOtherDoesFails(t *testing.T) {
	for arm, want := range map[int]Verdict{0: Unfit, 1: Fail} {
		x := made("HTTP", gating(serverCPU), around(1, 15, 100, 0.01), around(2, 15, 100, 0.01))
		x.rounds[7].Samples[1-arm].Requests = 1000
		r := judgeOf(x)
		assert.Equal(t, want, r.Verdict)
		assert.Contains(t, r.Reasons[0], x.names[arm]+" completed no request, the other 1000")
		x.rounds[7].Samples[arm].Requests = 1
		assert.Equal(t, Pass, judgeOf(x).Verdict)
	}
}

func TestWhereBothArmsRefuseNowAndThenOnlyClearlyMoreFails(t *testing.T) {
	refusing := func(base, head func(round int) int64) Verdict {
		x := made("HTTP", gating(serverCPU), around(1, 15, 100, 0.01), around(2, 15, 100, 0.01))
		for i, r := range x.rounds {
			for arm, n := range []int64{base(i), head(i)} {
				r.Samples[arm].Requests = 10_000
				r.Samples[arm].Errors = map[string]int64{"status": n}
			}
		}
		return judgeOf(x).Verdict
	}
	some := func(i int) int64 { return int64(i*7%5) + 1 }
	assert.Equal(t, Pass, refusing(some, func(i int) int64 { return some(i + 2) }), "alike")
	assert.Equal(t, Fail, refusing(some, func(i int) int64 { return 10 * some(i) }))
	assert.Equal(t, Unfit, refusing(func(i int) int64 { return 10 * some(i) }, some))
	assert.Equal(t, Pass, refusing(some, func(i int) int64 {
		if i == 4 {
			return 500
		}
		return some(i)
	}), "one bad moment is no rule")
}

func TestSoFewRoundsThatNothingCanFailAreTold(t *testing.T) {
	rules := DefaultRules()
	for rows, rounds := range map[int]int{1: 7, 10: 10} {
		assert.Equal(t, rounds, rules.leastRounds(rows))
		worse := make([]series, rows)
		for i := range worse {
			worse[i] = series{Timing, make([]float64, rounds)}
			for j := range worse[i].d {
				worse[i].d[j] = 0.5 + 0.001*float64(j)
			}
		}
		assert.Contains(t, rules.verdicts(worse), Fail)
		for i := range worse {
			worse[i].d = worse[i].d[1:]
		}
		assert.NotContains(t, rules.verdicts(worse), Fail)
	}
}

func TestSmallCountsAreAsGoodAsNone(t *testing.T) {
	r := judgeOf(made("Echo", gating(allocs), around(1, 15, 0.001, 0.1), around(2, 15, 0.004, 0.1)))
	assert.Equal(t, Pass, r.Verdict, "four times almost nothing")
	r = judgeOf(made("Echo", gating(allocs), around(1, 15, 0.04, 0.001), around(2, 15, 0.08, 0.001)))
	assert.Equal(t, Pass, r.Verdict, "a twenty-fifth of an allocation more")
	r = judgeOf(made("Echo", gating(allocs), around(1, 15, 1, 0.001), around(2, 15, 1.04, 0.001)))
	assert.Equal(t, Pass, r.Verdict, "of one as well")
	r = judgeOf(made("Echo", gating(allocs), around(1, 15, 1, 0.001), around(2, 15, 1.1, 0.001)))
	assert.Equal(t, Fail, r.Verdict, "a tenth is something")
	none := make([]float64, 15)
	r = judgeOf(made("Echo", gating(allocs), none, around(2, 15, 1, 0.001)))
	assert.Equal(t, Fail, r.Verdict, "an allocation where there was none")
	r = judgeOf(made("Echo", gating(allocs), none, none))
	assert.Equal(t, Pass, r.Verdict)
}

func TestWhatInformsJudgesNobody(t *testing.T) {
	r := judgeOf(made("Echo", gating(serverCPU), around(1, 15, 100, 0.01), around(2, 15, 100, 0.01)),
		made("HTTP", serverCPU, around(3, 15, 100, 0.01), around(4, 15, 200, 0.01)))
	assert.Equal(t, Pass, r.Verdict)
	assert.Equal(t, Informs, r.Rows[1].Verdict)
	assert.InDelta(t, 1, *r.Rows[1].Effect, 0.05)
	assert.Equal(t, r.Rows[0].P, r.Rows[0].PAdj, "a row that informs does not make it harder for others to fail")
}

func TestACanaryThatMovesMakesTheRunUnfit(t *testing.T) {
	steady := made("Echo", gating(serverCPU), around(1, 15, 100, 0.01), around(2, 15, 100, 0.01))
	for factor, want := range map[float64]Verdict{1: Pass, 1.05: Unfit, 0.95: Unfit} {
		canary := made("Canary", serverCPU, around(3, 15, 100, 0.005), around(4, 15, 100*factor, 0.005))
		canary.canary, canary.names = true, [2]string{"canary", "its twin"}
		r := judgeOf(steady, canary)
		assert.Equal(t, want, r.Verdict, "%v", factor)
		require.Len(t, r.Rows, 1)
		assert.NotNil(t, r.Canary)
	}
}

func TestFaultsAreHeldAgainstTheArmThatCausedThem(t *testing.T) {
	for name, tc := range map[string]struct {
		faulty []string
		want   Verdict
	}{
		"head": {[]string{"head"}, Fail},
		"base": {[]string{"base"}, Unfit},
		"both": {[]string{"base", "head"}, Unfit},
	} {
		x := made("Echo", gating(serverCPU), around(1, 15, 100, 0.01), around(2, 15, 100, 0.01))
		x.rounds[3].Invalid, x.rounds[3].Faulty = tc.faulty[0]+": 3 connections were lost", tc.faulty
		r := judgeOf(x)
		assert.Equal(t, tc.want, r.Verdict, name)
		assert.Contains(t, r.Reasons[0], "3 connections were lost", name)
		assert.Equal(t, 14, r.Rows[0].N)
	}
}

func TestFailureBeatsUnfitBeatsInconclusive(t *testing.T) {
	slow := made("Echo", gating(serverCPU), around(1, 15, 100, 0.01), around(2, 15, 120, 0.01))
	vague := made("HTTP", gating(serverCPU), around(3, 15, 100, 0.2), around(4, 15, 105, 0.2))
	canary := made("Canary", serverCPU, around(5, 15, 100, 0.005), around(6, 15, 110, 0.005))
	canary.canary = true
	assert.Equal(t, Fail, judgeOf(slow, vague, canary).Verdict)
	assert.Equal(t, Unfit, judgeOf(vague, canary).Verdict)
	assert.Equal(t, Inconclusive, judgeOf(vague).Verdict)
}

func TestAWaiverLetsARowFail(t *testing.T) {
	slow := made("Echo", gating(serverCPU), around(1, 15, 100, 0.01), around(2, 15, 120, 0.01))
	o := Options{Rules: DefaultRules(), Rounds: 15, Waivers: []Waiver{{Until: day, Name: "Echo", Unit: serverCPU.Unit, Reason: "checksums"}}}
	r := o.report([]*track{slow}, time.Minute, false)
	assert.Equal(t, Pass, r.Verdict)
	assert.Equal(t, Fail, r.Rows[0].Verdict, "it is still told")
	assert.Contains(t, r.Reasons[0], "checksums (until 2026-11-21)")
}

func TestAnInterruptedGateHasNoVerdict(t *testing.T) {
	o := Options{Rules: DefaultRules(), Rounds: 15}
	r := o.report([]*track{made("Echo", gating(serverCPU), []float64{1}, []float64{2})}, time.Second, true)
	assert.Empty(t, r.Verdict)
	var text bytes.Buffer
	require.NoError(t, r.Print(&text))
	assert.Contains(t, text.String(), "verdict  none, as the run did not come to its end")
}

func TestWarningsTellOfDriftAndOfTwoModes(t *testing.T) {
	drifting, modes := make([]float64, 15), make([]float64, 15)
	flat := make([]float64, 15)
	for i := range drifting {
		drifting[i] = 100 * math.Exp(0.01*float64(i)+0.002*float64(i%3))
		modes[i] = 100 * math.Exp(0.1*float64((i*7)%2)+0.001*float64(i%4))
		flat[i] = 100
	}
	assert.Contains(t, judgeOf(made("Echo", gating(serverCPU), flat, drifting)).Rows[0].Warnings[0], "drift")
	assert.Contains(t, judgeOf(made("Echo", gating(serverCPU), flat, modes)).Rows[0].Warnings[0], "bimodal")
	assert.Empty(t, judgeOf(made("Echo", gating(serverCPU), around(1, 15, 100, 0.02), around(2, 15, 100, 0.02))).Rows[0].Warnings)
}

func TestTheReportIsTheSameInAllForms(t *testing.T) {
	r := judgeOf(made("Echo", gating(serverCPU), around(1, 15, 100, 0.01), around(2, 15, 120, 0.01)))
	r.Rows[0].Warnings = append(r.Rows[0].Warnings, "a | b")
	var text, page bytes.Buffer
	r.Again = "netbench gate -seed=1"
	require.NoError(t, r.Print(&text))
	require.NoError(t, r.Markdown(&page))
	for _, want := range []string{"server-cpu-ns/op", "+19", "fail", "netbench gate -seed=1"} {
		assert.Contains(t, text.String(), want)
		assert.Contains(t, page.String(), want)
	}
	assert.Contains(t, page.String(), `a \| b`)
	data, err := json.Marshal(r)
	require.NoError(t, err)
	var back map[string]any
	require.NoError(t, json.Unmarshal(data, &back))
	for _, field := range []string{"verdict", "rows", "seed", "canary"} {
		assert.Contains(t, back, field)
	}
	row := back["rows"].([]any)[0].(map[string]any)
	for _, field := range []string{"name", "unit", "effect", "lo", "hi", "p", "p_adj", "n", "mde", "verdict", "warnings"} {
		assert.Contains(t, row, field)
	}
}

func TestRowsThatNobodyCanCountDoNotJudge(t *testing.T) {
	x := made("Echo", gating(syscalls), around(1, 15, 3, 0), around(2, 15, 3, 0))
	x.cell.Metrics = append(x.cell.Metrics, gating(serverCPU))
	cpu := 1000.0
	for _, r := range x.rounds {
		for _, s := range r.Samples {
			s.SyscallsPerOp, s.NoCounts = nil, "perf events need root"
			s.ServerPerOp = &cpu
		}
	}
	r := judgeOf(x)
	assert.Equal(t, Pass, r.Verdict, r.Reasons)
	assert.Equal(t, Informs, r.Rows[0].Verdict)
	assert.Contains(t, r.Rows[0].Warnings[0], "15 of 15 rounds have no value")
	assert.Contains(t, r.Rows[0].Warnings[1], "perf events need root")
	assert.Equal(t, Pass, r.Rows[1].Verdict)
	assert.Equal(t, r.Rows[1].P, r.Rows[1].PAdj, "it takes no place among those that judge")

	// If one arm has it, the other's lack is not overlooked.
	three := 3.0
	x.rounds[0].Samples[1].SyscallsPerOp = &three
	assert.Equal(t, Inconclusive, judgeOf(x).Verdict)
}

func TestATailOfTooFewLatenciesSaysSo(t *testing.T) {
	x := made("OwnOpen", p99, around(1, 15, 1e6, 0.01), around(2, 15, 1e6, 0.01))
	for _, r := range x.rounds {
		for _, s := range r.Samples {
			s.Latency = &load.Quantiles{Count: 700}
		}
	}
	assert.Equal(t, "15 of 15 rounds have no value: base: 700 latencies are too few for it (longer rounds, or a higher rate)", judgeOf(x).Rows[0].Warnings[0])
}

func TestNothingJudgedIsNoPass(t *testing.T) {
	x := made("Echo", gating(serverCPU), nil, nil)
	x.absent = "head cannot serve it"
	informing := made("HTTP", serverCPU, around(3, 15, 100, 0.01), around(4, 15, 100, 0.01))
	assert.Equal(t, Unfit, judgeOf(x, informing).Verdict)
}

func TestAServerThatRefusesWhatTheOtherServesFails(t *testing.T) {
	for arm, want := range map[int]Verdict{0: Unfit, 1: Fail} {
		x := made("HTTP", gating(serverCPU), around(1, 15, 100, 0.01), around(2, 15, 100, 0.01))
		x.rounds[4].Samples[arm].Errors = map[string]int64{"status": 12}
		r := judgeOf(x)
		assert.Equal(t, want, r.Verdict)
		assert.Contains(t, r.Reasons[0], "12 replies had a status of 400 or above")
		x.rounds[4].Samples[1-arm].Errors = map[string]int64{"status": 1}
		assert.Equal(t, Pass, judgeOf(x).Verdict, "both do")
	}
}

func TestAWaivedRowThatCannotBeDecidedDoesNotBlock(t *testing.T) {
	vague := made("Echo", gating(serverCPU), around(3, 15, 100, 0.2), around(4, 15, 105, 0.2))
	o := Options{Rules: DefaultRules(), Rounds: 15, Waivers: []Waiver{{Until: day, Name: "Echo", Unit: serverCPU.Unit, Reason: "checksums"}}}
	r := o.report([]*track{vague}, time.Minute, false)
	assert.Equal(t, Inconclusive, r.Rows[0].Verdict)
	assert.Equal(t, Pass, r.Verdict)
	assert.Contains(t, r.Reasons[0], "checksums")
}
