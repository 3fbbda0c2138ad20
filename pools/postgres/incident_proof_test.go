//go:build proof

package postgres_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/postgres"
)

var (
	incidentFor   = flag.Duration("incident-for", 75*time.Second, "how long the load lasts on each pool")
	incidentEvery = flag.Duration("incident-every", postgres.DefaultLimits().Every, "between samples of the monitor")
)

// late is the share of callers whose time ran out.
func (in incident) late() float64 {
	return float64(in.outcome.Late) / float64(in.outcome.Done+in.outcome.Failed)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// TestProofIncident tells the story of a pool that is too small.
func TestProofIncident(t *testing.T) {
	server, place := roomy(t)
	dsn := fresh(t, server)
	cpuBefore, cpuErr := server.CPU()
	bad := happen(t, dsn, postgres.Undersized(), *incidentEvery, *incidentFor)
	busy := "is not ours to measure"
	if cpuAfter, err := server.CPU(); err == nil && cpuErr == nil {
		busy = fmt.Sprintf("used %.0f %% of one CPU meanwhile", 100*(cpuAfter-cpuBefore).Seconds()/bad.outcome.Elapsed.Seconds())
	}
	good := happen(t, dsn, postgres.Recommended(), *incidentEvery, *incidentFor)
	require.False(t, t.Failed())
	require.NotEmpty(t, bad.alerts)
	for _, in := range []incident{bad, good} {
		require.Zero(t, in.outcome.Dropped, "callers that never came")
	}

	doc := begin(t, "An incident: callers time out, and the database does not know", server, place)
	doc.f(`## What was seen

A service asks its database a question that takes 50 ms, nearly all of it waiting there. %d callers a second
come, at random times, and each gives up after %v. Of them %.0f %% fail; the others take %.0f ms in the median.
The database %s, and the few connections that the
service has are all that it sees of it.

The service's pool was made with %v.

## What the monitor said

It looks every %v. These are its alerts from the first samples after the one at the start, as printed:

`+"```\n", callers, patience, 100*bad.late(), ms(bad.outcome.P(50)), busy, bad.settings, *incidentEvery)
	for _, a := range bad.alerts {
		if a.samples <= 3 {
			doc.f("%v\n", a.Alert)
		}
	}
	waits, ok := bad.rules()[postgres.RuleWaits]
	require.True(t, ok, "the monitor names the cause")
	doc.f("```\n\nThe first to name the cause, `%s`, came with sample %d, %v after the load began.\n\n", postgres.RuleWaits, waits.samples-1, (time.Duration(waits.samples-1) * *incidentEvery).Round(time.Millisecond))
	doc.f(`## How to read it

- **%s** counts callers of this interval, not since the start: trouble that is over falls silent, and an old
  good week hides nothing. The number in line is the time that they waited altogether by the time that
  passed (Little's law); a wait counts when it is over, which makes the first number too small. It tells how bad it is, not how many connections are missing: a line before a pool
  that is too small grows until callers give up, however little is missing.
- **%s** is the share of the *maximum* at the moment of the sample. The share of those open would be 1 in a
  pool that is fine, as soon as its idle connections are closed.
- **%s** are failures that the database cannot know of: these callers never reached it.

The arithmetic behind it: %d a second times 0.05 s keep %d connections busy on average; %d can serve %d a
second at best. What comes above that waits until its caller gives up. Callers whose turn comes late time
out while their query runs: then lib/pq cancels it and drops its connection, so that a new one has to be
opened, %d in this run for %d connections.

## How to fix it

Open enough connections for what the load keeps busy, with room for bursts, and no more than the server has
for all its clients. The same load on the recommended pool (%v):

`, postgres.RuleWaits, postgres.RuleInUse, postgres.RuleGaveUp, callers, callers/20, bad.settings.MaxOpen, 20*bad.settings.MaxOpen,
		bad.end.Dials, bad.settings.MaxOpen, good.settings)
	doc.f("| | undersized | recommended |\n|---|---|---|\n")
	row := func(name, format string, of func(incident) any) {
		doc.f("| %s | "+format+" | "+format+" |\n", name, of(bad), of(good))
	}
	row("answered", "%d", func(in incident) any { return in.outcome.Done })
	row("timed out", "%d", func(in incident) any { return in.outcome.Late })
	row("failed otherwise", "%d", func(in incident) any { return in.outcome.Failed - in.outcome.Late })
	row("share timed out", "%.1f %%", func(in incident) any { return 100 * in.late() })
	row("p50 of those answered", "%.0f ms", func(in incident) any { return ms(in.outcome.P(50)) })
	row("p99 of those answered", "%.0f ms", func(in incident) any { return ms(in.outcome.P(99)) })
	row("callers who waited for a connection", "%d", func(in incident) any { return in.end.WaitCount })
	row("their waiting altogether", "%.0f s", func(in incident) any { return in.end.WaitDuration.Seconds() })
	row("gave up before they had one", "%d", func(in incident) any { return in.end.GaveUp })
	row("p99 to get a connection", "%s", func(in incident) any {
		if in.waits.P99 == pools.Absent {
			return "too few"
		}
		return in.waits.P99.Round(10 * time.Microsecond)
	})
	row("connections opened", "%d", func(in incident) any { return in.end.Dials })
	row("closed for idle limit", "%d", func(in incident) any { return in.end.MaxIdleClosed })
	doc.f("\nThe p99 of the undersized pool is that of the survivors, and cannot be above %v, where callers give up.\n\n", patience)
	if len(good.alerts) == 0 {
		doc.f("The monitor had nothing to say of the recommended pool.\n\n")
	} else {
		doc.f("The monitor's alerts for the recommended pool:\n\n```\n")
		for _, a := range good.alerts {
			doc.f("%v\n", a.Alert)
		}
		doc.f("```\n\n")
	}
	doc.f("If more connections cannot be had: hold them for less time. Ask shorter questions, take a connection\nlast and give it back first, do nothing else between the two, and let callers who cannot be served fail at\nonce rather than after %v.\n", patience)
	doc.write(t, "incident-postgres.md")

	assert.LessOrEqual(t, waits.samples, 3, "within two samples after the one at the start")
	assert.Less(t, good.outcome.Failed, bad.outcome.Late/10)
}
