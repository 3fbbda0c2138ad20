package strategies_test

import (
	"context"
	"database/sql"
	"net/url"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/models/goroutine"
	"netbench/pools"
	httppool "netbench/pools/http"
	"netbench/pools/postgres"
	redispool "netbench/pools/redis"
	"netbench/testenv"
	"netbench/testenv/services"
	"netbench/testenv/services/servicetest"
)

// serverBears is how long real servers here keep a connection that is idle.
const serverBears = 2 * time.Second

// subject is a kind of pool before a real server, on a way that can stand still.
type subject struct {
	kind    pools.Kind
	server  string // in one line
	restart func(context.Context) error
	stall   func(context.Context, time.Duration) error
}

// subjects are all there are, by name. Each starts its server, or skips the test.
var subjects = map[string]func(testing.TB) subject{
	"http":           httpSubject,
	postgres.Name:    func(t testing.TB) subject { return postgresSubject(t, postgres.NewKind) },
	postgres.NamePgx: func(t testing.TB) subject { return postgresSubject(t, postgres.NewPgxKind) },
	"redis":          redisSubject,
}

// httpSubject restarts its server by leading the way to a new one.
func httpSubject(t testing.TB) subject {
	var server *testenv.Server
	start := func(ctx context.Context) (err error) {
		server, err = testenv.StartServer(ctx, testenv.ServerSpec{
			Model: goroutine.Name, Service: "http", Config: models.Config{IdleTimeout: serverBears},
		})
		return err
	}
	require.NoError(t, start(t.Context()))
	t.Cleanup(func() { require.NoError(t, server.Stop(context.Background())) })
	way := newWay(t, server.Addr())
	kind, err := httppool.NewKind("http://"+way.Addr()+"/plaintext", httppool.Recommended())
	require.NoError(t, err)
	return subject{
		kind: kind, server: "the goroutine model, in a process of its own", stall: way.stall,
		restart: func(ctx context.Context) error {
			if err := server.Stop(ctx); err != nil {
				return err
			}
			if err := start(ctx); err != nil {
				return err
			}
			return way.Lead(server.Addr())
		},
	}
}

func postgresSubject(t testing.TB, kindOf func(dsn string, rows int) postgres.Kind) subject {
	const rows = 1000
	server := servicetest.Postgres(t, services.PostgresOptions{})
	if server.Info().Rung == services.Given {
		t.Skip("the server at the given address is not ours to restart")
	}
	db, err := server.Fresh(t.Context())
	require.NoError(t, err)
	require.NoError(t, postgres.Fill(t.Context(), db.DSN(), rows))
	own, err := sql.Open("postgres", db.DSN())
	require.NoError(t, err)
	defer own.Close()
	_, err = own.Exec("ALTER DATABASE " + pq.QuoteIdentifier(db.Name()) + " SET idle_session_timeout = '" + serverBears.String() + "'")
	require.NoError(t, err)

	way := newWay(t, server.Info().Addr)
	dsn, err := url.Parse(db.DSN())
	require.NoError(t, err)
	dsn.Host = way.Addr()
	return subject{
		kind: kindOf(dsn.String(), rows), server: "PostgreSQL " + server.Info().Version,
		restart: server.Restart, stall: way.stall,
	}
}

func redisSubject(t testing.TB) subject {
	server := servicetest.Redis(t, services.RedisOptions{RealOnly: true})
	if server.Info().Rung == services.Given {
		t.Skip("the server at the given address is not ours to restart")
	}
	bear := func(ctx context.Context) error { // a restarted server has forgotten it
		pool, err := redispool.Open(ctx, server.Options(), redispool.Recommended().Sized(1))
		if err != nil {
			return err
		}
		defer pool.Close()
		return pool.Client().ConfigSet(ctx, "timeout", "2").Err()
	}
	require.NoError(t, bear(t.Context()))
	way := newWay(t, server.Info().Addr)
	options := server.Options()
	options.Addr = way.Addr()
	return subject{
		kind: redispool.Kind{Base: options}, server: "Redis " + server.Info().Version, stall: way.stall,
		restart: func(ctx context.Context) error {
			if err := server.Restart(ctx); err != nil {
				return err
			}
			return bear(ctx)
		},
	}
}
