package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/postgres"
	"netbench/testenv"
	"netbench/testenv/services"
	"netbench/testenv/services/servicetest"
)

// What benchmarks and proofs have in common.
const (
	manyRows    = 100_000 // as pgbench at scale 1
	manyWorkers = 100
)

// contender is a way to keep connections.
type contender struct {
	name     string // as benchmarks have it
	pgx      bool
	settings postgres.Settings
	absent   string // why it cannot run
}

// keepAll are the recommended settings, but for all connections being kept idle,
// so that no pause of the callers closes any.
func keepAll() postgres.Settings {
	s := postgres.Recommended()
	s.MaxIdle = s.MaxOpen
	return s
}

var contenders = []contender{
	{"driver=pq/pool=recommended", false, postgres.Recommended(), ""},
	{"driver=pq/pool=all-kept", false, keepAll(), ""},
	{"driver=pq/pool=size-2", false, postgres.Sized(2), ""},
	{"driver=pq/pool=library-defaults", false, postgres.LibraryDefaults(), ""},
	{"driver=pgx/pool=recommended", true, postgres.Recommended(), ""},
	{"driver=pgx/pool=size-2", true, postgres.Sized(2), ""},
	{"driver=pgx/pool=library-defaults", true, postgres.LibraryDefaults(), "pgxpool always has a limit"},
}

// running is a contender's pool with what it measures.
type running interface {
	measured
	Waits() *hdrhistogram.Histogram
	ForgetWaits()
	Watch(context.Context, postgres.Limits, func(pools.Alert)) (*pools.Monitor[postgres.Sample], error)
}

// start opens the contender's pool, which is closed when t ends.
func (c contender) start(t testing.TB, dsn string, rows int) running {
	t.Helper()
	if c.pgx {
		return openPgx(t, dsn, c.settings).Lookups(rows)
	}
	return open(t, dsn, c.settings).Lookups(rows)
}

// roomy is a server that has connections for manyWorkers at once and for the
// other pools beside them, on CPUs of its own where there are some.
func roomy(t testing.TB) (*services.Postgres, testenv.Placement) {
	t.Helper()
	place, err := testenv.Place()
	require.NoError(t, err)
	require.NoError(t, testenv.PinSelf(place.Generator))
	return servicetest.Postgres(t, services.PostgresOptions{MaxConnections: 3 * manyWorkers, CPUs: place.Server}), place
}

// percentile is the p-th percentile of a histogram of nanoseconds; false if there
// are too few samples for it.
func percentile(h *hdrhistogram.Histogram, p float64) (float64, bool) {
	if float64(h.TotalCount())*(100-p) < 10*100 {
		return 0, false
	}
	return float64(h.ValueAtPercentile(p)), true
}

// often is how often pools are watched when the cost of that is measured: far
// more often than every 30 s, as otherwise there would be nothing to see.
const often = 20 * time.Millisecond
