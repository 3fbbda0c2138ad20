package calibrate

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/results"
)

// cellOf makes a cell from CPU times per request, in pairs of ours and theirs.
func cellOf(other string, bound float64, perOp ...[2]float64) *Cell {
	c := &Cell{Name: "100 x 64 B", Other: other, Conns: 100, Size: 64, Bound: bound, Reasons: []string{}}
	for _, p := range perOp {
		var r Round
		r.Ours.add(1000, int64(p[0]*1000), 1e8)
		r.Theirs.add(1000, int64(p[1]*1000), 1e8)
		c.Rounds = append(c.Rounds, r)
	}
	return c
}

// Three rounds whose logarithmic differences are ln 1.02, ln 1.04, ln 1.09. By
// hand: their mean is 0.0484002, their standard deviation 0.0341264, Student's t
// for 2 degrees of freedom and 97.5 % is 4.302653, so the half width is
// 4.302653 x 0.0341264 / sqrt 3 = 0.0847747.
func TestConcludeComputesTheIntervalOfLogarithmicDifferences(t *testing.T) {
	c := cellOf("C client", MaxRatio, [2]float64{5100, 5000}, [2]float64{5200, 5000}, [2]float64{5450, 5000})
	c.conclude()
	require.NotNil(t, c.Ratio)
	assert.Equal(t, 3, c.Ratio.N)
	assert.InDelta(t, math.Exp(0.0484002), c.Ratio.Mean, 1e-6)
	assert.InDelta(t, math.Exp(0.0484002-0.0847747), c.Ratio.Lo, 1e-5)
	assert.InDelta(t, math.Exp(0.0484002+0.0847747), c.Ratio.Hi, 1e-5)
	assert.InDelta(t, 0.0341264, c.Ratio.SD, 1e-6)
	assert.InDelta(t, 5000*1.049591, c.Ours.Mean, 0.01, "the geometric mean of 5100, 5200, 5450")
	assert.InDelta(t, 5000, c.Theirs.Mean, 1e-6)
	assert.InDelta(t, 0, c.Theirs.SD, 1e-12)
	assert.InDelta(t, 1e9/(5000*1.049591), c.Yield, 0.5)
	assert.Equal(t, Met, c.Verdict)
}

func TestConcludeJudgesByTheWholeInterval(t *testing.T) {
	steal := 0.06
	for name, tc := range map[string]struct {
		cell    *Cell
		verdict Verdict
		reason  string
	}{
		"cost below the bound":     {cellOf("C client", 1.15, [2]float64{110, 100}, [2]float64{110.1, 100}), Met, ""},
		"cost above the bound":     {cellOf("C client", 1.15, [2]float64{120, 100}, [2]float64{120.1, 100}), Missed, ""},
		"cost around the bound":    {cellOf("C client", 1.15, [2]float64{110, 100}, [2]float64{120, 100}), Undecided, ""},
		"yield above the other's":  {cellOf(wrkName, 1, [2]float64{60, 100}, [2]float64{61, 100}), Met, ""},
		"yield below the other's":  {cellOf(wrkName, 1, [2]float64{160, 100}, [2]float64{161, 100}), Missed, ""},
		"yield around the other's": {cellOf(wrkName, 1, [2]float64{90, 100}, [2]float64{110, 100}), Undecided, ""},
		"one round":                {cellOf("C client", 1.15, [2]float64{100, 100}), Unfit, "1 of the 2 rounds that a ratio needs were measured"},
		"no round":                 {cellOf("C client", 1.15), Unfit, "0 of the 2 rounds"},
		"steal, though the cost is ok": {func() *Cell {
			c := cellOf("C client", 1.15, [2]float64{100, 100}, [2]float64{101, 100})
			c.Steal = &steal
			return c
		}(), Unfit, "the host took 6.0 % of the CPU time away, above 5 %"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cell.conclude()
			assert.Equal(t, tc.verdict, tc.cell.Verdict)
			if tc.reason == "" {
				assert.Empty(t, tc.cell.Reasons)
			} else {
				require.Len(t, tc.cell.Reasons, 1)
				assert.Contains(t, tc.cell.Reasons[0], tc.reason)
			}
		})
	}
}

func TestVerdictOfAReportIsTheWorstOfItsCells(t *testing.T) {
	for _, tc := range []struct {
		cells []Verdict
		wrk   Verdict
		want  Verdict
	}{
		{[]Verdict{Met, Met}, Met, Met},
		{[]Verdict{Met, Met}, Absent, Met},
		{[]Verdict{Met, Undecided}, Met, Undecided},
		{[]Verdict{Undecided, Unfit}, Met, Unfit},
		{[]Verdict{Unfit, Met}, Missed, Missed},
		{[]Verdict{Missed, Met}, Unfit, Missed},
	} {
		r := &Report{Wrk: &Cell{Verdict: tc.wrk}}
		for _, v := range tc.cells {
			r.Cells = append(r.Cells, &Cell{Verdict: v})
		}
		assert.Equal(t, tc.want, r.Verdict(), "%v, wrk %s", tc.cells, tc.wrk)
	}
}

