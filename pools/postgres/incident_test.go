package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/postgres"
	"netbench/testenv/services"
	"netbench/testenv/services/servicetest"
)

// The incident: a query that takes 50 ms of waiting at the server, not of its
// CPU, so that a connection serves 20 a second and five serve 100, before 200
// callers a second who each have half a second.
const (
	slowQuery  = "SELECT 1 FROM pg_sleep(0.05)"
	callers    = 200 // a second
	patience   = 500 * time.Millisecond
	mostAtOnce = 400 // callers under way; the rate and patience make 100
)

// incident is what one pool made of the load.
type incident struct {
	settings postgres.Settings
	outcome  *pools.Outcome
	end      postgres.Sample
	waits    postgres.Waits
	alerts   []told
}

// told is an alert and the number of samples that had been taken then.
type told struct {
	pools.Alert
	samples int
}

// happen puts the load on a pool that is watched.
func happen(t *testing.T, dsn string, s postgres.Settings, every, duration time.Duration) incident {
	t.Helper()
	db, err := postgres.Open(t.Context(), dsn, s)
	if !assert.NoError(t, err) {
		return incident{outcome: &pools.Outcome{}}
	}
	defer db.Close()
	in := incident{settings: s}
	limits := postgres.DefaultLimits()
	limits.Every = every
	var mu sync.Mutex
	began := time.Now()
	m, err := db.Watch(t.Context(), limits, func(a pools.Alert) {
		mu.Lock()
		defer mu.Unlock()
		in.alerts = append(in.alerts, told{a, 1 + int((a.At.Sub(began)+every/2)/every)})
	})
	if !assert.NoError(t, err) {
		return incident{outcome: &pools.Outcome{}}
	}
	defer m.Stop()
	in.outcome, err = pools.Drive(t.Context(), pools.Load{
		Workers: mostAtOnce, Rate: callers, For: duration, Timeout: patience, Seed: 5,
	}, func(ctx context.Context) error { return db.Query(ctx, slowQuery) })
	assert.NoError(t, err)
	m.Stop()
	in.end, in.waits = db.Sample(), postgres.SummarizeWaits(db.Waits())
	return in
}

func (in incident) rules() map[string]told {
	first := map[string]told{}
	for _, a := range in.alerts {
		if _, ok := first[a.Rule]; !ok {
			first[a.Rule] = a
		}
	}
	return first
}

func TestTheIncidentTimesOutOnAnUndersizedPoolAndPassesOnTheRecommendedOne(t *testing.T) {
	dsn := fresh(t, servicetest.Postgres(t, services.PostgresOptions{MaxConnections: 60}))
	const every, duration = time.Second, 3 * time.Second
	var bad, good incident
	var both sync.WaitGroup // at once: sleeping queries leave the CPUs to each other
	both.Go(func() { bad = happen(t, dsn, postgres.Undersized(), every, duration) })
	both.Go(func() { good = happen(t, dsn, postgres.Recommended(), every, duration) })
	both.Wait()
	require.False(t, t.Failed())
	for _, in := range []incident{bad, good} {
		t.Logf("%v: %d done, %d late, %d failed otherwise, p99 %v; waits %v; %v",
			in.settings, in.outcome.Done, in.outcome.Late, in.outcome.Failed-in.outcome.Late, in.outcome.P(99), in.waits, in.end)
		for _, a := range in.alerts {
			t.Logf("after %d samples: %v", a.samples, a.Alert)
		}
	}

	assert.Greater(t, bad.outcome.Late, int64(callers/2), "of some 600, of which five connections can serve 300")
	assert.Less(t, good.outcome.Failed, bad.outcome.Late/10)
	assert.Greater(t, good.outcome.Done, bad.outcome.Done)
	assert.Greater(t, bad.end.WaitCount, int64(callers))
	assert.Less(t, good.end.WaitCount, bad.end.WaitCount/2)

	waits, ok := bad.rules()[postgres.RuleWaits]
	require.True(t, ok, "the monitor names the cause")
	assert.LessOrEqual(t, waits.samples, 3, "the one at the start and two more")
	assert.Contains(t, waits.Cause, "all 5 connections were taken")
	assert.Contains(t, waits.Advice, "raise MaxOpen from 5")
	assert.Contains(t, bad.rules(), postgres.RuleInUse)
	assert.Contains(t, bad.rules(), postgres.RuleGaveUp)
	assert.Less(t, len(good.alerts), len(bad.alerts))
}
