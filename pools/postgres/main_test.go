package postgres_test

import (
	"context"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/pools/postgres"
	"netbench/testenv"
	"netbench/testenv/containers"
	"netbench/testenv/services"
)

func TestMain(m *testing.M) {
	testenv.Main(nil, containers.Use()...)
	goleak.VerifyTestMain(m)
}

// rows are in the table of a database that these tests fill.
const rows = 1000

// fresh is a database of t's own whose table is filled.
func fresh(t testing.TB, server *services.Postgres) string {
	t.Helper()
	return template(t, server, rows).DSN()
}

// template is a database with so many rows, t's own, to use or to copy.
func template(t testing.TB, server *services.Postgres, rows int) *services.Database {
	t.Helper()
	db := owned(t, server.Fresh)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, postgres.Fill(ctx, db.DSN(), rows))
	return db
}

// copied is a copy of a template, t's own. Nobody may be connected to the template.
func copied(t testing.TB, server *services.Postgres, template *services.Database) string {
	t.Helper()
	return owned(t, func(ctx context.Context) (*services.Database, error) { return server.FreshFrom(ctx, template) }).DSN()
}

// owned is a database that is released when t ends.
func owned(t testing.TB, create func(context.Context) (*services.Database, error)) *services.Database {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db, err := create(ctx)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, db.Release(ctx))
	})
	return db
}

// open is a pool that is closed when t ends.
func open(t testing.TB, dsn string, s postgres.Settings) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), dsn, s)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// openPgx is a pool of pgx that is closed when t ends.
func openPgx(t testing.TB, dsn string, s postgres.Settings) *postgres.Pgx {
	t.Helper()
	p, err := postgres.OpenPgx(t.Context(), dsn, s)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// parsed is a DSN that is a URL, as those of servers that are started here.
func parsed(t testing.TB, dsn string) *url.URL {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil || u.User == nil {
		t.Skip("the DSN of the given server is no URL with a user")
	}
	return u
}

// at is a DSN with another address.
func at(t testing.TB, dsn, address string) string {
	t.Helper()
	u := parsed(t, dsn)
	u.Host = address
	return u.String()
}

// descriptors that this process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Logf("no descriptors are counted: %v", err)
		return 0
	}
	return len(list)
}
