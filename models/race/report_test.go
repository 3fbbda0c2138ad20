package race

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/load"
	"netbench/models"
	"netbench/results"
	"netbench/testenv"
)

// golden compares got with a file in testdata, or writes that file if
// UPDATE_GOLDEN is set.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "UPDATE_GOLDEN=1 go test writes it")
	assert.Equal(t, string(want), got, "UPDATE_GOLDEN=1 go test rewrites %s", path)
}

// made is what a contender did in a round of a race that was never run.
type made struct {
	cpu, rate, syscalls, busy float64
	noLatency                 bool
	noCPU                     string
}

func (m made) sample(name string) *load.Sample {
	p50, p99 := int64(m.cpu*100), int64(m.cpu*200)
	allocs, switches := 0.0, 0.25
	s := &load.Sample{
		Name: name, SyscallsPerOp: &m.syscalls, SwitchesPerOp: &switches, AllocsPerOp: &allocs, OutsideCPU: 0.001,
		Result: &load.Result{
			Requests: 12345, Rate: m.rate, ServerCPU: &m.busy, ServerPerOp: &m.cpu, GeneratorPerOp: 5000, GeneratorCPU: 0.5,
			Latency: &load.Quantiles{P50: &p50, P99: &p99, Count: 12345}, Limit: load.LimitServer,
			Valid:      load.Valid{Rate: true, Latency: !m.noLatency, CPU: m.noCPU == "", Counts: true},
			Thresholds: load.Thresholds{BusyCPU: 0.95},
		},
	}
	if m.noCPU != "" {
		s.Reasons = []string{"rate, latency: this is of no matter here", "cpu: " + m.noCPU}
	}
	if m.busy < 0.95 {
		s.Limit = load.LimitGenerator
	}
	return s
}

// fictional makes a report of rounds that were never run; each has one value for
// every entrant.
func fictional(t *testing.T, o Options, rounds ...[]made) *Report {
	t.Helper()
	o, err := o.normalize()
	require.NoError(t, err)
	o.run = o.Service
	f := &field{o: o, entrants: o.Entrants, infos: make([]testenv.ServerInfo, len(o.Entrants)),
		absent: []Absence{{"gnet", "it was not built: no network"}, {"c-uring", "needs another kernel"}, {"evio", "it was not built: no network"}}}
	f.infos[1].Stats = models.Stats{Fallback: "no multishot receive, one at a time", Variant: "level"}
	r := f.report(testenv.Placement{Server: []int{0}, Generator: []int{1}})
	c := &load.Comparison{Seed: o.Seed}
	for _, e := range o.Entrants {
		c.Names = append(c.Names, e.Name)
	}
	for _, values := range rounds {
		round := &load.Round{Samples: make([]*load.Sample, len(o.Entrants))}
		if values == nil {
			round.Invalid, round.Faulty = "reactor: 3 connections were lost", []string{"reactor"}
		}
		for i, v := range values {
			round.Samples[i] = v.sample(o.Entrants[i].Name)
		}
		c.Rounds = append(c.Rounds, round)
	}
	require.NoError(t, r.fill(c, f))
	return r
}

func entrantsOf4() []Entrant {
	return []Entrant{
		{Name: "goroutine", Kind: Ours}, {Name: "reactor", Kind: Ours},
		{Name: "nbio", Kind: Peer, Version: "v1.5.12", Declared: []string{"it chooses the size of its read buffer"}},
		{Name: "c-epoll", Kind: Floor},
	}
}

func saturatedReport(t *testing.T) *Report {
	memory := func(context.Context, Entrant) (float64, error) { return 240, nil }
	r := fictional(t, Options{Entrants: entrantsOf4(), Rounds: 3, Seed: 5, Memory: memory},
		[]made{{10_000, 90_000, 3, 0.99, false, ""}, {8000, 110_000, 2, 0.98, false, ""}, {8200, 108_000, 2.5, 0.99, true, ""}, {7000, 130_000, 2, 0.97, true, ""}},
		nil,
		[]made{{10_100, 91_000, 3, 0.99, false, ""}, {8100, 111_500, 2, 0.98, false, ""}, {8000, 107_000, 2.5, 0.99, true, ""}, {7010, 131_000, 2, 0.97, true, ""}},
		[]made{{10_050, 90_500, 3, 0.99, false, ""}, {8050, 111_000, 2, 0.98, false, ""}, {8150, 107_500, 2.6, 0.90, true, ""}, {7020, 130_500, 2, 0.97, true, ""}})
	bytes := 240.0
	r.Contenders[1].UserBytesPerConn = &bytes
	return r
}

