package services_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/testenv/services"
	"netbench/testenv/services/servicetest"
)

func postgresWithin(o services.PostgresOptions) services.PostgresOptions {
	o.StartTimeout = time.Minute // the machine may be busy
	return o
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func passwordOf(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	password, _ := u.User.Password()
	require.NotEmpty(t, password)
	return password
}

func TestPostgresByLocalBinaryTellsItsRungAndSettings(t *testing.T) {
	leaveNothing(t)
	var log bytes.Buffer
	began := time.Now()
	p := servicetest.Postgres(t, postgresWithin(services.PostgresOptions{MaxConnections: 17, SharedBuffers: "16MB", Log: &log}))
	t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
	info := p.Info()
	assert.Equal(t, services.LocalBinary, info.Rung)
	assert.True(t, info.Real())
	assert.Contains(t, info.Reason, services.EnvPostgres+" is not set")
	assert.Regexp(t, `^\d+\.\d+`, info.Version)
	assert.Equal(t, map[string]string{
		"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "17", "shared_buffers": "16MB",
	}, info.Settings)
	if os.Geteuid() == 0 {
		assert.Contains(t, info.Reason, "as user ", "PostgreSQL does not run as root")
	}
	before, err := p.CPU()
	require.NoError(t, err)
	require.NoError(t, open(t, p.DSN()).Ping())
	after, err := p.CPU()
	require.NoError(t, err)
	assert.Positive(t, before)
	assert.GreaterOrEqual(t, after, before)

	password := passwordOf(t, p.DSN())
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		assert.NotContains(t, fmt.Sprintf(format, p), password)
		assert.NotContains(t, fmt.Sprintf(format, *p), password)
	}
	require.NoError(t, p.Stop(t.Context()))
	assert.NotContains(t, log.String(), password)
	assert.NotEmpty(t, log.String())
}

func TestADurablePostgresSaysSo(t *testing.T) {
	leaveNothing(t)
	p := servicetest.Postgres(t, postgresWithin(services.PostgresOptions{Durable: true}))
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		assert.Equal(t, "on", p.Info().Settings[name], name)
	}
}

func TestEveryCallerGetsAFreshDatabaseAndARestartKeepsIt(t *testing.T) {
	leaveNothing(t)
	p := servicetest.Postgres(t, postgresWithin(services.PostgresOptions{}))
	template, err := p.Template(t.Context(), func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "CREATE TABLE word (text text); INSERT INTO word VALUES ('first')")
		return err
	})
	require.NoError(t, err)
	a, err := p.FreshFrom(t.Context(), template)
	require.NoError(t, err)
	b, err := p.FreshFrom(t.Context(), template)
	require.NoError(t, err)
	assert.NotEqual(t, a.Name(), b.Name())
	dbA, dbB := open(t, a.DSN()), open(t, b.DSN())
	_, err = dbA.Exec("INSERT INTO word VALUES ('second')")
	require.NoError(t, err)
	words := func(db *sql.DB) (n int) {
		require.NoError(t, db.QueryRow("SELECT count(*) FROM word").Scan(&n))
		return n
	}
	assert.Equal(t, 2, words(dbA))
	assert.Equal(t, 1, words(dbB))

	addr := p.Info().Addr
	var started, again time.Time
	require.NoError(t, dbA.QueryRow("SELECT pg_postmaster_start_time()").Scan(&started))
	require.NoError(t, p.Restart(t.Context()))
	fresh := open(t, a.DSN())
	require.NoError(t, fresh.QueryRow("SELECT pg_postmaster_start_time()").Scan(&again))
	assert.True(t, again.After(started), "it was really restarted")
	assert.Equal(t, addr, p.Info().Addr)
	assert.Equal(t, 2, words(fresh))

	// With a connection open, and twice.
	require.NoError(t, a.Release(t.Context()))
	require.NoError(t, a.Release(t.Context()))
	assert.ErrorContains(t, open(t, a.DSN()).Ping(), "does not exist")
	_, err = p.Template(t.Context(), func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "CREATE NONSENSE")
		return err
	})
	assert.ErrorContains(t, err, "syntax error")
	var left int
	require.NoError(t, open(t, p.DSN()).QueryRow("SELECT count(*) FROM pg_database WHERE datname LIKE 'netbench_%'").Scan(&left))
	assert.Equal(t, 2, left, "the template and b")
}

func TestNothingOfPostgresOutlivesAKilledParent(t *testing.T) {
	// It skips here, if so, and not in the process that is killed.
	require.NoError(t, servicetest.Postgres(t, postgresWithin(services.PostgresOptions{})).Stop(t.Context()))
	outlive(t, "postgres", 5)
}