func TestScheduleGivesBothClientsEveryPlaceEquallyOften(t *testing.T) {
	assert.Equal(t, []int{0, 1, 1, 0, 1, 0, 0, 1}, schedule(0, 800*time.Millisecond, 100*time.Millisecond))
	assert.Equal(t, []int{1, 0, 0, 1, 0, 1, 1, 0}, schedule(1, 701*time.Millisecond, 100*time.Millisecond))
	assert.Equal(t, []int{0, 1, 1, 0}, schedule(2, time.Millisecond, 100*time.Millisecond), "four slices at least")
	order := schedule(3, 4*time.Second, 100*time.Millisecond)
	require.Len(t, order, 40)
	places, follows := [2]int{}, [2][2]int{}
	for i, who := range order {
		places[who] += i
		if i > 0 {
			follows[order[i-1]][who]++
		}
	}
	assert.Equal(t, places[0], places[1], "a drift in time meets both alike")
	assert.InDelta(t, follows[0][1], follows[1][0], 1)
	assert.InDelta(t, follows[0][0], follows[1][1], 1)
}

// goldenReport has a cell for every kind of line.
func goldenReport() *Report {
	met := cellOf("C client", MaxRatio, [2]float64{5100, 5000}, [2]float64{5150, 5000})
	met.HighestRate, met.Limit = 123456.7, "server"
	missed := cellOf("C client", MaxRatio, [2]float64{9000, 7000}, [2]float64{9100, 7000})
	missed.Name, missed.Conns, missed.Size = "1000 x 1 KiB", 1000, 1024
	missed.HighestRate, missed.Limit = 98765, "both"
	unfit := cellOf("C client", MaxRatio)
	unfit.Name = "10 x 1 B"
	unfit.unfit("round 1: the generator lost 3 connections (reset: connection reset by peer)")
	wrk := cellOf(wrkName, MinYield, [2]float64{9000, 11000}, [2]float64{12000, 11000})
	wrk.Name, wrk.Size = "http, 100 conns", 0
	r := &Report{Cells: []*Cell{met, missed, unfit}, Wrk: wrk, Compiler: "cc (Some) 12.2.0", CPU: "1"}
	r.Environment = results.Fingerprint{
		Start: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), GoVersion: "go1.26.8", GOOS: "linux", GOARCH: "amd64",
		Kernel: "Linux 6.18", CPUs: 2, CPUModel: "Some CPU", ServerCPUs: "0",
	}
	for _, c := range r.all() {
		c.conclude()
	}
	return r
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func TestPrintWritesTableAndVerdicts(t *testing.T) {
	var b strings.Builder
	require.NoError(t, goldenReport().Print(&b))
	golden(t, "report.golden", b.String())
}

func TestPrintSaysWhyWrkIsAbsent(t *testing.T) {
	r := &Report{Cells: goldenReport().Cells[:1], Compiler: "cc", CPU: "any",
		Wrk: &Cell{Name: "http, 100 conns", Other: wrkName, Verdict: Absent, Reasons: []string{"wrk is not in PATH"}}}
	var b strings.Builder
	require.NoError(t, r.Print(&b))
	golden(t, "absent.golden", b.String())
}

func TestMarkdownWritesAPage(t *testing.T) {
	var b strings.Builder
	require.NoError(t, goldenReport().Markdown(&b))
	golden(t, "page.golden", b.String())
}

func TestReportIsValidJSONWhateverItHolds(t *testing.T) {
	b, err := json.Marshal(goldenReport())
	require.NoError(t, err)
	var back map[string]any
	require.NoError(t, json.Unmarshal(b, &back))
	cells := back["cells"].([]any)
	assert.Equal(t, "missed", cells[1].(map[string]any)["verdict"])
	assert.NotContains(t, cells[2].(map[string]any), "ratio", "what was not measured is absent")
}

func TestOptionsThatCannotBeMeasuredAreRefused(t *testing.T) {
	start := Options{Start: noServer}.Start
	for name, tc := range map[string]struct {
		o    Options
		want string
	}{
		"no starter":       {Options{}, "Options.Start is nil"},
		"one round":        {Options{Start: start, Rounds: 1}, "rounds is 1 (want 2 to 10000"},
		"negative rounds":  {Options{Start: start, Rounds: -4}, "rounds is -4"},
		"short slice":      {Options{Start: start, Slice: time.Millisecond}, "slice is 1ms (want 5ms to 10s)"},
		"round < slice":    {Options{Start: start, Slice: time.Second, Round: time.Millisecond}, "round is 1ms (want 1s to 1h0m0s)"},
		"fraction of wrk":  {Options{Start: start, Block: 1500 * time.Millisecond}, "block is 1.5s (want whole seconds"},
		"no connection":    {Options{Start: start, Workloads: []Workload{{0, 64}}}, "workload 0 connections x 64 bytes"},
		"too large":        {Options{Start: start, Workloads: []Workload{{1, 65522}}}, "x 65522 bytes"},
		"negative ceiling": {Options{Start: start, Ceiling: -1}, "ceiling is -1ns"},
	} {
		_, err := Calibrate(t.Context(), tc.o)
		require.ErrorIs(t, err, ErrOptions, name)
		assert.ErrorContains(t, err, tc.want, name)
	}
}
