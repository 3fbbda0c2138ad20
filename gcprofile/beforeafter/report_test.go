package beforeafter

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/results"
	"netbench/testenv"
)

func f(v float64) *float64 { return &v }

// blockOf is a block of 10,000 requests in ten seconds.
func blockOf(round int, style string, mallocs, collections uint64, p99 float64) *Block {
	rss := uint64(300 << 20)
	return &Block{Round: round, Style: style, Requests: 10_000, P50: f(p99 / 10), P99: f(p99), P99AtMost: f(p99), CPUPerOp: f(1e5), Runtime: &Reading{
		Elapsed: 10 * time.Second, Mallocs: mallocs, AllocBytes: 32 * mallocs, Collections: collections, Cycles: 8 * time.Second,
		PauseTotal: time.Duration(collections) * time.Millisecond, GCCPU: 1, BusyCPU: 8, PeakHeap: 200 << 20, LiveHeap: 100 << 20, PeakRSS: &rss,
		Pauses: []PauseBucket{{100 * time.Microsecond, 2 * collections}},
	}}
}

func reportOf(blocks ...*Block) *Report {
	o, err := Options{Products: 10}.normalize()
	if err != nil {
		panic(err)
	}
	o.Rate = 1000
	return (&run{Options: o}).report(2000, blocks)
}

func TestMetricsAreComputedOverWholeCycles(t *testing.T) {
	r := reportOf(blockOf(0, naiveStyle, 1_000_000, 20, 4e6), blockOf(0, tunedStyle, 100_000, 4, 2e6))
	for key, want := range map[string][2]float64{
		"allocs_per_second": {100_000, 10_000}, allocsPerRequest: {100, 10}, "bytes_per_request": {3200, 320},
		collectionsRate: {150, 30}, // 20 and 4 in 8 s, not in 10
		"pause_mean_ns": {1e6, 1e6}, "gc_cpu_percent": {12.5, 12.5}, "peak_heap_bytes": {200 << 20, 200 << 20},
		"live_heap_bytes": {100 << 20, 100 << 20}, "peak_rss_bytes": {300 << 20, 300 << 20}, "p50_ns": {4e5, 2e5}, p99: {4e6, 2e6}, p99AtMost: {4e6, 2e6},
		"server_cpu_ns_per_request": {1e5, 1e5},
	} {
		row := r.row(key)
		assert.InDelta(t, want[0], row.Naive.Mean, 1e-6, key)
		assert.InDelta(t, want[1], row.Tuned.Mean, 1e-6, key)
		assert.InDelta(t, want[1]/want[0], row.Ratio.Mean, 1e-9, key)
		assert.Nil(t, row.Naive.Lo, "one round has no interval")
	}
	assert.EqualValues(t, 40, r.NaivePauses.Count)
	assert.Equal(t, map[string]time.Duration{"p50": 100 * time.Microsecond}, r.NaivePauses.Quantiles, "40 pauses tell no p90")
	assert.Empty(t, r.TunedPauses.Quantiles, "8 pauses tell not even p50")
}

func TestVerdictsFollowTheInterval(t *testing.T) {
	rounds := func(tunedMallocs, tunedCollections uint64, tunedP99 ...float64) *Report {
		var blocks []*Block
		for i, p99 := range tunedP99 {
			blocks = append(blocks, blockOf(i, naiveStyle, 1_000_000, 30, 4e6), blockOf(i, tunedStyle, tunedMallocs, tunedCollections, p99))
		}
		return reportOf(blocks...)
	}
	verdicts := func(r *Report) (v []string) {
		for _, b := range r.Bounds {
			v = append(v, b.Verdict)
		}
		return v
	}
	good := rounds(100_000, 5, 2e6, 2.1e6, 1.9e6)
	assert.Equal(t, []string{Met, Met, Met}, verdicts(good))
	assert.Equal(t, Met, good.Worst())

	for name, c := range map[string]struct {
		report *Report
		want   []string
		worst  string
	}{
		"too many allocations":        {rounds(260_000, 5, 2e6, 2.1e6, 1.9e6), []string{Failed, Met, Met}, Failed},
		"exactly a quarter":           {rounds(250_000, 5, 2e6, 2.1e6, 1.9e6), []string{Met, Met, Met}, Met},
		"too many collections":        {rounds(100_000, 11, 2e6, 2.1e6, 1.9e6), []string{Met, Failed, Met}, Failed},
		"a worse p99":                 {rounds(100_000, 5, 5e6, 5.1e6, 4.9e6), []string{Met, Met, Failed}, Failed},
		"a p99 that is not told":      {rounds(100_000, 5, 2e6, 8e6, 4e6), []string{Met, Met, Undecided}, Undecided},
		"one round":                   {rounds(100_000, 5, 2e6), []string{Undecided, Undecided, Undecided}, Undecided},
		"no collection":               {rounds(100_000, 0, 2e6, 2.1e6, 1.9e6), []string{Met, Undecided, Met}, Undecided},
		"both failed and not decided": {rounds(260_000, 0, 2e6, 2.1e6, 1.9e6), []string{Failed, Undecided, Met}, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, verdicts(c.report))
			assert.Equal(t, c.worst, c.report.Worst())
		})
	}
}