func pacedReport(t *testing.T) *Report {
	r := fictional(t, Options{Entrants: entrantsOf4()[:3], State: Paced, Service: "http", Pipeline: 16, Rounds: 2, Rate: 50_000},
		[]made{{10_000, 50_000, 3, 0.6, false, ""}, {8000, 50_000, 2, 0.5, false, ""}, {9200, 50_000, 2.5, 0.5, false, ""}},
		[]made{{10_100, 50_000, 3, 0.6, false, ""}, {8010, 50_000, 2, 0.5, false, ""}, {9100, 50_000, 2.5, 0.5, false, "the clock was read 40 times while the server still ran"}})
	rate := 50_000.0
	r.PacedRate, r.pacedBy = &rate, "as asked"
	return r
}

func TestTheTableIsSortedByCPUAndSaysWhoWins(t *testing.T) {
	for name, r := range map[string]*Report{"saturated": saturatedReport(t), "paced": pacedReport(t)} {
		var b bytes.Buffer
		require.NoError(t, r.Print(&b))
		golden(t, name+".txt", b.String())
	}
}

func TestJSONHasAllKeysAndNullForWhatIsAbsent(t *testing.T) {
	text, err := json.MarshalIndent(saturatedReport(t), "", "  ")
	require.NoError(t, err)
	golden(t, "saturated.json", string(text)+"\n")
	var r struct {
		Contenders []map[string]json.RawMessage
	}
	require.NoError(t, json.Unmarshal(text, &r))
	for _, key := range []string{"model", "limit", "rate", "rate_ratio", "rate_lo", "rate_hi", "cpu_ns_per_op", "cpu_ratio", "cpu_lo", "cpu_hi",
		"latency_ns", "syscalls_per_op", "ctxsw_per_op", "allocs_per_op", "user_bytes_per_conn"} {
		for _, c := range r.Contenders {
			assert.Contains(t, c, key)
		}
	}
	assert.JSONEq(t, "null", string(r.Contenders[0]["user_bytes_per_conn"]), "absent, not zero")
	assert.JSONEq(t, "0", string(r.Contenders[0]["allocs_per_op"]), "zero, not absent")
}

func TestMemoryThatWasNotMeasuredIsAReasonAndNoNote(t *testing.T) {
	const why = "user_bytes_per_conn is not measured (-memory measures it)"
	rounds := []made{{cpu: 10, rate: 1, busy: 1}, {cpu: 20, rate: 1, busy: 1}}
	o := Options{Entrants: entrantsOf4()[:2], Rounds: 2}
	r := fictional(t, o, rounds, rounds)
	assert.Contains(t, r.Reasons, why)
	assert.NotContains(t, r.Notes(), "note: "+why)
	o.Memory = func(context.Context, Entrant) (float64, error) { return 240, nil }
	assert.NotContains(t, fictional(t, o, rounds, rounds).Reasons, why)
}

func TestRatesOfRoundsThatWereNotSaturatedAreNotCompared(t *testing.T) {
	r := saturatedReport(t)
	reactor := r.standingOf("reactor")
	d := []float64{math.Log(110.0 / 90), math.Log(111.5 / 91), math.Log(111.0 / 90.5)}
	assert.InDelta(t, math.Exp((d[0]+d[1]+d[2])/3), *reactor.RateRatio, 1e-9)
	nbio := r.standingOf("nbio")
	d = []float64{math.Log(108.0 / 90), math.Log(107.0 / 91)} // not of the last round, in which it rested
	assert.InDelta(t, math.Exp((d[0]+d[1])/2), *nbio.RateRatio, 1e-9)
	assert.Contains(t, r.Reasons, "the rate of nbio tells of it in 2 of 3 rounds: in the others it used less of its CPUs than counts as busy (once 90.0 %)")

	idle := []made{{cpu: 10, rate: 100, busy: 0.5}, {cpu: 20, rate: 50, busy: 1}}
	r = fictional(t, Options{Entrants: entrantsOf4()[:2], Rounds: 2}, idle, idle)
	assert.True(t, r.Valid, "CPU is compared all the same")
	for _, s := range r.Contenders {
		assert.Nil(t, s.RateRatio)
		assert.NotNil(t, s.Rate, "it informs")
	}
	assert.Contains(t, r.Reasons, "the rate of goroutine tells of it in 0 of 2 rounds: in the others it used less of its CPUs than counts as busy (once 50.0 %)")
}

