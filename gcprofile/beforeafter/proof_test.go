//go:build proof

package beforeafter

import (
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/proof"
	"netbench/testenv"
)

// How long the proof measures: about eleven minutes with these. A block is several
// cycles of the tuned service's collector.
var (
	proofRounds   = flag.Int("before-after-rounds", 8, "rounds of a block of each service")
	proofBlock    = flag.Duration("before-after-block", 36*time.Second, "length of a block")
	proofProducts = flag.Int("before-after-products", 0, "products of the live set; 0: the default")
	proofOut      = flag.String("before-after-out", filepath.Join("..", "..", "docs", "gc.md"), "file to write")
)

// TestProofBeforeAfter sets the tuned service beside the naive one at equal load.
func TestProofBeforeAfter(t *testing.T) {
	place, err := testenv.Place()
	require.NoError(t, err)
	require.True(t, place.Disjoint, "server and generator need CPUs of their own: %s", place.Reason)
	require.NoError(t, testenv.PinSelf(place.Generator))
	doc := proof.Begin(t, "Before and after: what caring about allocations gains", "./gcprofile/beforeafter")
	report, err := Measure(t.Context(), Options{
		Rounds: *proofRounds, Block: *proofBlock, Products: *proofProducts, Seed: 1,
		Progress: func(line string) { t.Log(line) },
	}, place)
	require.NoError(t, err)

	doc.WriteString(`One service that takes orders in JSON, over net/http, written twice: as it is written
when nobody measures, and with buffers that are used again, a decoder that fills structs
which are used again, an encoder that appends, a live set without pointers and a
collector that was set on purpose. Replies and log lines are the same to the byte, which
tests prove. The same order is sent again and again, so the products that are looked up
are always in the CPU's cache, for both. One service is alive at a time; the order of the
blocks is random. "netbench beforeafter" prints this table for other settings.

The article's figures are of a service and a machine of its own; what is to be compared
is by how much each figure changes. A mean pause is of one collection, both times that it
stops the world together. The collector's share is of the CPU time that was not idle; to
mark while there is nothing else to do counts as collection. A percentile is left out of
a block where the generator's own lag, at the same percentile, was above 5 % of it and
200 µs; at most is the p99 with that lag in it, which only adds. The tuned service is
judged with it, the naive one without.

## Figures

`)
	require.NoError(t, report.Print(doc))
	doc.Save(t, *proofOut)
	for _, b := range report.Bounds {
		assert.Equal(t, Met, b.Verdict, "%s: %s", b.title, formatRatio(b.Ratio))
	}
}
