package containers

import (
	"bytes"
	"cmp"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/moby/moby/client"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/needs"
	"netbench/testenv/services"
)

// image skips a test where the image of a service is not there: tests fetch none.
func image(t testing.TB, variable, otherwise string) {
	t.Helper()
	engine(t)
	c, err := connect()
	require.NoError(t, err)
	defer c.Close()
	if _, err := c.ImageInspect(t.Context(), orDefault(variable, otherwise)); err != nil {
		needs.Skip(t, needs.Docker, fmt.Sprintf("%v (fetch it, or set %s)", err, variable))
	}
}

func orDefault(variable, otherwise string) string { return cmp.Or(os.Getenv(variable), otherwise) }

// nowhere makes the ladder miss the rung of local binaries.
const nowhere = "/no/such"

func postgres(t *testing.T, o services.PostgresOptions) *services.Postgres {
	t.Helper()
	image(t, EnvPostgresImage, DefaultPostgresImage)
	o.Binaries, o.StartTimeout = nowhere, time.Minute // the machine may be busy
	began := time.Now()
	p, err := services.StartPostgres(t.Context(), o)
	require.NoError(t, err)
	t.Logf("ready after %v: %v", time.Since(began).Round(time.Millisecond), p)
	return p
}

func redisServer(t *testing.T, o services.RedisOptions) *services.Redis {
	t.Helper()
	image(t, EnvRedisImage, DefaultRedisImage)
	o.Binary, o.StartTimeout, o.RealOnly = nowhere, time.Minute, true
	began := time.Now()
	r, err := services.StartRedis(t.Context(), o)
	require.NoError(t, err)
	t.Logf("ready after %v: %v", time.Since(began).Round(time.Millisecond), r)
	return r
}

func TestPostgresInAContainerKeepsItsDataOverARestart(t *testing.T) {
	image(t, EnvPostgresImage, DefaultPostgresImage)
	leaveNothing(t)
	var log bytes.Buffer
	p := postgres(t, services.PostgresOptions{MaxConnections: 17, Log: &log})
	defer func() { assert.NoError(t, p.Stop(t.Context())) }()
	notShown(t, passwordIn(t, p.DSN()))
	info := p.Info()
	assert.Equal(t, services.Container, info.Rung)
	assert.Equal(t, "17", info.Settings["max_connections"])
	assert.Equal(t, "off", info.Settings["fsync"])

	db, err := sql.Open("postgres", p.DSN())
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), "CREATE TABLE kept AS SELECT 42 AS answer")
	require.NoError(t, err)
	before, err := p.CPU()
	require.NoError(t, err)
	assert.Positive(t, before)

	require.NoError(t, p.Restart(t.Context()))
	var answer int
	// The connection of before is gone; database/sql makes another one.
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT answer FROM kept").Scan(&answer))
	assert.Equal(t, 42, answer)
	after, err := p.CPU()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, after, before)
	fresh, err := p.Fresh(t.Context())
	require.NoError(t, err)
	assert.NotEqual(t, p.DSN(), fresh.DSN())

	require.NoError(t, db.Close())
	require.NoError(t, p.Stop(t.Context()))
	assert.NotEmpty(t, log.String())
	assert.NotContains(t, log.String(), passwordIn(t, p.DSN()))
}

func TestRedisInAContainerKeepsItsDataOverARestart(t *testing.T) {
	image(t, EnvRedisImage, DefaultRedisImage)
	leaveNothing(t)
	r := redisServer(t, services.RedisOptions{MaxClients: 77})
	defer func() { assert.NoError(t, r.Stop(t.Context())) }()
	notShown(t, r.Options().Password)
	assert.Equal(t, services.Container, r.Info().Rung)
	assert.Equal(t, "77", r.Info().Settings["maxclients"])
	c := redis.NewClient(r.Options())
	defer c.Close()
	require.NoError(t, c.Set(t.Context(), "word", "kept", 0).Err())
	require.NoError(t, r.Restart(t.Context()))
	value, err := c.Get(t.Context(), "word").Result()
	require.NoError(t, err)
	assert.Equal(t, "kept", value)
	used, err := r.CPU()
	require.NoError(t, err)
	assert.Positive(t, used)
}

// notShown fails the test if what the engine tells of containers has a password in it.
func notShown(t *testing.T, password string) {
	t.Helper()
	c, err := connect()
	require.NoError(t, err)
	defer c.Close()
	names := containers(t, os.Getpid())
	require.NotEmpty(t, names)
	for _, name := range names {
		found, err := c.ContainerInspect(t.Context(), name, client.ContainerInspectOptions{})
		require.NoError(t, err)
		assert.NotContains(t, string(found.Raw), password)
	}
}

func passwordIn(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	password, ok := u.User.Password()
	require.True(t, ok)
	return password
}
