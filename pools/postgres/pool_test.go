package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/postgres"
	"netbench/testenv/faults"
	"netbench/testenv/services"
	"netbench/testenv/services/servicetest"
)

// measured is what both sorts of pools have beyond a pools.Pool.
type measured interface {
	pools.Pool
	Sample() postgres.Sample
}

// One server does for all of these, as it takes longer to start than most of the tests.
// Each has a database of its own, a copy of one.
func TestBeforeARealServer(t *testing.T) {
	server := servicetest.Postgres(t, services.PostgresOptions{MaxConnections: 40})
	filled := template(t, server, rows)
	for name, test := range map[string]func(t *testing.T, server *services.Postgres, dsn string){
		"BothKindsLookUpRowsAndCountWhatTheyDo":               bothKindsLookUpRowsAndCountWhatTheyDo,
		"AWarmPoolDialsNoMore":                                aWarmPoolDialsNoMore,
		"TheHistogramHasEachAcquisitionAndThoseWhoGaveUp":     theHistogramHasEachAcquisitionAndThoseWhoGaveUp,
		"ATimeOutDuringAQueryIsOneAndCostsLibPQItsConnection": aTimeOutDuringAQueryIsOneAndCostsLibPQItsConnection,
		"APoolGoesOnAfterItsServerRestarted":                  aPoolGoesOnAfterItsServerRestarted,
		"AQueryOverALinkThatStallsEndsInTime":                 aQueryOverALinkThatStallsEndsInTime,
		"APoolWhoseConnectionsWereResetCloses":                aPoolWhoseConnectionsWereResetCloses,
		"AWatchedPoolTellsOfConnectionsThatItThrowsAway":      aWatchedPoolTellsOfConnectionsThatItThrowsAway,
		"PrintingAPoolShowsNoPassword":                        printingAPoolShowsNoPassword,
	} {
		t.Run(name, func(t *testing.T) { test(t, server, copied(t, server, filled)) })
	}
}

func bothKindsLookUpRowsAndCountWhatTheyDo(t *testing.T, _ *services.Postgres, dsn string) {
	assert.ErrorContains(t, postgres.Fill(t.Context(), dsn, rows), "already exists")
	assert.ErrorContains(t, postgres.Fill(t.Context(), dsn, 0), "at least 1 is needed")
	before := descriptors(t)
	for _, k := range []postgres.Kind{postgres.NewKind(dsn, rows), postgres.NewPgxKind(dsn, rows)} {
		t.Run(k.Name(), func(t *testing.T) {
			ctx := t.Context()
			_, err := k.Open(ctx, 0)
			assert.ErrorContains(t, err, "at least 1 is needed")
			_, err = k.Open(ctx, 1_000_000)
			assert.ErrorContains(t, err, " connections for its clients")

			opened, err := k.Open(ctx, 4)
			require.NoError(t, err)
			p := opened.(measured)
			assert.Equal(t, pools.Stats{Max: 4}, p.Stats(), "none is open yet")

			o, err := pools.Drive(ctx, pools.Load{Workers: 16, For: 200 * time.Millisecond}, p.Do)
			require.NoError(t, err)
			require.NoError(t, o.First)
			st := p.Stats()
			assert.Equal(t, 4, st.Max)
			assert.LessOrEqual(t, st.Open, 4)
			assert.Zero(t, st.InUse)
			assert.Equal(t, st.Open, st.Idle)
			assert.GreaterOrEqual(t, st.Dials, int64(1))
			assert.Positive(t, st.Waits, "16 share 4")
			assert.Positive(t, st.Waited)
			assert.Zero(t, st.Timeouts)

			require.NoError(t, p.Warm(ctx, 2))
			assert.GreaterOrEqual(t, p.Stats().Idle, 2)
			assert.ErrorContains(t, p.Warm(ctx, 5), "warm 5 connections: 0 to ")
			assert.Error(t, p.Warm(ctx, -1))
			t.Log(p.Sample())

			require.NoError(t, p.Close())
			require.NoError(t, p.Close())
			assert.Error(t, p.Do(ctx))
		})
	}
	assert.Eventually(t, func() bool { return descriptors(t) == before }, 10*time.Second, time.Millisecond, "descriptors were left open")
}

