//go:build proof

package gcprofile_test

import (
	"flag"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile"
	"netbench/internal/proof"
)

var (
	proofBlocks = flag.Int("gc-blocks", 6, "blocks of each setting from which is recommended (a smoke run: 3)")
	proofFresh  = flag.Int("gc-fresh", 10, "fresh blocks in which a recommendation is tried (a smoke run: 2)")
	proofMax    = flag.Duration("gc-max-block", 20*time.Second, "longest block (a smoke run: 2s)")
	proofShare  = flag.Float64("gc-share", gcprofile.DefaultShare, "share of the capacity that is the rate")
	proofLive   = flag.String("gc-live", "64MiB", "live set of both proofs (a smoke run: 8MiB)")
	proofSeed   = flag.Uint64("gc-seed", 1, "seed of the order of the blocks")
)

// proofPlan compares all settings at one rate.
func proofPlan(t *testing.T, objects gcprofile.Objects, blocks int) gcprofile.Plan {
	live, err := gcprofile.ParseSize(*proofLive)
	require.NoError(t, err)
	return gcprofile.Plan{
		Spec:   gcprofile.Spec{Live: live, Objects: objects, Alloc: "64KiB"},
		Drive:  gcprofile.Drive{Max: max(*proofMax, time.Second), Min: min(*proofMax, gcprofile.DefaultMinBlock)},
		Share:  *proofShare,
		Blocks: blocks, Seed: *proofSeed,
		Progress: func(line string) { t.Log(line) },
	}
}

// page is the path of a page of docs.
func page(name string) string { return filepath.Join("..", "docs", name) }

// markdown adds a report to a page.
func markdown(t *testing.T, w io.Writer, r *gcprofile.Report) {
	require.NoError(t, r.Markdown(w))
}

// TestProofSettings measures what each setting costs, with a live set of small objects
// and with one of large objects, and writes docs/gc-settings.md.
func TestProofSettings(t *testing.T) {
	doc := proof.Begin(t, "What settings of the collector cost", "./gcprofile")
	fmt.Fprintf(doc, `A server that answers JSON keeps a live set and allocates for each request; each block
has a fresh process with its setting in the environment, one at a time, in an order that
is shuffled in each round, and lasts until ten collections were seen, but at most %v.
The rate is one for all settings: %.0f %% of what a closed loop reaches with GOGC=100.
`, *proofMax, 100**proofShare)
	for _, objects := range []gcprofile.Objects{gcprofile.SmallObjects, gcprofile.LargeObjects} {
		fmt.Fprintf(doc, "\n## A live set of %s objects\n\n", objects)
		// Half as many blocks of each as the recommendation is made from: two tables.
		r, err := gcprofile.Sweep(t.Context(), proofPlan(t, objects, max(2, (*proofBlocks+1)/2)))
		require.NoError(t, err)
		markdown(t, doc, r)
		for _, row := range r.Rows {
			assert.NotEmpty(t, row.Blocks, row.Setting)
			assert.NotNil(t, row.PeakRSS.Value, row.Setting)
			assert.NotNil(t, row.GCShare.Value, row.Setting)
		}
	}
	doc.Save(t, page("gc-settings.md"))
}

// TestProofRecommendation measures all settings, asks for a recommendation for a memory
// budget and for one for a p99, and tries both in fresh processes: the goal has to be
// met in nine of ten blocks. It writes docs/gc-recommend.md.
func TestProofRecommendation(t *testing.T) {
	plan := proofPlan(t, gcprofile.SmallObjects, max(3, *proofBlocks))
	r, err := gcprofile.Sweep(t.Context(), plan)
	require.NoError(t, err)
	doc := proof.Begin(t, "Does a recommended setting keep its goal?", "./gcprofile")
	fmt.Fprintf(doc, `All settings were measured. Then a setting was recommended for each goal, and tried in
%d blocks of fresh processes, under the same load: the goal has to be met in at least
nine of ten. The goals are made from what was measured, so that some settings miss them:
a memory budget between the smallest and the largest peak, and a p99 between the best
and the worst, both geometric means of the predictions.

## What was measured

`, *proofFresh)
	markdown(t, doc, r)
	fmt.Fprintf(doc, "\n## What was recommended, and tried\n\n| goal | recommendation | met |\n| --- | --- | --- |\n")
	for _, goal := range proofGoals(t, r) {
		rec := r.Recommend(goal)
		if !assert.Equal(t, gcprofile.Found, rec.Answer, rec.Text) {
			fmt.Fprintf(doc, "| %s | %s | - |\n", goal, rec.Text)
			continue
		}
		met, tried, unfit := 0, 0, 0
		for tried < *proofFresh && unfit <= *proofFresh {
			b, err := gcprofile.MeasureFresh(t.Context(), r.Spec.With(*rec.Setting), r.Drive)
			require.NoError(t, err)
			ok, known := goal.Met(b)
			if !known { // the generator could not tell: such a block counts neither way
				t.Logf("a block does not count: %s", strings.Join(b.Reasons, "; "))
				unfit++
				continue
			}
			tried++
			if ok {
				met++
			}
			t.Logf("%s with %s: block %d: met %v, peak RSS %s, p99 %s", goal, rec.Setting, tried, ok, gcprofile.FormatSize(int64(b.PeakRSS)), p99(b))
		}
		fmt.Fprintf(doc, "| %s | %s | %d of %d%s |\n", goal, rec.Text, met, tried, besides(unfit))
		assert.Equal(t, *proofFresh, tried, "%d blocks did not count", unfit)
		assert.GreaterOrEqual(t, 10*met, 9*tried, "%s with %s", goal, rec.Setting)
	}
	doc.Save(t, page("gc-recommend.md"))
}

func besides(unfit int) string {
	if unfit == 0 {
		return ""
	}
	return fmt.Sprintf("; %d more did not count, as the generator was late", unfit)
}

func p99(b *gcprofile.Block) string {
	if b.Latency.P99 == nil {
		return "unknown"
	}
	return time.Duration(*b.Latency.P99).String()
}

// proofGoals are a budget and a p99 that some settings keep and others do not.
func proofGoals(t *testing.T, r *gcprofile.Report) []gcprofile.Goal {
	middle := func(of func(gcprofile.Row) *float64) float64 {
		lo, hi := math.Inf(1), 0.0
		for _, w := range r.Rows {
			if v := of(w); v != nil && w.Spirals == 0 && w.Overloaded == 0 {
				lo, hi = min(lo, *v), max(hi, *v)
			}
		}
		require.Positive(t, hi, "no setting was measured well enough")
		return math.Sqrt(lo * hi)
	}
	budget := middle(func(w gcprofile.Row) *float64 { return w.PeakRSSAtMost })
	p99 := middle(func(w gcprofile.Row) *float64 { return w.P99AtMost })
	return []gcprofile.Goal{
		{Budget: int64(budget) / mebibyte * mebibyte},
		{P99: time.Duration(p99).Round(10 * time.Microsecond)},
	}
}
