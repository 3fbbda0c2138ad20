package strategies_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/strategies"
)

// What counts is counted; how long it takes is the proof's.
func TestRealPoolsComeBackAfterTheirServerWasRestarted(t *testing.T) {
	for name, start := range subjects {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			r, err := strategies.Run(t.Context(), strategies.Plan{
				Kind: s.kind, Strategies: strategies.All(strategies.Check{Every: 20 * time.Millisecond, Timeout: 2 * time.Second}),
				Size: 2, Repeat: 1, Restart: s.restart, Settle: 100 * time.Millisecond,
			})
			require.NoError(t, err)
			require.Len(t, r.Rows, 6)
			for _, row := range r.Rows {
				assert.Zero(t, row.Lost, "%s, %s: %v", row.Situation, row.Strategy, row.Firsts[0].Err)
				require.NotEqual(t, pools.Absent, row.Dials, "these kinds count")
				assert.Positive(t, row.Took.Median)
			}
			lazy, warmed := find(t, r, "lazy", strategies.AfterStart), find(t, r, "warmed", strategies.AfterStart)
			assert.GreaterOrEqual(t, lazy.Dials, 1.0)
			assert.Zero(t, warmed.Dials, "its connections were open")
			lazy = find(t, r, "lazy", strategies.AfterRestart)
			assert.Zero(t, lazy.DialsBefore)
			assert.GreaterOrEqual(t, lazy.Dials, 1.0, "the old connections are dead")
		})
	}
}

func TestAProxyThatStandsStillLetsNothingPass(t *testing.T) {
	s := httpSubject(t)
	pool, err := strategies.Warmed(s.kind).Open(t.Context(), 1)
	require.NoError(t, err)
	defer pool.Close()
	call := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return pool.Do(ctx)
	}
	require.NoError(t, call(10*time.Second))
	ctx, cancel := context.WithCancel(t.Context())
	stall := make(chan error, 1)
	go func() { stall <- s.stall(ctx, time.Minute) }()
	require.Eventually(t, func() bool { return call(50*time.Millisecond) != nil }, 10*time.Second, time.Millisecond)
	assert.ErrorIs(t, call(50*time.Millisecond), context.DeadlineExceeded)
	cancel()
	require.ErrorIs(t, <-stall, context.Canceled)
	assert.NoError(t, call(10*time.Second))
}