func aWarmPoolDialsNoMore(t *testing.T, _ *services.Postgres, dsn string) {
	for name, p := range map[string]measured{
		"lib/pq": open(t, dsn, postgres.Sized(8)).Lookups(rows),
		"pgx":    openPgx(t, dsn, postgres.Sized(8)).Lookups(rows),
	} {
		require.NoError(t, p.Warm(t.Context(), 4), name)
		st := p.Stats()
		assert.Equal(t, 4, st.Idle, name)
		assert.Equal(t, int64(4), st.Dials, name)
		o, err := pools.Drive(t.Context(), pools.Load{Workers: 4, For: 50 * time.Millisecond}, p.Do)
		require.NoError(t, err)
		require.NoError(t, o.First)
		assert.Equal(t, int64(4), p.Stats().Dials, name)
	}
}

func theHistogramHasEachAcquisitionAndThoseWhoGaveUp(t *testing.T, _ *services.Postgres, dsn string) {
	db, px := open(t, dsn, postgres.Sized(1)), openPgx(t, dsn, postgres.Sized(1))
	for name, p := range map[string]struct {
		measured
		take    func(context.Context) (func(), error)
		waits   func() postgres.Waits
		warming error
	}{
		"lib/pq": {db.Lookups(rows), func(ctx context.Context) (func(), error) {
			c, err := db.Conn(ctx)
			return func() { _ = c.Close() }, err
		}, func() postgres.Waits { return postgres.SummarizeWaits(db.Waits()) }, db.Warm(t.Context(), 1)},
		"pgx": {px.Lookups(rows), func(ctx context.Context) (func(), error) {
			c, err := px.Pool().Acquire(ctx)
			return func() { c.Release() }, err
		}, func() postgres.Waits { return postgres.SummarizeWaits(px.Waits()) }, px.Warm(t.Context(), 1)},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, p.warming)
			assert.Zero(t, p.waits().N, "warming is nobody's waiting")

			giveBack, err := p.take(t.Context())
			require.NoError(t, err)
			assert.Equal(t, 1, p.Stats().InUse)
			const patience = 50 * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			require.ErrorIs(t, p.Do(ctx), context.DeadlineExceeded)
			giveBack()
			require.NoError(t, p.Do(t.Context()))

			w := p.waits()
			assert.Equal(t, int64(3), w.N)
			assert.Equal(t, time.Duration(pools.Absent), w.P50, "three do not make a median")
			assert.GreaterOrEqual(t, w.Max, patience*9/10)
			assert.Equal(t, int64(1), p.Stats().Timeouts)
			assert.Equal(t, 0, p.Stats().InUse)
		})
	}
}

func aTimeOutDuringAQueryIsOneAndCostsLibPQItsConnection(t *testing.T, _ *services.Postgres, dsn string) {
	db := open(t, dsn, postgres.Sized(1))
	for _, query := range []func(context.Context, string) error{db.Query, openPgx(t, dsn, postgres.Sized(1)).Query} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		assert.ErrorIs(t, query(ctx, "SELECT 1 FROM pg_sleep(20)"), context.DeadlineExceeded)
		assert.Less(t, time.Since(began), 10*time.Second)
		assert.NoError(t, query(t.Context(), "SELECT 1"), "the pool goes on")
		assert.ErrorContains(t, query(t.Context(), "SELECT nothing"), `column "nothing" does not exist`)
	}
	assert.Equal(t, int64(2), db.Stats().Dials)
	assert.Zero(t, db.Stats().Timeouts, "it had a connection")
}

func aPoolGoesOnAfterItsServerRestarted(t *testing.T, server *services.Postgres, dsn string) {
	db := open(t, dsn, postgres.Sized(8)).Lookups(rows)
	require.NoError(t, db.Warm(t.Context(), 4))
	if server.Info().Rung == services.Given {
		t.Skip("a server at a given address is not restarted")
	}
	require.NoError(t, server.Restart(t.Context()))
	for range 4 {
		assert.NoError(t, db.Do(t.Context()), "stale connections are replaced")
	}
}

