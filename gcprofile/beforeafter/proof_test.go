//go:build proof

package beforeafter

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/cpu"
	"netbench/results"
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
	host, err := results.Collect(t.Context())
	require.NoError(t, err)
	report, err := Measure(t.Context(), Options{
		Rounds: *proofRounds, Block: *proofBlock, Products: *proofProducts, Seed: 1,
		Progress: func(line string) { t.Log(line) },
	}, place)
	require.NoError(t, err)

	var doc strings.Builder
	fmt.Fprintf(&doc, `# Before and after: what caring about allocations gains

    go test -tags proof -timeout 30m -count=1 -run TestProofBeforeAfter ./gcprofile/beforeafter

wrote this on %s with %s for
%s/%s on %s, %d CPUs (%s).
Server on CPU %s, generator on CPU %s.

One service that takes orders in JSON, over net/http, written twice: as it is written
when nobody measures, and with buffers that are used again, a decoder that fills structs
which are used again, an encoder that appends, a live set without pointers and a
collector that was set on purpose. Replies and log lines are the same to the byte, which
tests prove. The same order is sent again and again, so the products that are looked up
are always in the CPU's cache, for both. One service is alive at a time; the order of the
blocks is random. "netbench beforeafter" prints this table for other settings.

The article's figures are of a service and a machine of its own; what is to be compared
is by how much each figure changes. A mean pause is of one collection, both times that it
stops the world together. The collector's share is of the CPU time that was not idle; to
mark while there is nothing else to do counts as collection.

## Figures

`, host.Start.UTC().Format(time.DateOnly), host.GoVersion, host.GOOS, host.GOARCH, host.Kernel, host.CPUs, host.CPUModel,
		cpu.Format(place.Server), cpu.Format(place.Generator))
	require.NoError(t, report.Print(&doc))
	t.Log("\n" + doc.String())
	require.NoError(t, os.MkdirAll(filepath.Dir(*proofOut), 0o755))
	require.NoError(t, os.WriteFile(*proofOut, []byte(doc.String()), 0o644))
	for _, b := range report.Bounds {
		assert.Equal(t, Met, b.Verdict, "%s: %s", b.title, formatRatio(b.Ratio))
	}
}
