package gcprofile

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/testenv"
)

const mib = 1 << 20

// aBlock is a block with 2,000 latencies, of which one in 50 is p99 and all others a
// tenth of it.
func aBlock(p99 time.Duration, peak uint64, gc float64) *Block {
	assist := gc / 2
	b := &Block{
		Lasted: 10 * time.Second, Collections: 20, Reached: true,
		GCShare: &gc, AssistShare: &assist, GCOfAll: gc / 2, PeakRSS: peak, HeapGoal: peak / 2,
		latencies: newHistogram(), lags: newHistogram(),
		pauses: testenv.Histogram{Buckets: []testenv.Bucket{{AtMost: 10 * time.Microsecond, Count: 30}, {AtMost: 80 * time.Microsecond, Count: 10}}},
		waits:  testenv.Histogram{Buckets: []testenv.Bucket{{AtMost: time.Microsecond, Count: 980}, {AtMost: time.Millisecond, Count: 20}}},
	}
	for i := range 2000 {
		v := p99
		if i%50 != 0 {
			v /= 10
		}
		if err := b.latencies.RecordValue(int64(v)); err != nil {
			panic(err)
		}
		if err := b.lags.RecordValue(int64(40 * time.Microsecond)); err != nil {
			panic(err)
		}
	}
	b.judge(true)
	b.Pauses, b.SchedWait = ofRuntime(b.pauses), ofRuntime(b.waits)
	return b
}

// aReport has three settings: one that needs little memory and much time, one between,
// one that needs much memory. Blocks scatter by 2 %.
func aReport(n int) *Report {
	r := &Report{Spec: Spec{Live: 100 * mib}.withDefaults(), Drive: Drive{Rate: 1000}.withDefaults(), Rounds: n}
	for _, c := range []struct {
		gogc int
		p99  time.Duration
		peak float64
		gc   float64
	}{{50, 9 * time.Millisecond, 160 * mib, 0.4}, {100, 5 * time.Millisecond, 220 * mib, 0.2}, {400, 2 * time.Millisecond, 520 * mib, 0.05}} {
		row := Row{Setting: Setting{GOGC: c.gogc}}
		for i := range n {
			f := 1 + 0.02*float64(i%3-1)
			row.Blocks = append(row.Blocks, aBlock(time.Duration(f*float64(c.p99)), uint64(f*c.peak), f*c.gc))
		}
		r.Rows = append(r.Rows, row)
	}
	return r.finish()
}

func TestABudgetIsKeptByTheSettingWithTheLeastCollectionThatFits(t *testing.T) {
	r := aReport(6)
	for _, c := range []struct {
		goal   Goal
		answer Answer
		gogc   int
		says   string
	}{
		{Goal{Budget: 1 << 30}, Found, 400, "least CPU time on collections, 5.0 %"},
		{Goal{Budget: 300 * mib}, Found, 100, "GOGC=100: it keeps a peak RSS of at most 300MiB (predicted for a further block, from 6:"},
		{Goal{Budget: 200 * mib}, Found, 50, "GOGC=50"},
		{Goal{Budget: 220 * mib}, Found, 50, "GOGC=50"}, // the mean of GOGC=100 would fit, a further block need not
		{Goal{Budget: 150 * mib}, None, 0, "no setting that was tried keeps a peak RSS of at most 150MiB: the least memory is that of GOGC=50, up to"},
		{Goal{P99: 10 * time.Millisecond}, Found, 50, "needs the least memory, 160MiB"},
		{Goal{P99: 6 * time.Millisecond}, Found, 100, "p99 of at most 6ms"},
		{Goal{P99: 5 * time.Millisecond}, Found, 400, "GOGC=400"},
		{Goal{P99: time.Millisecond}, None, 0, "the least p99 is that of GOGC=400, up to"},
		{Goal{Budget: 300 * mib, P99: 6 * time.Millisecond}, Found, 100, "a peak RSS of at most 300MiB and a p99 of at most 6ms"},
		{Goal{Budget: 300 * mib, P99: 3 * time.Millisecond}, None, 0, "no setting that was tried"},
	} {
		got := r.Recommend(c.goal)
		assert.Equal(t, c.answer, got.Answer, c.goal)
		assert.Contains(t, got.Text, c.says)
		if c.answer == Found && assert.NotNil(t, got.Setting) {
			assert.Equal(t, c.gogc, got.Setting.GOGC, c.goal)
		} else {
			assert.Nil(t, got.Setting)
		}
		assert.Same(t, got, r.Recommendation)
	}
}

