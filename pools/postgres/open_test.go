package postgres_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/postgres"
	"netbench/testenv/services"
	"netbench/testenv/services/servicetest"
)

// openers open and close a pool of either sort.
var openers = map[string]func(ctx context.Context, dsn string, s postgres.Settings) error{
	"lib/pq": func(ctx context.Context, dsn string, s postgres.Settings) error {
		db, err := postgres.Open(ctx, dsn, s)
		if err != nil {
			return err
		}
		return db.Close()
	},
	"pgx": func(ctx context.Context, dsn string, s postgres.Settings) error {
		p, err := postgres.OpenPgx(ctx, dsn, s)
		if err != nil {
			return err
		}
		return p.Close()
	},
}

// clear checks that an error is one line without the password, which is xyzzy/1
// in these tests.
func clear(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
		text := fmt.Sprintf(verb, err)
		assert.NotContains(t, text, "xyzzy")
		assert.Zero(t, strings.Count(text, "\n"))
	}
	t.Log(err)
}

func TestOpeningSaysWhatIsWrongWithTheAddressWithoutThePassword(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts for it
	require.NoError(t, err)
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	rude, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer rude.Close()
	go func() {
		for c, err := rude.Accept(); err == nil; c, err = rude.Accept() {
			c.Close()
		}
	}()

	before := descriptors(t)
	s := postgres.Recommended()
	s.ConnectTimeout = 300 * time.Millisecond
	for name, tc := range map[string]struct{ dsn, want string }{
		"no URL":          {"postgres://me:xyzzy%2F1@ho st:5432/db?sslmode=disable", "the DSN does not parse"},
		"no port":         {"postgres://me:xyzzy%2F1@host:port/db", "the DSN does not parse"},
		"no words":        {"password=xyzzy/1 host", "the DSN does not parse"},
		"unclosed quote":  {"password='xyzzy/1 host=x", "the DSN does not parse"},
		"refused":         {"postgres://me:xyzzy%2F1@" + closed.Addr().String() + "/db?sslmode=disable", "connection refused"},
		"hangs up":        {"postgres://me:xyzzy%2F1@" + rude.Addr().String() + "/db?sslmode=disable", "connect to " + rude.Addr().String()},
		"never answers":   {"postgres://me:xyzzy%2F1@" + silent.Addr().String() + "/db?sslmode=disable", "no answer"},
		"silent with TLS": {"postgres://me:xyzzy%2F1@" + silent.Addr().String() + "/db?sslmode=require", "no answer"},
	} {
		for driver, open := range openers {
			t.Run(name+", "+driver, func(t *testing.T) {
				began := time.Now()
				err := open(t.Context(), tc.dsn, s)
				clear(t, err)
				assert.ErrorContains(t, err, tc.want)
				assert.Less(t, time.Since(began), 4*time.Second, "0.3 s are given")
			})
		}
	}
	assert.Equal(t, before, descriptors(t), "descriptors were left open")
}

func TestOpeningEndsWithItsContextBeforeASilentServer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	for driver, open := range openers {
		t.Run(driver, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			s := postgres.Recommended()
			s.ConnectTimeout = time.Minute
			err := open(ctx, "postgres://me:xyzzy%2F1@"+silent.Addr().String()+"/db?sslmode=disable", s)
			clear(t, err)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
}

func TestOpeningARealServerChecksPasswordSettingsAndSize(t *testing.T) {
	server := servicetest.Postgres(t, services.PostgresOptions{MaxConnections: 23})
	if got := server.Info().Settings["max_connections"]; got != "23" {
		t.Skipf("the server at a given address has %s connections, not 23", got)
	}
	dsn := server.DSN()
	wrong := parsed(t, dsn)
	wrong.User = url.UserPassword(wrong.User.Username(), "xyzzy/1")
	for driver, open := range openers {
		t.Run(driver, func(t *testing.T) {
			err := open(t.Context(), wrong.String(), postgres.Sized(5))
			clear(t, err)
			assert.ErrorContains(t, err, "password authentication failed")

			s := postgres.Sized(20)
			assert.NoError(t, open(t.Context(), dsn, s), "all that the server has for its clients")
			err = open(t.Context(), dsn, postgres.Sized(21))
			clear(t, err)
			assert.ErrorContains(t, err, "MaxOpen is 21, but the server has only 20 connections")

			s.MaxIdle = 21
			assert.ErrorContains(t, open(t.Context(), dsn, s), "MaxIdle is 21")
		})
	}
	err := openers["pgx"](t.Context(), dsn, postgres.LibraryDefaults())
	assert.ErrorContains(t, err, "MaxOpen is 0 (want 1")
	assert.NoError(t, openers["lib/pq"](t.Context(), dsn, postgres.LibraryDefaults()))
}

var (
	_ pools.Kind = postgres.Kind{}
	_ pools.Pool = (*postgres.Lookups)(nil)
	_ pools.Pool = (*postgres.PgxLookups)(nil)
)
