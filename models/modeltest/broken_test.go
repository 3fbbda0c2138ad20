package modeltest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReferencePassesEveryRule(t *testing.T) {
	Run(t, newBreakage(flawless).factory)
}

// broken is what the suite has to find out about one flaw: the rule that says
// so, and a part of what it says, so that a rule that fails for another reason
// does not count.
type broken struct {
	flaw flaw
	name string
	rule string
	says string
}

func (b broken) caughtBy(r *recorder) bool {
	return slices.ContainsFunc(r.failures, func(f string) bool { return strings.Contains(f, b.says) })
}

// needsDescriptorCount lists the flaws that only show in the number of open
// descriptors.
var needsDescriptorCount = map[flaw]bool{flawLateSemaphore: true, flawLeaksDescriptor: true}

var brokenServers = []broken{
	{flawDropsParts, "takes one read for a whole message", "exact-every-split", "reply ends after 0"},
	{flawTruncates, "loses output beyond MaxPending", "exact-random-splits", "reply"},
	{flawStepsOnce, "calls Step once for each read", "pipelining", "reply ends after"},
	{flawOvertakes, "lets requests overtake blocked ones", "pipelining-blocked", "differs"},
	{flawCrossTalk, "shares a read buffer between connections", "many-connections", "connection"},
	{flawOneByOne, "serves one connection at a time", "many-connections", "Stats.Active is 1"},

	{flawStepsEmpty, "calls Step without input", "session-calls", "with an empty input"},
	{flawStepsAtEOF, "calls Step at the end of the stream", "session-calls", "but the step before asked for"},
	{flawStepsTwice, "calls Step again with what was consumed", "session-calls", "does not go on from byte"},
	{flawIgnoresNeed, "calls Step with less than Need", "session-calls", "but the step before asked for"},
	{flawReadsAhead, "reads between steps", "session-calls", "no reason to read more"},
	{flawAnswersAfterClose, "calls Step after Close", "session-calls", "asked to close"},
	{flawRoundsNeed, "waits for more than Need", "session-need", "reply ends after 0"},
	{flawCapsNeed, "closes where Need exceeds ReadBuffer", "session-need", "reply ends after 0"},
	{flawKeepsOwnOutput, "ignores the returned slice", "session-reply", "differs"},
	{flawWorkSeesOther, "gives Work another input", "session-work", "does not go on from byte"},
	{flawWorkBlocksAll, "does Work where others wait", "session-work", "reply ends after 0"},

	{flawUnbounded, "queues output without a bound", "slow-reader", "does not pause"},
	{flawHeadOfLine, "has others wait for a slow reader", "slow-reader", "reply ends after 0"},
	{flawGrows, "collects memory for a slow reader", "slow-reader", "heap grows"},
	{flawUnbounded, "queues replies without a bound", "slow-reader-amplified", "are pending"},
	{flawFlushesPerRead, "looks at MaxPending once a read", "slow-reader-amplified", "are pending"},

	{flawKeepsHalfClosed, "never closes what is half closed", "half-close", "want the end of the stream"},
	{flawHalfCloseResets, "resets what is half closed", "half-close-pending", "reset"},
	{flawDiesOfReset, "dies of a reset", "reset", ""},
	{flawActiveStuck, "counts broken connections as active", "reset", "Stats.Active is"},
	{flawClosesAbruptly, "closes with unread input", "close-op", "reply ends after"},
	{flawAnswersAfterClose, "goes on after Close", "close-op", "want a closed connection"},
	{flawLingersForever, "waits forever for the peer to close", "close-op-silent", "still holds"},

	{flawNeverIdle, "has no deadlines", "idle-closes", "timeout"},
	{flawIdleIsError, "counts idle connections as broken", "idle-closes", "Stats.IdleClosed is 0"},
	{flawDeadlineOnce, "sets the deadline once for the life", "idle-renewed", "the longest pause"},
	{flawRenewsPerRequest, "does not renew it within a request", "idle-renewed", "the longest pause"},
	{flawWaitsForWriter, "has no deadline for writes", "idle-unread", "still connected"},
	{flawDeadlinePerWrite, "takes slow progress for none", "idle-slow-drain", "the longest pause"},

	{flawNoLimit, "ignores MaxConns", "limit-wait", "beyond MaxConns"},
	{flawLateSemaphore, "takes the slot on the goroutine", "limit-wait", "should wait in the backlog"},
	{flawSlotLost, "does not give a slot back", "limit-wait", "reply ends after 0"},
	{flawNoLimit, "rejects nothing", "limit-reject", "want a closed connection"},
	{flawRejectsUncounted, "does not count what it rejects", "limit-reject", "Stats.Rejected is 0"},
	{flawHoldsRejected, "does not close what it rejects", "limit-reject", "want a closed connection"},
	{flawSpins, "spins on a failing accept", "accept-errors", "the server spins"},
	{flawDies, "dies of a failing accept", "accept-errors", ""},

	{flawShutdownCloses, "drains nothing", "shutdown-drains", "reply ends after"},
	{flawDropsBacklog, "closes the listener first", "shutdown-backlog", "just before Shutdown"},
	{flawCutsPartial, "cuts partial requests", "shutdown-partial", "arrived in part was closed"},
	{flawCutsWork, "cuts Work in progress", "shutdown-work", "while Work was in progress"},
	{flawKeepsIdle, "waits for idle connections", "shutdown-idle", "want the end of the stream"},
	{flawKeepsListening, "accepts until it has drained", "shutdown-refuses", "still served"},
	{flawIgnoresContext, "ignores the context", "shutdown-deadline", "has not returned"},
	{flawHidesContext, "hides that the context ended", "shutdown-deadline", "returned <nil>"},
	{flawShutsDownOnce, "refuses a second Shutdown", "shutdown-again", "already shutting down"},

	{flawCloseDrains, "waits for peers in Close", "close-prompt", "has not returned"},
	{flawCloseHurries, "does not wait for goroutines", "close-work", "still in Work"},
	{flawClosesOnce, "refuses a second Close", "close-anytime", "again"},
	{flawNeedsServe, "cannot close without Serve", "close-anytime", "closed without Serve"},
	{flawServeNil, "returns nil from Serve", "serve-error", "<nil>"},
	{flawServeRaw, "returns a raw error from Serve", "serve-error", "use of closed"},
	{flawLeaksGoroutine, "leaks goroutines", "no-leak", "goroutines were left behind"},
	{flawLeaksDescriptor, "leaks descriptors", "no-leak", "descriptors"},

	{flawUnchecked, "accepts a bad configuration", "config-errors", "is accepted"},
	{flawVagueErrors, "does not name the bad field", "config-errors", "want a *models.ConfigError"},
	{flawFallsBack, "listens elsewhere", "address-in-use", "listened on by somebody else"},
	{flawListensLate, "listens in Serve", "listens", "connect"},
	{flawCountsTwice, "counts bytes twice", "stats-exact", "BytesOut"},
	{flawForgetsStats, "forgets its counters", "stats-anytime", "after Close"},
}