func TestASettingThatSpiralsOrFallsBehindIsNotRecommended(t *testing.T) {
	r := aReport(5)
	for i := range r.Rows {
		r.Rows[i].Blocks[1].Overloaded = true
	}
	r.finish()
	assert.Equal(t, None, r.Recommend(Goal{P99: time.Second}).Answer)
	assert.Equal(t, Found, r.Recommend(Goal{Budget: 1 << 30}).Answer, "memory it has kept")
	assert.Contains(t, strings.Join(r.Warnings, "\n"), "GOGC=400: in 1 of 5 blocks the server did not keep up with 1000 requests/s")
	for i := range r.Rows {
		r.Rows[i].Blocks[2].Limited = true
	}
	r.Rows[1].Blocks[2].Limited, r.Rows[1].Blocks[2].GCOfAll = false, spiralShare
	r.Rows[0].Setting.Limit = 120 * mib
	r.finish()
	assert.Equal(t, None, r.Recommend(Goal{Budget: 1 << 30}).Answer)
	all := strings.Join(r.Warnings, "\n")
	assert.Contains(t, all, "death spiral: in 1 of 5 blocks of GOGC=50 GOMEMLIMIT=120MiB")
	assert.Contains(t, all, "GOGC=400: in 1 of 5 blocks collections took up to")
	assert.NotContains(t, all, "death spiral: in 1 of 5 blocks of GOGC=400", "without a limit it is none")
}

func TestTooFewBlocksDecideNothing(t *testing.T) {
	r := aReport(2)
	rec := r.Recommend(Goal{Budget: 1 << 30})
	assert.Equal(t, Undecided, rec.Answer)
	assert.Contains(t, rec.Text, "3 of 3 could not be judged")

	r = aReport(4)
	for i := range r.Rows {
		for _, b := range r.Rows[i].Blocks[:2] {
			b.judge(false)
			b.Reasons = []string{"latency: requests failed"}
		}
	}
	r.finish()
	assert.Equal(t, Undecided, r.Recommend(Goal{P99: time.Second}).Answer, "two valid blocks are too few")
	assert.Equal(t, Found, r.Recommend(Goal{Budget: 1 << 30}).Answer)
	assert.Contains(t, strings.Join(r.Warnings, "\n"), "latencies of 2 of 4 blocks do not count (latency: requests failed)")
	assert.EqualValues(t, 2, r.Rows[0].Valid)
	require.NotNil(t, r.Rows[0].P99.Value, "those of the others do")
}

func TestAHeapThatDidNotGrowToItsFullSizeIsPredictedToDoSo(t *testing.T) {
	r := aReport(4)
	seen := *r.Rows[2].PeakRSSAtMost
	assert.Less(t, seen, float64(580*mib))
	r.Rows[2].Blocks[0].Reached = false
	r.Rows[2].Setting = Setting{GOGC: Off, Limit: 800 * mib}
	r.finish()
	assert.GreaterOrEqual(t, *r.Rows[2].PeakRSSAtMost, float64(800*mib))
	assert.Contains(t, strings.Join(r.Warnings, "\n"), "GOGC=off GOMEMLIMIT=800MiB: 1 of 4 blocks had fewer than 10 collections within 1m0s")
}