func TestAP99IsJudgedWithTheGeneratorsLagAgainstTheTunedServiceAlone(t *testing.T) {
	verdict := func(naive, tuned func(*Block)) string {
		var blocks []*Block
		for round := range 3 {
			n, t := blockOf(round, naiveStyle, 1_000_000, 30, 4e6), blockOf(round, tunedStyle, 100_000, 5, 2e6)
			naive(n)
			tuned(t)
			blocks = append(blocks, n, t)
		}
		return reportOf(blocks...).Bounds[2].Verdict
	}
	as := func(believed, measured *float64) func(*Block) {
		return func(b *Block) { b.P99, b.P99AtMost = believed, measured }
	}
	known := as(f(4e6), f(4e6))
	assert.Equal(t, Met, verdict(known, as(nil, f(3e6))), "without the lag it is less")
	assert.Equal(t, Undecided, verdict(known, as(nil, f(5e6))), "without the lag it may be less")
	assert.Equal(t, Failed, verdict(known, as(f(5e6), f(5e6))))
	assert.Equal(t, Undecided, verdict(as(nil, f(4e6)), known), "without the lag it may be less than the tuned one's")
}

func TestARoundWithABadBlockDoesNotCount(t *testing.T) {
	bad := blockOf(1, tunedStyle, 1, 1, 1)
	bad.Invalid = "3 requests failed"
	late := blockOf(2, naiveStyle, 1_000_000, 30, 4e6)
	late.P50, late.P99, late.Reasons = nil, nil, []string{"p99: the generator sent late"}
	r := reportOf(
		blockOf(0, naiveStyle, 1_000_000, 30, 4e6), blockOf(0, tunedStyle, 100_000, 5, 2e6),
		bad, blockOf(1, naiveStyle, 9_000_000, 30, 4e6),
		late, blockOf(2, tunedStyle, 100_000, 2, 2e6),
		blockOf(3, naiveStyle, 1_000_000, 30, 4e6), // was interrupted
	)
	assert.Equal(t, 2, r.Rounds)
	assert.Equal(t, 2, r.row(allocsPerRequest).Ratio.N)
	assert.InDelta(t, 100, r.row(allocsPerRequest).Naive.Mean, 1e-9)
	assert.Equal(t, 1, r.row(p99).Ratio.N, "a latency that is not valid is left out")
	assert.Equal(t, []string{
		"round 2 does not count: tuned: 3 requests failed",
		"tuned: 1 blocks with fewer than 3 collections (use longer blocks)",
		"naive: p99: the generator sent late (1 blocks)",
	}, r.Warnings)
}

func TestOnlyTheTunedServiceHasItsCollectorSet(t *testing.T) {
	r := &run{Options: Options{Tuned: Collector{"77", "3GiB"}}}
	assert.Equal(t, Collector{"77", "3GiB"}, r.collector(tunedStyle))
	assert.Equal(t, Collector{"100", "off"}, r.collector(naiveStyle))
}

