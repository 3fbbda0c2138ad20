//go:build proof

package httppool_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/proof"
	"netbench/load"
	"netbench/pools"
	httppool "netbench/pools/http"
)

// How long the proof measures: about thirteen minutes with these.
//
// Pools of different settings are driven in blocks, not in slices: one that keeps a
// part of its connections dials the others anew whenever its callers come back, which
// slices would make a matter of every quarter of a second.
var (
	proofRounds = flag.Int("pool-rounds", 12, "rounds of each comparison")
	proofBlock  = flag.Duration("pool-block", 2*time.Second, "length of a block of one pool")
	proofSlices = flag.Int("pool-slices", 15, "slices of each contender in a round, where what is compared has the same settings")
	proofSlice  = flag.Duration("pool-slice", 100*time.Millisecond, "length of a slice")
	proofWatch  = flag.Int("pool-watch-rounds", 96, "rounds with the monitor on and off, which differ by less than other contenders")
	proofOut    = flag.String("pool-out", filepath.Join("..", "..", "docs", "pool-http.md"), "file to write")
)

// monitorLimit is what the monitor may add to the client's CPU time by request.
const monitorLimit = 0.01

// TestProofHTTPPool sets the recommended settings beside the default transport at
// 100 requests at once, and the client with its monitor beside the one without.
func TestProofHTTPPool(t *testing.T) {
	placed(t)
	doc := proof.Begin(t, "The HTTP pool beside the default transport", "./pools/http")
	fmt.Fprintf(doc, `HTTP/1.1, GET of 13 bytes, %d requests at once in a closed loop; %d rounds of a block of %v of each, in an order that is shuffled anew.
Ratios are geometric means over rounds with 95 %% intervals. The client's CPU by request
judges; the rate is that of this client and this server, one CPU each, and informs.

## Recommended settings and default transport

The recommended ones have at most 50 connections to a host and keep 20; the default
transport has no limit and keeps 2. What a pool does not keep between two blocks it
dials anew at the beginning of the next, which is in the figures.

`, atOnce, *proofRounds, *proofBlock)

	var table, ratios, monitor, switching strings.Builder
	for _, protocol := range []string{"tcp", "tls"} {
		to := over(t, protocol)
		beside(t, protocol, to, &table, &ratios)
		fmt.Fprintf(&monitor, "| %s | counted / plain transport | %s | |\n", protocol,
			cells(countingCost(t, to, *proofRounds, *proofSlices, *proofSlice)))
		cost := monitorCost(t, to, *proofWatch, *proofSlices, *proofSlice)
		fmt.Fprintf(&monitor, "| %s | monitor on / off | %s | %s |\n", protocol, cells(cost.Ratio), cost.Below(monitorLimit))
		fmt.Fprintf(&switching, "Over %s, to start and stop the monitor took %v of CPU time, which no ratio has in it.\n", protocol, cost.Switching.Round(time.Microsecond))
		defer assert.Equal(t, pools.Met, cost.Below(monitorLimit), "%s: the monitor's cost: %v", protocol, cost.Ratio)
	}
	doc.WriteString(`| over | transport | req/s | p50 | p99 | client CPU/request | dials/1000 | handshakes/1000 | reused | wait p99 |
|---|---|---|---|---|---|---|---|---|---|
` + table.String() + `
| over | recommended / default | ratio | 95 % interval | sd of a round |
|---|---|---|---|---|
` + ratios.String() + fmt.Sprintf(`
## What counting and watching cost

Client CPU time by request, in %d rounds of %d slices of %v each, and in %d with the
monitor, which samples every %v. Required: the whole interval shows that it adds less than %.0f %%. A plain
transport has the same settings and an http.Client with Timeout.

| over | comparison | ratio | 95 %% interval | sd of a round | |
|---|---|---|---|---|---|
`, *proofRounds, *proofSlices, *proofSlice, *proofWatch, watchEvery, 100*monitorLimit) + monitor.String() + "\n" + switching.String())
	doc.Save(t, *proofOut)
}

// beside compares the first two contenders.
func beside(t *testing.T, protocol string, to target, table, ratios *strings.Builder) {
	t.Helper()
	two := contenders(t, to)[:2]
	var before [2]httppool.Stats
	for i, c := range two {
		_, err := pools.Drive(t.Context(), pools.Load{Workers: atOnce, For: 500 * time.Millisecond}, c.do)
		require.NoError(t, err)
		before[i] = c.client.Stats()
	}
	out, err := pools.Interleave(t.Context(), *proofRounds, 1, pools.Load{Workers: atOnce, For: *proofBlock, Seed: 1},
		pools.Contender{Name: two[0].name, Do: two[0].do}, pools.Contender{Name: two[1].name, Do: two[1].do})
	require.NoError(t, err)
	for i, c := range two {
		all := pools.Merge(out[i])
		require.NoError(t, all.First, c.name)
		now := c.client.Stats()
		d := now.Sub(&before[i])
		dials, _ := d.Per1000(d.Dials)
		handshakes, _ := d.Per1000(d.Handshakes)
		reuse, _ := d.ReuseShare()
		wait, _ := d.Wait.Quantile(0.99)
		fmt.Fprintf(table, "| %s | %s | %.0f | %.2f ms | %.2f ms | %.1f µs | %.1f | %.1f | %.1f %% | %.2f ms |\n", protocol, c.name,
			all.Rate(), ms(all.P(50)), ms(all.P(99)), all.CPUPerOp()/1e3, dials, handshakes, 100*reuse, ms(wait))
	}
	for _, m := range []struct {
		name string
		of   func(*pools.Outcome) float64
	}{
		{"requests per second", (*pools.Outcome).Rate},
		{"client CPU by request", (*pools.Outcome).CPUPerOp},
		{"p99", func(o *pools.Outcome) float64 { return float64(o.P(99)) }},
	} {
		fmt.Fprintf(ratios, "| %s | %s | %s |\n", protocol, m.name, cells(pools.RatioOf(m.of, out[1], out[0])))
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// cells are a ratio in a table.
func cells(r load.Ratio) string {
	return fmt.Sprintf("%.4f | %.4f to %.4f | %.2f %%", r.Mean, r.Lo, r.Hi, 100*r.SD)
}