func TestFiguresAreThoseOfAllBlocksTogether(t *testing.T) {
	w := aReport(6).Rows[1]
	assert.InEpsilon(t, float64(5*time.Millisecond), *w.P99.Value, 0.03)
	assert.InEpsilon(t, 0.98*float64(5*time.Millisecond), *w.P99.Lo, 0.01)
	assert.InEpsilon(t, 1.02*float64(5*time.Millisecond), *w.P99.Hi, 0.01)
	assert.InEpsilon(t, float64(500*time.Microsecond), *w.P50.Value, 0.03)
	require.NotNil(t, w.P999.Value, "12,000 samples are enough")
	assert.Nil(t, w.P999.Lo, "those of one block are not")
	assert.InDelta(t, 0.2, *w.GCShare.Value, 0.001)
	assert.Less(t, *w.GCShare.Lo, 0.2)
	assert.Greater(t, *w.GCShare.Hi, 0.2)
	assert.InDelta(t, 0.1, *w.AssistShare.Value, 0.001)
	assert.InDelta(t, 120, *w.PerMinute.Value, 0.001)
	assert.EqualValues(t, 6*20, w.Collections)
	assert.InDelta(t, 10_000, *w.PauseP50.Value, 0)
	assert.InDelta(t, 80_000, *w.PauseP90.Value, 0)
	assert.InDelta(t, 80_000, *w.PauseMax.Value, 0)
	assert.Nil(t, w.PauseP99.Value, "240 pauses are too few for a p99")
	assert.InDelta(t, 1e6, *w.SchedP99.Value, 0)
	assert.InEpsilon(t, 220*mib, *w.PeakRSS.Value, 0.001)
}

// Of many samples of a normal distribution a share of 97.5 % is below the bound, on
// average over all samples that it can be computed from.
func TestAFurtherBlockStaysWithinWhatIsPredicted(t *testing.T) {
	bound, ok := atMost([]float64{math.Exp(1), math.Exp(2), math.Exp(3)})
	require.True(t, ok)
	// mean 2, s 1, t(0.975; 2) 4.302653, sqrt(1+1/3)
	assert.InEpsilon(t, math.Exp(2+4.302653*math.Sqrt(4.0/3)), bound, 1e-5)
	_, ok = atMost([]float64{1, 2})
	assert.False(t, ok)
	_, ok = atMost([]float64{1, 2, 0})
	assert.False(t, ok)
	same, ok := atMost([]float64{7, 7, 7})
	require.True(t, ok)
	assert.InEpsilon(t, 7.0, same, 1e-9)
}

func TestAGoalIsMetByABlockOrNotOrItIsNotKnown(t *testing.T) {
	b := aBlock(2*time.Millisecond, 100*mib, 0.1)
	for _, c := range []struct {
		goal       Goal
		met, known bool
	}{
		{Goal{Budget: 100 * mib}, true, true},
		{Goal{Budget: 99 * mib}, false, true},
		{Goal{P99: 3 * time.Millisecond}, true, true},
		{Goal{P99: time.Millisecond}, false, true},
		{Goal{Budget: 99 * mib, P99: 3 * time.Millisecond}, false, true},
	} {
		met, known := c.goal.Met(b)
		assert.Equal(t, c.met, met, c.goal)
		assert.Equal(t, c.known, known)
	}
	late(b, 300*time.Microsecond)
	met, known := Goal{P99: 3 * time.Millisecond}.Met(b)
	assert.True(t, met && known, "the server was not slower than it seemed")
	_, known = Goal{P99: time.Millisecond}.Met(b)
	assert.False(t, known, "the generator may have made it slower")
	b.judge(false)
	_, known = Goal{P99: time.Second}.Met(b)
	assert.False(t, known)
	b.Overloaded = true
	met, known = Goal{P99: time.Second}.Met(b)
	assert.True(t, known)
	assert.False(t, met)
	assert.ErrorContains(t, Goal{Budget: 10}.Check(20), "is not above the live set")
	assert.ErrorIs(t, Goal{P99: -1}.Check(0), ErrInput)
}

// late makes the generator so late with one request in 50.
func late(b *Block, by time.Duration) {
	b.lags.Reset()
	for i := range 2000 {
		v := 40 * time.Microsecond
		if i%50 == 0 {
			v = by
		}
		if err := b.lags.RecordValue(int64(v)); err != nil {
			panic(err)
		}
	}
	b.judge(true)
}

