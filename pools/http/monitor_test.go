package httppool_test

import (
	"context"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	httppool "netbench/pools/http"
)

// full is a host of which n connections are in use on average within a second.
func full(n float64) []httppool.Host {
	return []httppool.Host{{Addr: "h:80", Open: 50, Busy: time.Duration(n * float64(time.Second))}}
}

func TestJudgingNamesRuleCauseAndAdvice(t *testing.T) {
	type stats = httppool.Stats
	for name, c := range map[string]struct {
		now    stats
		rules  []string
		cause  string // of the first
		advice string
	}{
		"all is well":               {now: stats{KeepAlives: true, MaxPerHost: 50, Got: 1000, Requests: 1000, Reused: 950, Dials: 20, Waits: 100, Hosts: full(40)}},
		"too few requests to judge": {now: stats{KeepAlives: true, Got: 99, Requests: 99}},
		"idle limit": {
			now:   stats{KeepAlives: true, MaxIdlePerHost: 2, Got: 1000, Requests: 1000, Reused: 500, Dials: 500, Discarded: 300, Unused: 180, Waits: 101},
			rules: []string{"reuse", "waits", "dials"}, cause: "500 connections were opened, and closed were 300 that had served well and 180 that nobody needed at that moment, as MaxIdleConnsPerHost keeps 2",
			advice: "raise MaxIdleConnsPerHost",
		},
		"no keep-alive": {
			now:   stats{Got: 1000, Requests: 1000, Dials: 1000, Waits: 1000},
			rules: []string{"reuse", "waits", "dials"}, cause: "DisableKeepAlives", advice: "switch keep-alives on",
		},
		"bodies unread": {
			now:   stats{KeepAlives: true, Got: 100, Requests: 100, Dials: 90, Reused: 10, Undrained: 90, Waits: 90},
			rules: []string{"reuse", "dials"}, cause: "90 lost with replies that were closed unread", advice: "read replies to their end",
		},
		"server closes": {
			now:   stats{KeepAlives: true, Got: 1000, Requests: 1000, Dials: 200, Reused: 800},
			rules: []string{"reuse", "dials"}, cause: "200 connections were opened for 1000 requests", advice: "whether the server",
		},
		"TLS fails": {
			now:   stats{KeepAlives: true, Requests: 500, Dials: 500, Unused: 500, HandshakesFailed: 500, Waits: 500},
			rules: []string{"waits", "dials"}, cause: "500 failed in TLS's handshake", advice: "see the errors",
		},
		"nothing can be opened": {
			now:   stats{KeepAlives: true, Requests: 500, DialsFailed: 500, Waits: 500},
			rules: []string{"waits"}, cause: "500 connections could not be opened", advice: "see the errors",
		},
		"too small": {
			now:   stats{KeepAlives: true, MaxPerHost: 50, Got: 1000, Requests: 1000, Reused: 1000, Waits: 500, Queued: 500, Waited: time.Second, Hosts: full(49)},
			rules: []string{"waits", "in-use"}, cause: "requests wanted more than the 50 connections that MaxConnsPerHost permits to a host (h:80 has most in use): 500 waited for another to end, 0 gave up, 2ms on average",
			advice: "raise MaxConnsPerHost",
		},
		"nearly all in use": {
			now:   stats{KeepAlives: true, MaxPerHost: 50, Hosts: full(41)},
			rules: []string{"in-use"}, cause: "on average 41.0 of the 50", advice: "whether the host has become slow",
		},
	} {
		t.Run(name, func(t *testing.T) {
			alerts := httppool.RecommendedLimits().Judge(stats{}, c.now, time.Second)
			var rules []string
			for _, a := range alerts {
				rules = append(rules, a.Rule)
				assert.NotContains(t, a.String(), "\n")
			}
			require.Equal(t, c.rules, rules)
			if len(alerts) > 0 {
				assert.Contains(t, alerts[0].Cause, c.cause)
				assert.Contains(t, alerts[0].Advice, c.advice)
			}
			assert.Empty(t, httppool.RecommendedLimits().Judge(c.now, c.now, time.Second), "what is over is not told again")
			assert.Empty(t, httppool.Limits{MinRequests: 1}.Judge(stats{}, c.now, time.Second), "all rules are switched off")
		})
	}
}