func printingAPoolShowsNoPassword(t *testing.T, _ *services.Postgres, dsn string) {
	u := parsed(t, dsn)
	password, _ := u.User.Password()
	require.NotEmpty(t, password)
	db, p := open(t, dsn, postgres.Sized(4)), openPgx(t, dsn, postgres.Sized(4))
	for _, shown := range []any{db, p, db.Sample(), p.Sample(), db.Remarks(), p.Remarks()} {
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			assert.NotContains(t, fmt.Sprintf(verb, shown), password)
		}
	}
	assert.Contains(t, db.String(), "lib/pq before PostgreSQL ")
	assert.Contains(t, strings.Join(p.Remarks(), "\n"), "MaxIdle 2 is not heeded")
	assert.Contains(t, strings.Join(p.Remarks(), "\n"), "IdleTime 10m0s is inert")
}

func aWatchedPoolTellsOfConnectionsThatItThrowsAway(t *testing.T, _ *services.Postgres, dsn string) {
	for rule, s := range map[string]postgres.Settings{
		postgres.RuleIdle:     {MaxOpen: 4, MaxIdle: 0},
		postgres.RuleLifetime: {MaxOpen: 4, MaxIdle: 4, Lifetime: time.Millisecond},
		postgres.RuleIdleTime: {MaxOpen: 4, MaxIdle: 4, IdleTime: time.Millisecond},
	} {
		t.Run(rule, func(t *testing.T) {
			db := open(t, dsn, s).Lookups(rows)
			limits := postgres.DefaultLimits()
			limits.Every, limits.Turnover = 5*time.Millisecond, 0
			told := make(chan pools.Alert, 1)
			m, err := db.Watch(t.Context(), limits, func(a pools.Alert) {
				if a.Rule == rule {
					select {
					case told <- a:
					default:
					}
				}
			})
			require.NoError(t, err)
			defer m.Stop()
			var alert pools.Alert
			// Idle connections that are too old are looked for once a second.
			require.Eventually(t, func() bool {
				assert.NoError(t, db.Do(t.Context()))
				select {
				case alert = <-told:
					return true
				default:
					return false
				}
			}, 10*time.Second, 2*time.Millisecond)
			assert.Positive(t, alert.Value)
			assert.Contains(t, alert.Cause, "opened anew")
			assert.Contains(t, alert.Advice, "raise ")
		})
	}
}

// before is the way to a server, which can be made to stall.
func before(t *testing.T, server *services.Postgres) *faults.Stream {
	t.Helper()
	link, err := faults.New(t.Context(), server.Info().Addr)
	require.NoError(t, err)
	t.Cleanup(link.Close)
	return link
}

func aPoolWhoseConnectionsWereResetCloses(t *testing.T, server *services.Postgres, dsn string) {
	link := before(t, server)
	db, err := postgres.Open(t.Context(), at(t, dsn, link.Addr()), postgres.Sized(2))
	require.NoError(t, err)
	require.NoError(t, db.Warm(t.Context(), 1))
	link.Reset()
	assert.NoError(t, db.Close())
}

func aQueryOverALinkThatStallsEndsInTime(t *testing.T, server *services.Postgres, dsn string) {
	link := before(t, server)
	s := postgres.Sized(2)
	s.ConnectTimeout = 500 * time.Millisecond
	db := open(t, at(t, dsn, link.Addr()), s).Lookups(rows)
	require.NoError(t, db.Do(t.Context()))

	link.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	assert.ErrorIs(t, db.Do(ctx), context.DeadlineExceeded)
	assert.Less(t, time.Since(began), 5*time.Second, "0.6 s are given")

	link.Heal()
	assert.NoError(t, db.Do(t.Context()))
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.Error(t, db.Query(ctx, "SELECT 1 FROM pg_sleep(10)"))
	assert.NoError(t, db.Query(t.Context(), "SELECT 1 FROM pg_sleep(0.6)"), "a longer query than the answer to a cancellation may take")
}
