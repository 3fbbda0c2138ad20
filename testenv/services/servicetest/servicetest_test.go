package servicetest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/testenv/services"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a test that tells how it ended.
type recorder struct {
	testing.TB
	skipped, failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Skipf(string, ...any)  { r.skipped = true; panic(r) }
func (r *recorder) Fatalf(string, ...any) { r.failed = true; panic(r) }
func (r *recorder) Fatal(...any)          { r.failed = true; panic(r) }

func TestAnAbsentServiceSkipsAndFailsWhereItIsRequired(t *testing.T) {
	t.Setenv(services.EnvPostgres, "")
	t.Setenv(services.EnvRedis, "")
	t.Setenv("NETBENCH_REQUIRE", "")
	absent := map[string]func(testing.TB){
		"postgres": func(tb testing.TB) { Postgres(tb, services.PostgresOptions{Binaries: "/no/such"}) },
		"redis":    func(tb testing.TB) { Redis(tb, services.RedisOptions{Binary: "/no/such", RealOnly: true}) },
	}
	for name, start := range absent {
		r := &recorder{TB: t}
		require.Panics(t, func() { start(r) }, name)
		assert.True(t, r.skipped, name)
	}
	t.Setenv("NETBENCH_REQUIRE", "postgres,redis")
	for name, start := range absent {
		r := &recorder{TB: t}
		require.Panics(t, func() { start(r) }, name)
		assert.True(t, r.failed, name)
	}
}

func TestAStandInDoesNotDoWhereRedisIsRequired(t *testing.T) {
	t.Setenv(services.EnvRedis, "")
	t.Setenv("NETBENCH_REQUIRE", "")
	t.Run("not required", func(t *testing.T) {
		assert.False(t, Redis(t, services.RedisOptions{Binary: "/no/such"}).Info().Real())
	})
	t.Setenv("NETBENCH_REQUIRE", "redis")
	r := &recorder{TB: t}
	require.Panics(t, func() { Redis(r, services.RedisOptions{Binary: "/no/such"}) })
	assert.True(t, r.failed)
}

func TestAServiceThatBreaksFailsATest(t *testing.T) {
	t.Setenv(services.EnvRedis, "not an address")
	t.Setenv("NETBENCH_REQUIRE", "")
	r := &recorder{TB: t}
	require.Panics(t, func() { Redis(r, services.RedisOptions{}) })
	assert.True(t, r.failed)
	assert.False(t, r.skipped)
}