func TestRoundsWithoutAValidLatencyAreCounted(t *testing.T) {
	good, bad := made{cpu: 10, rate: 1, busy: 1}, made{cpu: 10, rate: 1, busy: 1, noLatency: true}
	rounds := [][]made{{good, good, bad, bad}, {good, bad, bad, bad}, {good, bad, good, bad}, nil, {good, good, good, bad}}
	for state, want := range map[State][]string{
		Saturated: {"a closed loop that saturates has no valid latency: it is valid in 2 of 4 rounds of reactor, nbio; in 0 of 4 rounds of c-epoll"},
		Paced:     {"latency of reactor, nbio is valid in 2 of 4 rounds", "latency of c-epoll is valid in 0 of 4 rounds"},
	} {
		r := fictional(t, Options{Entrants: entrantsOf4(), State: state, Rounds: 5}, rounds...)
		said := slices.DeleteFunc(slices.Clone(r.Reasons), func(why string) bool { return !strings.Contains(why, "latency") })
		assert.Equal(t, want, said)
		for _, why := range fictional(t, Options{Entrants: entrantsOf4()[:2], State: state}, []made{good, good}, []made{good, good}).Reasons {
			assert.NotContains(t, why, "latency", "it is valid in all")
		}
	}
}

func TestContendersOfAnotherToolchainAreNamed(t *testing.T) {
	here := runtime.Version()
	reasons := func(versions ...string) []string {
		f := &field{entrants: entrantsOf4()}
		for _, v := range versions {
			f.infos = append(f.infos, testenv.ServerInfo{GoVersion: v})
		}
		r := f.report(testenv.Placement{})
		require.NoError(t, r.fill(saturatedReport(t).Comparison, f))
		return slices.DeleteFunc(r.Reasons, func(why string) bool { return !strings.Contains(why, "built with") })
	}
	assert.Empty(t, reasons(here, here, here, ""), "all the same, and C has none")
	assert.Equal(t, []string{"built with go1.2, and this program with " + here + ": reactor, nbio; what differs may be the toolchain"},
		reasons(here, "go1.2", "go1.2", ""))
}

func TestFewerThanTwoRoundsDecideNothing(t *testing.T) {
	one := []made{{cpu: 10, rate: 1, busy: 1}, {cpu: 20, rate: 1, busy: 1}}
	r := fictional(t, Options{Entrants: entrantsOf4()[:2], Rounds: 2}, one, nil)
	assert.False(t, r.Valid)
	assert.Contains(t, r.Reasons, "1 of 2 rounds count (an interval needs two)")
	assert.Nil(t, r.Contenders[0].CPURatio)
	assert.Empty(t, r.Verdict.Winner)
	assert.Contains(t, r.Verdict.Text, "undecided")
	assert.Equal(t, 1, r.standingOf("reactor").LostRounds)
}

func TestARaceWithoutARoundHasNoTable(t *testing.T) {
	r := fictional(t, Options{Entrants: entrantsOf4(), Rounds: 2}, nil, nil)
	var b bytes.Buffer
	require.NoError(t, r.Print(&b))
	assert.NotContains(t, b.String(), "cpu/req")
	assert.NotContains(t, b.String(), "syscalls")
	assert.Contains(t, b.String(), "0 of 2 rounds count")
	assert.Contains(t, b.String(), "undecided")
}

func TestTheWinnerIsClearOfTheNextOrTheTieIsNamed(t *testing.T) {
	informing := Entrant{Name: "gnet-recommended", Kind: Peer, Informs: true}
	at := func(cpu float64) made { return made{cpu: cpu, rate: 1, busy: 1} }
	for name, tc := range map[string]struct {
		rounds [][]made // goroutine, reactor, nbio, c-epoll, gnet-recommended
		want   Verdict
	}{
		"clear": {[][]made{{at(100), at(80), at(90), at(50), at(60)}, {at(101), at(80), at(91), at(50), at(60)}, {at(99), at(80), at(90), at(50), at(60)}},
			Verdict{Winner: "reactor", Next: "nbio", Tied: []string{}}},
		"tie": {[][]made{{at(100), at(80), at(81), at(50), at(60)}, {at(101), at(82), at(80), at(50), at(60)}, {at(99), at(80), at(81), at(50), at(60)}},
			Verdict{Winner: "reactor", Next: "goroutine", Tied: []string{"nbio"}}},
		"all tie": {[][]made{{at(100), at(80), at(90), at(50), at(60)}, {at(80), at(100), at(90), at(50), at(60)}, {at(90), at(85), at(95), at(50), at(60)}},
			Verdict{Winner: "reactor", Next: "", Tied: []string{"goroutine", "nbio"}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := fictional(t, Options{Entrants: append(entrantsOf4(), informing), Rounds: 3}, tc.rounds...)
			assert.Equal(t, tc.want.Winner, r.Verdict.Winner, "neither the floor nor what informs wins")
			assert.Equal(t, tc.want.Next, r.Verdict.Next)
			assert.Equal(t, tc.want.Tied, r.Verdict.Tied)
			if tc.want.Next != "" {
				assert.Greater(t, *r.Verdict.Lo, 1.0)
			}
		})
	}
}

