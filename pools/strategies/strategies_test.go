package strategies_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/strategies"
)

var check = strategies.Check{Every: time.Second, Timeout: 500 * time.Millisecond}

func TestALazyPoolOpensNothingAndAWarmOneAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			kind pools.Kind
			open int
		}{
			"fake-lazy":    {strategies.Lazy(newServer()), 0},
			"fake-warmed":  {strategies.Warmed(newServer()), 4},
			"fake-checked": {strategies.Checked(newServer(), check), 4},
		} {
			p, err := tc.kind.Open(t.Context(), 4)
			require.NoError(t, err)
			assert.Equal(t, name, tc.kind.Name())
			assert.Equal(t, tc.open, p.Stats().Idle, name)
			require.NoError(t, p.Do(t.Context()))
			require.NoError(t, p.Close())
			require.NoError(t, p.Close(), "a second Close does nothing")
		}
	})
}

func TestAPoolThatCannotBeWarmedIsClosed(t *testing.T) {
	for _, s := range strategies.All(check)[1:] {
		server := newServer()
		server.refuses = true
		_, err := s.Of(server).Open(t.Context(), 4)
		assert.ErrorContains(t, err, "warm a fake pool of 4: connection refused")
		assert.Zero(t, server.pools)
		_, err = s.Of(server).Open(t.Context(), 101)
		assert.EqualError(t, err, "size is 101 (the server permits 100)")
	}
}

func TestChecksThatMakeNoSenseAreRefused(t *testing.T) {
	for _, c := range []strategies.Check{{}, {Every: time.Second}, {Timeout: time.Second}, {Every: time.Microsecond, Timeout: time.Second}} {
		_, err := strategies.Checked(newServer(), c).Open(t.Context(), 1)
		assert.ErrorContains(t, err, "at least 1 ms and more than 0 are needed")
	}
}

func TestACheckReplacesDeadConnectionsBeforeACallerMeetsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		var told atomic.Int64
		c := check
		c.Failed = func(err error) {
			told.Add(1)
			assert.ErrorIs(t, err, errDead)
		}
		p, err := strategies.Checked(server, c).Open(t.Context(), 4)
		require.NoError(t, err)
		defer p.Close()
		time.Sleep(3 * time.Second)
		assert.EqualValues(t, 4, p.Stats().Dials, "live connections are left alone")
		assert.Zero(t, told.Load())

		require.NoError(t, server.restart(t.Context()))
		assert.ErrorIs(t, p.Do(t.Context()), errDead, "nobody has looked yet")
		time.Sleep(1500 * time.Millisecond)
		assert.NoError(t, p.Do(t.Context()))
		assert.Equal(t, 4, p.Stats().Idle)
		assert.EqualValues(t, 8, p.Stats().Dials)
		assert.EqualValues(t, 1, told.Load())
	})
}

func TestChecksEndWithThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		ctx, cancel := context.WithCancel(t.Context())
		p, err := strategies.Checked(server, check).Open(ctx, 2)
		require.NoError(t, err)
		cancel() // ended the opening; the pool lives on
		require.NoError(t, server.restart(t.Context()))
		time.Sleep(2 * time.Second)
		assert.Equal(t, int64(4), p.Stats().Dials)
		require.NoError(t, p.Close())
		require.NoError(t, server.restart(t.Context()))
		time.Sleep(time.Minute)
		assert.Equal(t, int64(4), p.Stats().Dials)
	})
}

func TestAPoolThatKeepsFewIdleConnectionsIsNotRefilledForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		server.keeps = 2
		p, err := strategies.Checked(server, check).Open(t.Context(), 5)
		require.NoError(t, err)
		defer p.Close()
		time.Sleep(time.Minute)
		assert.EqualValues(t, 5, p.Stats().Dials)
	})
}

func TestAPoolWithoutFiguresIsCheckedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		server.silent = true
		p, err := strategies.Checked(server, check).Open(t.Context(), 3)
		require.NoError(t, err)
		defer p.Close()
		require.NoError(t, server.restart(t.Context()))
		time.Sleep(1500 * time.Millisecond)
		assert.NoError(t, p.Do(t.Context()))
	})
}

func TestACheckLeavesConnectionsInUseAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		p, err := strategies.Checked(server, check).Open(t.Context(), 2)
		require.NoError(t, err)
		defer p.Close()
		before := p.Stats().Dials
		// Both connections are in use for the length of three checks.
		done := make(chan error, 2)
		go func() { assert.NoError(t, server.stall(t.Context(), 3500*time.Millisecond)) }()
		synctest.Wait()
		for range 2 {
			go func() { done <- p.Do(t.Context()) }()
		}
		require.NoError(t, <-done)
		require.NoError(t, <-done)
		assert.Equal(t, before, p.Stats().Dials)
	})
}

