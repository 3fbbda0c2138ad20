//go:build proof

package strategies_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"netbench/internal/proof"
	"netbench/pools/strategies"
)

const (
	proofSize   = 4
	proofRepeat = 8 // NETBENCH_PROOF_REPEAT is another number, for a look at it
	proofStall  = time.Second
	proofSettle = 500 * time.Millisecond
)

var proofCheck = strategies.Check{Every: 250 * time.Millisecond, Timeout: 200 * time.Millisecond}

// TestProofStrategies measures the first request of each strategy in each
// situation, before all servers that there are, and writes the tables.
func TestProofStrategies(t *testing.T) {
	repeat := proofRepeat
	if text := os.Getenv("NETBENCH_PROOF_REPEAT"); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		repeat = n
	}
	doc := proof.Begin(t, "What the first request costs", "./pools/strategies")
	fmt.Fprintf(doc, `Pools of %d connections. Lazy opens them when they are needed, warmed when the pool
is made, checked does so too and probes the idle ones every %v with a time-out of
%v. Each strategy was brought into each situation %d times, in shuffled order:

- start: the pool was just opened.
- idle: nobody used it for %v; the server closes what is idle for %v.
- restart: the server ended in order and began anew.
- stall: for %v no byte passed on the way to the server.

Between the end of a situation and the request lie %v, in which a check may find
out. The time of a request is that from its first try to its first success: one that
fails is tried again after 1 ms. All connections lead through a relay in the process
of the pool, which makes each request some tens of µs slower. Pools of PostgreSQL and Redis
ask the server for its limits when they are opened, over a connection of its own, also
lazy ones. Medians have 95 %% intervals by order statistics.
`, proofSize, proofCheck.Every, proofCheck.Timeout, repeat, idleSpell, serverBears, proofStall, proofSettle)
	for _, name := range slices.Sorted(maps.Keys(subjects)) {
		fmt.Fprintf(doc, "\n## %s\n\n", name)
		ran := false
		t.Run(name, func(t *testing.T) {
			s := subjects[name](t)
			r, err := strategies.Run(t.Context(), strategies.Plan{
				Kind: s.kind, Strategies: strategies.All(proofCheck), Size: proofSize,
				Idle:    func(ctx context.Context) error { return sleep(ctx, idleSpell) },
				Restart: s.restart, Stall: s.stall, StallFor: proofStall,
				Settle: proofSettle, Repeat: repeat, Seed: 1,
				Progress: func(line string) { t.Log(line) },
			})
			require.NoError(t, err)
			fmt.Fprintf(doc, "%s.\n\n", s.server)
			require.NoError(t, r.Markdown(doc))
			for _, row := range r.Rows {
				if row.Lost > 0 {
					t.Errorf("%s, %s: %d requests never succeeded: %v", row.Situation, row.Strategy, row.Lost, row.Firsts[0].Err)
				}
			}
			ran = true
		})
		if !ran {
			fmt.Fprintf(doc, "Did not run: there was no such server, or it failed; the test's log has the reason.\n")
		}
	}
	doc.Save(t, filepath.Join("..", "..", "docs", "pool-strategies.md"))
}

// idleSpell is long enough for a server that looks only every second or two.
const idleSpell = 2*serverBears + time.Second

// sleep lets time pass, or the context end.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
