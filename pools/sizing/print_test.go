package sizing

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
)

// golden compares got with a file in testdata, or writes that file if
// UPDATE_GOLDEN is set.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "UPDATE_GOLDEN=1 go test writes it")
	assert.Equal(t, string(want), got, "UPDATE_GOLDEN=1 go test rewrites %s", path)
}

// fixed is a report of which every figure is known.
func fixed() *Report {
	r := &Report{
		Kind: "redis", Service: "redis 7.0.15 at 127.0.0.1:6379 by local binary", Sizes: []int{1, 2, 5, 10}, Concurrency: []int{4, 100},
		Rounds: 3, Slice: 500 * time.Millisecond, Warm: 100 * time.Millisecond, Timeout: 10 * time.Second, Seed: 1, Notes: []string{},
	}
	for _, concurrency := range r.Concurrency {
		c := Curve{Concurrency: concurrency, Rounds: 3, Orders: [][]int{{2, 1, 5, 10}, {10, 5, 1, 2}, {5, 10, 2, 1}}}
		var tallies []tally
		for i, rate := range []int64{10_000, 20_000, 40_100, 40_000} {
			t := tally{series: series{size: r.Sizes[i]}}
			for round := range int64(3) {
				latency := hdrhistogram.New(1, int64(time.Minute), 3)
				calls := rate/2 + 10*round
				must(latency.RecordValues(int64(concurrency)*1e9/rate, calls-calls/50))
				must(latency.RecordValues(2*int64(concurrency)*1e9/rate, calls/50))
				t.add(slice{
					outcome: &pools.Outcome{Done: calls, Elapsed: 500 * time.Millisecond, CPU: 100 * time.Millisecond, Latency: latency},
					before:  pools.Stats{Open: r.Sizes[i], Dials: 4},
					after:   pools.Stats{Open: r.Sizes[i], Dials: 4, Waits: calls / 2, Waited: time.Duration(calls) * time.Millisecond},
				})
			}
			tallies = append(tallies, t)
		}
		c.assess(tallies)
		for i := range c.Points {
			c.Points[i].ClientBusy = 0.1 // whatever this machine has
		}
		r.Curves = append(r.Curves, c)
	}
	r.Knee = overall(r.Sizes, r.Curves)
	r.Rule = Rule{Cores: 2, Disks: 1}.says(r.Curves, r.Sizes)
	r.note()
	return r
}

func TestTheJSONOfAReportKeepsItsShape(t *testing.T) {
	b, err := json.MarshalIndent(fixed(), "", "  ")
	require.NoError(t, err)
	// Other processors round the last digits in another way.
	short := regexp.MustCompile(`\d+\.\d{5,}`).ReplaceAllStringFunc(string(b), func(number string) string {
		v, err := strconv.ParseFloat(number, 64)
		require.NoError(t, err)
		return strconv.FormatFloat(v, 'g', 6, 64)
	})
	golden(t, "report.json", short+"\n")
	var back Report
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&back))
	assert.Equal(t, fixed(), &back, "nothing is lost on the way")
}

func TestAReportIsPrintedAsATableWithAPlot(t *testing.T) {
	var b strings.Builder
	require.NoError(t, fixed().Print(&b))
	golden(t, "report.txt", b.String())
}

func TestAReportIsAPartOfAPage(t *testing.T) {
	var b strings.Builder
	require.NoError(t, fixed().Markdown(&b))
	golden(t, "report.md", b.String())
}

func TestAStandInIsMarkedWhereverAReportIsShown(t *testing.T) {
	r := fixed()
	r.StandIn = true
	var text, page strings.Builder
	require.NoError(t, r.Print(&text))
	require.NoError(t, r.Markdown(&page))
	assert.Contains(t, text.String(), "STAND-IN")
	assert.Contains(t, page.String(), "STAND-IN")
	b, err := json.Marshal(r)
	require.NoError(t, err)
	assert.Contains(t, string(b), `"stand_in":true`)
}

func TestWhatIsNotKnownIsPrintedAsADash(t *testing.T) {
	p := Point{Size: 3, OpsPerSec: Interval{Mean: 10}}
	assert.Equal(t, []string{"3", "10", "-", "-", "-", "-", "-", "-", "-", "-", "0s", "0", "-", ""}, p.cells())
}

func TestTheRuleOfThumbIsLookedUpInTheCurve(t *testing.T) {
	r := fixed()
	for rule, want := range map[Rule]string{
		{Cores: 2, Disks: 1}:  "2 x 2 + 1 = 5 connections; at 4 callers: the best throughput, and a p99 not shown to be worse",
		{Cores: 1, Disks: 1}:  "not swept itself: between 2 and 5",
		{Cores: 16, Disks: 0}: "more than any size swept (the most is 10)",
	} {
		says := rule.says(r.Curves, r.Sizes)
		assert.Contains(t, says.Text, want)
		assert.Equal(t, rule.Size() == 5, says.Swept)
	}
	assert.Contains(t, Rule{Cores: 1}.says(r.Curves, []int{5}).Text, "less than any size swept (the least is 5)")
	assert.Nil(t, Rule{}.says(r.Curves, r.Sizes), "without cores there is no rule")
}

func TestTimesHaveThreeDigits(t *testing.T) {
	for ns, want := range map[float64]string{0: "0s", 12.4: "12ns", 999: "999ns", 1234: "1.23µs", 123456: "123µs", 1234567: "1.23ms", 12.34e9: "12.3s"} {
		assert.Equal(t, want, short(ns))
	}
}

func TestAClientThatIsBusyIsNoted(t *testing.T) {
	r := fixed()
	r.Notes = nil
	r.Curves[1].Points[3].ClientBusy = 0.9
	r.note()
	require.Len(t, r.Notes, 2)
	assert.Contains(t, r.Notes[0], "4 callers cannot use all connections of size 5 or 10")
	assert.Contains(t, r.Notes[1], "at 100 callers this process used more than 85 % of its CPUs with size 10")
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