func TestTheWinnerIsTheBestInTheRoundsThatBothHave(t *testing.T) {
	at := func(cpu float64) made { return made{cpu: cpu, rate: 1, busy: 1} }
	no := made{cpu: 1, rate: 1, busy: 1, noCPU: "it is not known"}
	for name, tc := range map[string]struct {
		rounds     [][]made // goroutine, reactor, nbio; the host is slow in some
		winner     string
		tied       []string
		next       string
		uncompared []string
	}{
		"who lacks the slow rounds has the lesser mean and loses": {
			[][]made{{at(100), at(90), at(120)}, {at(101), at(90), at(121)}, {no, at(180), at(240)}, {no, at(181), at(240)}},
			"reactor", []string{}, "goroutine", []string{}},
		"who beats the one that beats it wins": {
			[][]made{{at(100), at(90), no}, {at(101), at(90), no}, {no, at(180), at(170)}, {no, at(181), at(170)}},
			"nbio", []string{}, "reactor", []string{"goroutine"}},
		"in a circle there is an end": {
			[][]made{{at(100), at(90), no}, {at(101), at(90), no}, {no, at(180), at(170)}, {no, at(181), at(170)}, {at(300), no, at(310)}, {at(300), no, at(311)}},
			"goroutine", []string{"reactor"}, "nbio", []string{}},
		"without a round in common nothing is decided": {
			[][]made{{at(100), no, no}, {at(101), no, no}, {no, at(180), no}, {no, at(181), no}},
			"", []string{}, "", []string{"goroutine", "reactor", "nbio"}},
		"who has no round in common with anybody keeps nobody from winning": {
			[][]made{{at(50), no, no}, {at(51), no, no}, {no, at(180), at(170)}, {no, at(181), at(170)}},
			"nbio", []string{}, "reactor", []string{"goroutine"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := fictional(t, Options{Entrants: entrantsOf4()[:3], Rounds: len(tc.rounds)}, tc.rounds...).Verdict
			assert.Equal(t, tc.winner, v.Winner, v.Text)
			assert.Equal(t, tc.tied, v.Tied)
			assert.Equal(t, tc.next, v.Next)
			assert.Equal(t, tc.uncompared, v.Uncompared)
			if tc.winner == "" {
				assert.Contains(t, v.Text, "undecided")
			}
		})
	}
}

func TestWhereAnswersWaitLatencyDecides(t *testing.T) {
	// goroutine takes less CPU; its latency, which fictional derives from CPU, is
	// set apart here.
	swap := func(r *Report) {
		for _, round := range r.Comparison.Rounds {
			a, b := round.Samples[0].Latency, round.Samples[1].Latency
			round.Samples[0].Latency, round.Samples[1].Latency = b, a
		}
		r.decide()
	}
	rounds := []made{{cpu: 100, rate: 1, busy: 0.3}, {cpu: 200, rate: 1, busy: 0.3}}
	for state, metric := range map[State]string{Saturated: "median latency", Paced: "p99 latency"} {
		r := fictional(t, Options{Entrants: entrantsOf4()[:2], Rounds: 2, Service: "echo+wait=1ms", State: state}, rounds, rounds)
		swap(r)
		assert.Equal(t, metric, r.Verdict.Metric)
		assert.Equal(t, "reactor", r.Verdict.Winner)
		assert.Equal(t, "goroutine", r.Contenders[0].Model, "the table stays in the order of CPU")
	}
}

func TestThePageAndTheChoicesAreDerivedFromTheMeasurements(t *testing.T) {
	reports := []*Report{saturatedReport(t), pacedReport(t)}
	races := []CellRace{{Cell: Cell{Name: "100x64"}}, {Cell: Cell{Name: "http-pipelined"}}}
	var b bytes.Buffer
	require.NoError(t, PrintChoices(&b, races, reports))
	golden(t, "choices.txt", b.String())
	b.Reset()
	host := results.Fingerprint{Start: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), GoVersion: "go1.26.8", GOOS: "linux", GOARCH: "amd64", Kernel: "Linux 6.18", CPUs: 2, CPUModel: "A | B"}
	require.NoError(t, Markdown(&b, "netbench race -cells standard", host, races, reports))
	golden(t, "page.md", b.String())
}