func TestLatenessIsSaidOnceForEachServiceAndPercentile(t *testing.T) {
	var blocks []*Block
	for round, by := range []int64{250_000, 400_000, 300_000} {
		n, d := blockOf(round, naiveStyle, 1_000_000, 30, 4e6), blockOf(round, tunedStyle, 100_000, 5, 2e6)
		d.P99, d.Late = nil, []Lag{{"p99", by}}
		if round == 2 {
			n.P50, n.Late = nil, []Lag{{"p50", 5e6}, {"p99", 7e6}}
		}
		blocks = append(blocks, n, d)
	}
	assert.Equal(t, []string{
		"naive: p50 left out of 1 blocks: the generator sent late, by 5ms at most at the same percentile",
		"naive: p99 left out of 1 blocks: the generator sent late, by 7ms at most at the same percentile",
		"tuned: p99 left out of 3 blocks: the generator sent late, by 400µs at most at the same percentile",
	}, reportOf(blocks...).Warnings)
}

func TestAReportIsPrintedAndEncodes(t *testing.T) {
	r := reportOf(blockOf(0, naiveStyle, 1_000_000, 30, 4e6), blockOf(0, tunedStyle, 100_000, 2, 2e6),
		blockOf(1, naiveStyle, 1_000_000, 30, 4e6), blockOf(1, tunedStyle, 100_000, 2, 2e6))
	var b strings.Builder
	require.NoError(t, r.Print(&b))
	for _, want := range []string{
		`1000 requests/s to both \(50 % of what the naive one can do, 2000\), Poisson`,
		`(?m)^\| allocations/s +\| 50000 +\| 12000 +\| 100000 \[100000, 100000\] +\| 10000 \[10000, 10000\] +\| 0.100 \[0.100, 0.100\] +\|$`,
		`(?m)^\| p99 not worse \(tuned: at most\) +\| 1.000 +\| 0.500 \[0.500, 0.500\] \| met +\|$`,
		`(?m)^warning: tuned: 2 blocks with fewer than 3 collections`,
	} {
		assert.Regexp(t, want, b.String())
	}
	text, err := json.Marshal(r)
	require.NoError(t, err)
	var back Report
	require.NoError(t, json.Unmarshal(text, &back))
	assert.Equal(t, r.Bounds[0].Verdict, back.Bounds[0].Verdict)
	assert.Len(t, back.Rows, len(table))
	assert.Len(t, back.Blocks, 4)
}

func TestEveryMetricHasARegisteredUnit(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range table {
		_, ok := results.UnitNamed(m.unit)
		assert.True(t, ok, m.unit)
		assert.False(t, seen[m.unit] || seen[m.key], m.key)
		seen[m.unit], seen[m.key] = true, true
	}
}

func TestBadOptionsAreRefusedBeforeAnythingIsStarted(t *testing.T) {
	for says, o := range map[string]Options{
		"products is -1":         {Products: -1},
		"products is 5000001":    {Products: 5_000_001},
		"items is 501":           {Items: 501},
		"conns is -3":            {Conns: -3},
		"rate is -1":             {Rate: -1},
		"at most 10 million":     {Rate: 1e8},
		"share is 0.95":          {Share: 0.95},
		"share is -0.1":          {Share: -0.1},
		"rounds is -1":           {Rounds: -1},
		"block is 1ms":           {Block: time.Millisecond},
		"warmup is -1s":          {Warmup: -time.Second},
		`GOGC is "0"`:            {Tuned: Collector{GOGC: "0"}},
		`GOGC is "many"`:         {Tuned: Collector{GOGC: "many"}},
		`GOMEMLIMIT is "1 GB"`:   {Tuned: Collector{GOMEMLIMIT: "1 GB"}},
		`GOMEMLIMIT is "-1MiB"`:  {Tuned: Collector{GOMEMLIMIT: "-1MiB"}},
		`GOMEMLIMIT is "9e9"`:    {Tuned: Collector{GOMEMLIMIT: "9e9"}},
		"nothing would ever be":  {Tuned: Collector{GOGC: "off", GOMEMLIMIT: "off"}},
		`GOMEMLIMIT is "9999999`: {Tuned: Collector{GOMEMLIMIT: "9999999999TiB"}},
	} {
		_, err := Measure(t.Context(), o, testenv.Placement{})
		require.ErrorIs(t, err, ErrInput, says)
		assert.ErrorContains(t, err, says)
	}
	for _, c := range []Collector{{"off", "512MiB"}, {"400", "off"}, {"100", "123456789"}, {"100", "64B"}} {
		assert.NoError(t, c.check())
	}
}