// ruleNamed returns the rule with this name.
func ruleNamed(t *testing.T, name string) rule {
	t.Helper()
	all := rules()
	i := slices.IndexFunc(all, func(r rule) bool { return r.name == name })
	require.GreaterOrEqual(t, i, 0, "there is no rule %q", name)
	return all[i]
}

// TestSuiteCatchesEachBrokenServer judges each broken server by the rule that
// is about its flaw. Rules spend their time waiting, so many of them run at
// once, and after them, one by one, those that look at the whole process.
func TestSuiteCatchesEachBrokenServer(t *testing.T) {
	verdicts := make([]*recorder, len(brokenServers))
	judge := func(i int, r rule, patience time.Duration) {
		// A host that stands still may let a rule fail for another reason than
		// the flaw, so there is a second attempt, and a third.
		for range 3 {
			b := newBreakage(brokenServers[i].flaw)
			verdicts[i] = r.record(b.factory, setting{network: "tcp4", patience: patience, short: true})
			b.tidy()
			if brokenServers[i].caughtBy(verdicts[i]) {
				return
			}
		}
	}
	var crowd sync.WaitGroup
	room := make(chan struct{}, 24)
	var single []int
	for i, b := range brokenServers {
		r := ruleNamed(t, b.rule)
		if r.alone {
			single = append(single, i)
			continue
		}
		room <- struct{}{}
		crowd.Go(func() {
			judge(i, r, 2*time.Second)
			<-room
		})
	}
	crowd.Wait()
	for _, i := range single {
		judge(i, ruleNamed(t, brokenServers[i].rule), 500*time.Millisecond)
	}
	for i, b := range brokenServers {
		t.Run(b.rule+"/"+strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			r := ruleNamed(t, b.rule)
			if r.lacking != nil && r.lacking() != "" {
				t.Skip(r.lacking())
			}
			if needsDescriptorCount[b.flaw] && descriptorCount() < 0 {
				t.Skip("this system does not tell how many descriptors are open")
			}
			failures := verdicts[i].failures
			require.NotEmpty(t, failures, "a server that %s passes", b.name)
			assert.True(t, b.caughtBy(verdicts[i]), "want a failure that says %q, found %q", b.says, failures)
			t.Logf("caught: %s", failures[0])
		})
	}
}

func TestEachRuleCatchesABrokenServerAndEachFlawIsCaught(t *testing.T) {
	for _, r := range Rules() {
		assert.True(t, slices.ContainsFunc(brokenServers, func(b broken) bool { return b.rule == r.Name }),
			"no broken server shows that rule %q can fail", r.Name)
	}
	for f := flawless + 1; f < flawCount; f++ {
		assert.True(t, slices.ContainsFunc(brokenServers, func(b broken) bool { return b.flaw == f }),
			"flaw %d is not judged by any rule", f)
	}
	seen := map[string]bool{}
	for _, b := range brokenServers {
		key := fmt.Sprint(b.rule, "/", b.name)
		assert.False(t, seen[key], "%s is there twice", key)
		seen[key] = true
	}
}