func TestThePageNamesABaselineThatIsNotThatOfTheFirstRace(t *testing.T) {
	reports := []*Report{saturatedReport(t), pacedReport(t)}
	reports[1].Baseline = "reactor"
	races := []CellRace{{Cell: Cell{Name: "100x64"}}, {Cell: Cell{Name: "http-pipelined"}}}
	var b bytes.Buffer
	require.NoError(t, Markdown(&b, "netbench race", results.Fingerprint{}, races, reports))
	assert.Equal(t, 1, strings.Count(b.String(), "Ratios are to goroutine."))
	assert.Contains(t, b.String(), "The rate is as asked. Ratios are to reactor. A rate with ~")
}

func TestStatesThatDisagreeAreChosenFromEachOnItsOwn(t *testing.T) {
	a, b := &Report{State: Saturated, Verdict: Verdict{Winner: "reactor", Tied: []string{"nbio"}}}, &Report{State: Paced, Verdict: Verdict{Winner: "goroutine"}}
	assert.Equal(t, "saturated: reactor or nbio; paced: goroutine", Choice{Reports: []*Report{a, b}}.Model())
	b.Verdict = a.Verdict
	assert.Equal(t, "reactor or nbio", Choice{Reports: []*Report{a, b}}.Model())
	b.Verdict = Verdict{}
	assert.Equal(t, "saturated: reactor or nbio; paced: undecided", Choice{Reports: []*Report{a, b}}.Model())
}

func TestTheCommonRateIsAShareOfTheSlowest(t *testing.T) {
	sample := func(name string, rate float64) *load.Sample {
		return &load.Sample{Name: name, Result: &load.Result{Rate: rate}}
	}
	rate, slowest := commonRate([]*load.Sample{sample("a", 150_000), sample("b", 123_456), sample("c", 200_000)})
	assert.Equal(t, "b", slowest.Name)
	assert.Equal(t, 86_400.0, rate, "70 % of 123,456, rounded down to three digits")
	two := extremes([]load.Contender{{Name: "a"}, {Name: "b"}, {Name: "c"}}, []*load.Sample{sample("a", 150_000), sample("b", 123_456), sample("c", 200_000)})
	assert.Equal(t, []string{"b", "c"}, []string{two[0].Name, two[1].Name})
	two = extremes([]load.Contender{{Name: "a"}, {Name: "b"}}, []*load.Sample{sample("a", 5), sample("b", 5)})
	assert.Equal(t, []string{"a", "b"}, []string{two[0].Name, two[1].Name}, "alike, they are two all the same")
	rate, _ = commonRate([]*load.Sample{sample("a", 0.1), sample("b", 3)})
	assert.Equal(t, 1.0, rate)
	assert.Equal(t, 537.0, threeDigits(537.9))
}

func TestConnectionsThatDoNotFitAreRefused(t *testing.T) {
	apart, err := fits(3, 1000, 5000, limits{})
	require.NoError(t, err)
	assert.False(t, apart, "one generator process holds them all")
	apart, err = fits(3, 10_000, 19_000, limits{ports: 28_232, files: 100_000})
	require.NoError(t, err)
	assert.True(t, apart)
	_, err = fits(3, 10_000, 19_000, limits{ports: 5000})
	assert.ErrorIs(t, err, ErrInput)
	assert.ErrorContains(t, err, "10000 connections to one server need 10000 local ports, and the host has 5000")
	_, err = fits(3, 10_000, 19_000, limits{files: 50_000})
	assert.ErrorContains(t, err, "3 contenders of 10000 connections each need 60000 descriptors, and the host has 50000 left")
	apart, err = fits(2, 50_000, 19_000, limits{ports: 28_232})
	require.NoError(t, err, "what goes beyond one source address comes from others")
	assert.True(t, apart)
}

func TestAnIntervalThatSaysNothingIsShort(t *testing.T) {
	mean, lo, hi := 1.061, 0.0004, 112327023.254
	assert.Equal(t, "1.061 [0.000, 99+]", ratioText(&mean, &lo, &hi))
	assert.Equal(t, "-", ratioText(nil, nil, nil))
}

func TestNamesOfBenchmarksSayWhatIsUnusual(t *testing.T) {
	r := Report{Conns: 1000, Size: 64, Service: "echo", State: Saturated, Pipeline: 1}
	assert.Equal(t, "Race/model=reactor/conns=1000/size=64/state=saturated", r.Benchmark("reactor"))
	r = Report{Conns: 100, Service: "http", State: Paced, Pipeline: 16, Silent: 80}
	assert.Equal(t, "Race/model=gnet/service=http/conns=100/silent=80/pipeline=16/state=paced", r.Benchmark("gnet"))
}