// planOf runs all strategies before a server.
func planOf(server *server) strategies.Plan {
	return strategies.Plan{
		Kind: server, Strategies: strategies.All(check), Size: 4,
		Idle: server.restart, Restart: server.restart, Stall: server.stall, StallFor: 5 * time.Second,
		Settle: 3 * time.Second, Repeat: 8, Timeout: time.Second, Patience: 10 * time.Second, Seed: 3,
	}
}

// find is the row of a strategy in a situation.
func find(t *testing.T, r *strategies.Report, strategy string, s strategies.Situation) strategies.Row {
	t.Helper()
	for _, row := range r.Rows {
		if row.Strategy == strategy && row.Situation == s {
			return row
		}
	}
	require.Failf(t, "no such row", "%s %s", strategy, s)
	return strategies.Row{}
}

func TestTheFirstRequestCostsWhatTheStrategyLeavesToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		r, err := strategies.Run(t.Context(), planOf(server))
		require.NoError(t, err)
		assert.Zero(t, server.pools, "every pool was closed")
		require.Len(t, r.Rows, 12)

		lazy := find(t, r, "lazy", strategies.AfterStart)
		assert.Equal(t, dialling+answering, lazy.Took.Median)
		assert.Equal(t, 1.0, lazy.Dials)
		assert.Zero(t, lazy.Opening.Median)
		assert.Len(t, lazy.Firsts, 8)
		warm := find(t, r, "warmed", strategies.AfterStart)
		assert.Equal(t, answering, warm.Took.Median)
		assert.Zero(t, warm.Dials)
		assert.Equal(t, 4*dialling, warm.Opening.Median)

		for _, s := range []strategies.Situation{strategies.AfterIdle, strategies.AfterRestart} {
			for _, strategy := range []string{"lazy", "warmed"} {
				row := find(t, r, strategy, s)
				assert.Equal(t, 4.0, row.Failures, "it meets four dead connections one after the other")
				assert.Equal(t, 8, row.Failed)
				assert.Zero(t, row.Lost)
				assert.Equal(t, 1.0, row.Dials)
				assert.Zero(t, row.DialsBefore)
				assert.GreaterOrEqual(t, row.Took.Min, dialling+answering)
			}
			row := find(t, r, "checked", s)
			assert.Zero(t, row.Failures)
			assert.Equal(t, answering, row.Took.Max)
			assert.Zero(t, row.Dials)
			assert.Equal(t, 4.0, row.DialsBefore, "the check opened them")
		}

		assert.Equal(t, answering, find(t, r, "warmed", strategies.AfterStall).Took.Median, "connections bear a stall")
		assert.Positive(t, find(t, r, "checked", strategies.AfterStall).DialsBefore,
			"a check with less patience than the stall is long throws good connections away")
	})
}

func TestARequestThatNeverSucceedsIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		p := planOf(server)
		p.Strategies = p.Strategies[:1]
		p.Idle, p.Restart, p.StallFor, p.Settle = nil, nil, time.Second, 0
		p.Stall = func(ctx context.Context, d time.Duration) error {
			go func() { assert.NoError(t, server.stall(ctx, time.Minute)) }()
			synctest.Wait() // until it stands still
			return nil
		}
		p.Timeout, p.Patience = time.Second, 3*time.Second
		p.Repeat = 1
		r, err := strategies.Run(t.Context(), p)
		require.NoError(t, err)
		require.Len(t, r.Rows, 2, "situations that cannot be brought about are left out")
		row := find(t, r, "lazy", strategies.AfterStall)
		assert.Equal(t, 1, row.Lost)
		assert.GreaterOrEqual(t, row.Took.Median, 3*time.Second)
		assert.ErrorIs(t, row.Firsts[0].Err, context.DeadlineExceeded)
		time.Sleep(2 * time.Minute)
	})
}

func TestARunThatIsInterruptedReturnsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := planOf(server)
		p.Restart = func(ctx context.Context) error { cancel(); return ctx.Err() }
		r, err := strategies.Run(ctx, p)
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorContains(t, err, "pool, restart: ")
		assert.Len(t, r.Rows, 6)
		assert.Zero(t, server.pools)
	})
}

func TestPlansThatMakeNoSenseAreRefused(t *testing.T) {
	for want, change := range map[string]func(*strategies.Plan){
		"a kind and at least one strategy": func(p *strategies.Plan) { p.Kind = nil },
		"at least one strategy":            func(p *strategies.Plan) { p.Strategies = nil },
		"size is 0":                        func(p *strategies.Plan) { p.Size = 0 },
		"repeat is -1":                     func(p *strategies.Plan) { p.Repeat = -1 },
		"settle -1ns":                      func(p *strategies.Plan) { p.Settle = -1 },
		"a stall of 0s":                    func(p *strategies.Plan) { p.StallFor = 0 },
	} {
		p := planOf(newServer())
		change(&p)
		_, err := strategies.Run(t.Context(), p)
		assert.ErrorContains(t, err, want)
	}
}