func TestAGivenPostgresIsUsedAndLeftAlone(t *testing.T) {
	leaveNothing(t)
	theirs := servicetest.Postgres(t, postgresWithin(services.PostgresOptions{}))
	t.Setenv(services.EnvPostgres, theirs.DSN())
	p, err := services.StartPostgres(t.Context(), services.PostgresOptions{})
	require.NoError(t, err)
	assert.Equal(t, services.Given, p.Info().Rung)
	assert.Equal(t, theirs.Info().Addr, p.Info().Addr)
	assert.ErrorContains(t, p.Restart(t.Context()), "not ours")
	_, err = p.CPU()
	assert.ErrorContains(t, err, "not ours")
	d, err := p.Fresh(t.Context())
	require.NoError(t, err)
	require.NoError(t, open(t, d.DSN()).Ping())
	require.NoError(t, d.Release(t.Context()))
	require.NoError(t, p.Stop(t.Context()))
	require.NoError(t, open(t, theirs.DSN()).Ping())

	u, err := url.Parse(theirs.DSN())
	require.NoError(t, err)
	words := fmt.Sprintf("host=127.0.0.1 port=%s user=%s dbname=postgres sslmode=disable password=", u.Port(), u.User.Username())
	t.Setenv(services.EnvPostgres, words+passwordOf(t, theirs.DSN()))
	p, err = services.StartPostgres(t.Context(), services.PostgresOptions{})
	require.NoError(t, err)
	d, err = p.Fresh(t.Context())
	require.NoError(t, err)
	var name string
	require.NoError(t, open(t, d.DSN()).QueryRow("SELECT current_database()").Scan(&name))
	assert.Equal(t, d.Name(), name)
	require.NoError(t, d.Release(t.Context()))

	t.Setenv(services.EnvPostgres, words+"xyzzy-wrong")
	_, err = services.StartPostgres(t.Context(), services.PostgresOptions{})
	require.ErrorContains(t, err, "password authentication failed")
	assert.NotContains(t, err.Error(), "xyzzy-wrong")
	assert.NotContains(t, err.Error(), "\n")
}

func TestAGivenPostgresThatCannotBeUsedIsAnErrorAndNoOtherIsTaken(t *testing.T) {
	leaveNothing(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refusing := l.Addr().String()
	require.NoError(t, l.Close())
	for name, tc := range map[string]struct{ dsn, want string }{
		"no URL":      {"postgres://me:xyzzy%zz@host/db", "does not parse"},
		"no port":     {"postgres://me:xyzzy", "does not parse"},
		"no word":     {"xyzzy xyzzy", "does not parse"},
		"bad setting": {"host=localhost password=xyzzy sslmode=xyzzy", "does not parse"},
		"refused":     {"postgres://me:xyzzy@" + refusing + "/db?sslmode=disable", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(services.EnvPostgres, tc.dsn)
			_, err := services.StartPostgres(t.Context(), services.PostgresOptions{})
			require.ErrorContains(t, err, tc.want)
			assert.ErrorContains(t, err, services.EnvPostgres)
			assert.NotContains(t, err.Error(), "xyzzy")
			assert.NotContains(t, err.Error(), "\n")
			var absent *services.AbsentError
			assert.NotErrorAs(t, err, &absent)
		})
	}
}

// programs makes a directory with these shell scripts, for users of all kinds.
func programs(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "nb-programs-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	for name, script := range scripts {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	}
	return dir
}

func TestAPostgresThatDoesNotStartIsAbsentWithItsLastWords(t *testing.T) {
	leaveNothing(t)
	secrets := `for a; do case $a in --pwfile=*) cat "${a#--pwfile=}" >&2;; esac; done; `
	for name, tc := range map[string]struct {
		initdb, postgres string
		timeout          time.Duration
		want             []string
	}{
		"initdb fails":   {secrets + "echo the disk is full >&2; exit 3", "exit 0", time.Minute, []string{"exit status 3", "it wrote: the disk is full"}},
		"initdb hangs":   {"exec sleep 300", "exit 0", time.Second, []string{"not ready within 1s"}},
		"shows secrets":  {secrets + "exit 3", "exit 0", time.Minute, []string{"exit status 3", "it wrote: (hidden)"}},
		"server ends":    {"exit 0", "echo no such page >&2; exit 4", time.Minute, []string{"exit status 4", "it wrote: no such page"}},
		"server hangs":   {"exit 0", "exec sleep 300", time.Second, []string{"not ready within 1s", "connection refused"}},
		"no such server": {"exit 0", "", time.Minute, []string{"no postgres and initdb in "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scripts := map[string]string{"initdb": tc.initdb, "postgres": tc.postgres}
			if tc.postgres == "" {
				delete(scripts, "postgres")
			}
			_, err := services.StartPostgres(context.Background(), services.PostgresOptions{Binaries: programs(t, scripts), StartTimeout: tc.timeout})
			var absent *services.AbsentError
			require.ErrorAs(t, err, &absent)
			assert.Len(t, absent.Reasons, 4, "one for each rung")
			for _, want := range append(tc.want, "given address: ", "local binary: ", "container: ", "stand-in: ") {
				assert.ErrorContains(t, err, want)
			}
			assert.Zero(t, strings.Count(err.Error(), "\n"))
		})
	}
}

func TestBadPostgresOptionsAreNamed(t *testing.T) {
	_, err := services.StartPostgres(t.Context(), services.PostgresOptions{MaxConnections: 3})
	assert.ErrorContains(t, err, "MaxConnections is 3")
}
