// Package servicetest starts services for tests. A test that cannot have one is
// skipped with the reasons of every rung of the ladder, or fails if
// NETBENCH_REQUIRE lists the service (see internal/needs). Where it lists redis, a
// stand-in does not do.
package servicetest

import (
	"context"
	"errors"
	"testing"

	"netbench/internal/needs"
	"netbench/testenv/services"
)

// Postgres is a server for t, stopped when t ends.
func Postgres(t testing.TB, o services.PostgresOptions) *services.Postgres {
	t.Helper()
	p, err := services.StartPostgres(t.Context(), o)
	settle(t, needs.Postgres, err)
	t.Cleanup(func() { stop(t, p) })
	t.Log(p)
	return p
}

// Redis is a server for t, stopped when t ends.
func Redis(t testing.TB, o services.RedisOptions) *services.Redis {
	t.Helper()
	o.RealOnly = o.RealOnly || needs.Required(needs.Redis)
	r, err := services.StartRedis(t.Context(), o)
	settle(t, needs.Redis, err)
	t.Cleanup(func() { stop(t, r) })
	t.Log(r)
	return r
}

// settle ends a test that has no service.
func settle(t testing.TB, what string, err error) {
	t.Helper()
	var absent *services.AbsentError
	switch {
	case errors.As(err, &absent):
		needs.Skip(t, what, err)
	case err != nil:
		t.Fatal(err)
	}
}

// stop stops a service after its test.
func stop(t testing.TB, s interface{ Stop(context.Context) error }) {
	t.Helper()
	if err := s.Stop(context.Background()); err != nil { // the test's context has ended
		t.Error(err)
	}
}