func TestAHostThatBeganAnewIsNotBusyForNegativeTime(t *testing.T) {
	before := httppool.Stats{MaxPerHost: 50, Hosts: []httppool.Host{{Addr: "h:80", Busy: time.Hour}}}
	alerts := httppool.RecommendedLimits().Judge(before, httppool.Stats{MaxPerHost: 50, Hosts: full(45)}, time.Second)
	require.Len(t, alerts, 1)
	assert.InDelta(t, 0.9, alerts[0].Value, 1e-9)
}

func TestLimitsThatAreNotPermittedAreNamed(t *testing.T) {
	c := recommended(t)
	for field, change := range map[string]func(*httppool.Limits){
		"ReuseShare":     func(l *httppool.Limits) { l.ReuseShare = 90 },
		"MinRequests":    func(l *httppool.Limits) { l.MinRequests = 0 },
		"Waits":          func(l *httppool.Limits) { l.Waits = -1 },
		"InUse":          func(l *httppool.Limits) { l.InUse = math.NaN() },
		"DialsPerSecond": func(l *httppool.Limits) { l.DialsPerSecond = math.Inf(1) },
	} {
		l := httppool.RecommendedLimits()
		require.NoError(t, l.Validate())
		change(&l)
		_, err := c.Watch(t.Context(), time.Second, l, func(pools.Alert) {})
		var setting *httppool.SettingError
		require.ErrorAs(t, err, &setting, field)
		assert.Equal(t, field, setting.Field)
	}
	_, err := c.Watch(t.Context(), 0, httppool.RecommendedLimits(), func(pools.Alert) {})
	assert.ErrorContains(t, err, "at least 1 ms")
}

// alerts are those of a monitor, with the sample after which each came.
type alerts struct {
	mu  sync.Mutex
	all []pools.Alert
}

func (a *alerts) add(alert pools.Alert) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, alert)
}

func (a *alerts) since(n int) []pools.Alert {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]pools.Alert(nil), a.all[n:]...)
}

func TestTheMonitorNamesTheCauseWithinTwoSamplesAndIsSilentAfterwards(t *testing.T) {
	base := local(t)
	for name, c := range map[string]struct {
		change func(*httppool.Settings)
		rule   string
		cause  string
	}{
		"no keep-alive": {func(s *httppool.Settings) { s.DisableKeepAlives = true }, "reuse", "DisableKeepAlives"},
		"too small":     {func(s *httppool.Settings) { s.MaxConnsPerHost, s.MaxIdleConnsPerHost = 1, 1 }, "waits", "MaxConnsPerHost permits"},
	} {
		t.Run(name, func(t *testing.T) {
			client := recommended(t, c.change)
			limits := httppool.RecommendedLimits()
			limits.Waits, limits.MinRequests = 10, 10
			var heard alerts
			// Long enough for many requests on a machine that is busy.
			m, err := client.Watch(t.Context(), 250*time.Millisecond, limits, heard.add)
			require.NoError(t, err)
			defer m.Stop()
			_, from := m.Last()
			_, err = pools.Drive(t.Context(), pools.Load{Workers: 8, For: 600 * time.Millisecond}, func(ctx context.Context) error {
				_, err := client.Get(ctx, base+"/plaintext")
				return err
			})
			require.NoError(t, err)
			_, to := m.Last()
			require.GreaterOrEqual(t, to-from, 2)
			var found *pools.Alert
			for _, a := range heard.since(0) {
				if a.Rule == c.rule && found == nil {
					found = &a
				}
			}
			require.NotNil(t, found, "%v", heard.since(0))
			assert.Contains(t, found.Cause, c.cause)
			s, _ := m.Last()
			assert.Positive(t, s.Requests)

			// The next sample may still see the load, and its alerts come after it.
			over := func() int { _, n := m.Last(); return n }
			n := over()
			require.Eventually(t, func() bool { return over() >= n+2 }, 10*time.Second, time.Millisecond)
			told := len(heard.since(0))
			require.Eventually(t, func() bool { return over() >= n+4 }, 10*time.Second, time.Millisecond)
			assert.Empty(t, heard.since(told))
		})
	}
}