func TestAQuantileIsLeftOutWhereTheGeneratorWasLate(t *testing.T) {
	b := aBlock(10*time.Millisecond, 100*mib, 0.1)
	late(b, 499*time.Microsecond)
	require.NotNil(t, b.Latency.P99, "5 % of it")
	assert.Empty(t, b.Reasons)
	late(b, 510*time.Microsecond)
	assert.Nil(t, b.Latency.P99)
	assert.NotNil(t, b.Latency.P50, "its own lag is small")
	assert.InEpsilon(t, float64(10*time.Millisecond), float64(*b.P99AtMost), 0.01)
	require.Len(t, b.Reasons, 1)
	assert.Regexp(t, `^p99: the generator sent late, by 51\d\.?\d*µs at the same quantile, above (499|500)\.?\d*µs$`, b.Reasons[0])

	r := aReport(4)
	for _, b := range r.Rows[0].Blocks {
		late(b, time.Millisecond)
	}
	r.finish()
	assert.Nil(t, r.Rows[0].P99.Value)
	assert.Contains(t, strings.Join(r.Warnings, "\n"), "GOGC=50: latency p99: the generator sent late, by 1")
	assert.Equal(t, 50, r.Recommend(Goal{P99: 10 * time.Millisecond}).Setting.GOGC, "it is fast enough all the same")
	rec := r.Recommend(Goal{P99: time.Millisecond})
	assert.Equal(t, Undecided, rec.Answer, "one may be faster than it seemed")
	assert.Contains(t, rec.Text, "1 of 3 could not be judged")
}

func TestABlockGoesOnUntilItHasItsCollectionsOrItsTimeIsOver(t *testing.T) {
	d := Drive{Collections: 10, Min: time.Second, Max: 20 * time.Second}
	assert.Zero(t, d.more(time.Second, 10))
	assert.Equal(t, time.Second, d.more(time.Second, 0), "as long again")
	assert.Equal(t, 2750*time.Millisecond, d.more(2500*time.Millisecond, 5), "5.5 more at half a second")
	assert.Equal(t, step, d.more(time.Second, 9), "no less than a step")
	assert.Equal(t, 500*time.Millisecond, d.more(19500*time.Millisecond, 1), "what is left")
	assert.Zero(t, d.more(20*time.Second, 1))
}

func TestAReportIsPrintedWithAllItKnows(t *testing.T) {
	r := aReport(6)
	assert.Empty(t, r.Warnings)
	r.Recommend(Goal{Budget: 300 * mib})
	r.Rows[0].P50 = Figure{}
	var text, page, object bytes.Buffer
	require.NoError(t, r.Print(&text))
	require.NoError(t, r.Markdown(&page))
	assert.Contains(t, text.String(), "live set 100MiB of small objects, none allocated for each request, 50 connections, 1000 requests/s")
	assert.Regexp(t, `GOGC=50 +6 +- +`, text.String())
	assert.Regexp(t, `GOGC=100 .*20.0% \[`, text.String())
	assert.Contains(t, text.String(), "recommendation: GOGC=100")
	assert.Contains(t, page.String(), "| GOGC=400 | 6 | 2")
	for _, line := range strings.Split(page.String(), "\n") {
		if strings.HasPrefix(line, "|") {
			assert.Equal(t, 19, strings.Count(line, "|"), line)
		}
	}
	require.NoError(t, json.NewEncoder(&object).Encode(r))
	var back Report
	require.NoError(t, json.Unmarshal(object.Bytes(), &back))
	assert.Equal(t, *r.Rows[1].P99.Value, *back.Rows[1].P99.Value)
	assert.Equal(t, r.Recommendation, back.Recommendation)
	assert.Nil(t, back.Rows[0].P50.Value)
}

// full is a file on a disk that has room for so many bytes.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	n := min(f.room, len(p))
	f.room -= n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func TestAReportThatIsNotWrittenWholeIsAnError(t *testing.T) {
	r := aReport(3)
	r.Recommend(Goal{Budget: 300 * mib})
	var whole bytes.Buffer
	require.NoError(t, r.Print(&whole))
	for _, room := range []int{0, 10, whole.Len() / 2, whole.Len() - 1} {
		assert.ErrorIs(t, r.Print(&full{room}), io.ErrShortWrite, "%d of %d bytes", room, whole.Len())
	}
	assert.NoError(t, r.Print(&full{whole.Len()}))
}

func TestTimesAndSharesKeepThreeDigits(t *testing.T) {
	assert.Equal(t, "1.23ms", roundTime(1234567).String())
	assert.Equal(t, "12ns", roundTime(12).String())
	assert.Equal(t, time.Duration(0), roundTime(0))
	assert.Equal(t, "100%", percent(1))
	assert.Equal(t, "0.50%", percent(0.005))
	assert.Equal(t, "12.3%", percent(0.1234))
	assert.Equal(t, "1234", threeDigits(1234))
}
