package services_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/testenv/services"
)

func TestAGivenServerThatNeverAnswersIsGivenUpInTime(t *testing.T) {
	leaveNothing(t)
	// The kernel accepts for it.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	t.Setenv(services.EnvPostgres, "postgres://me:xyzzy@"+l.Addr().String()+"/db?sslmode=disable")
	t.Setenv(services.EnvRedis, "redis://:xyzzy@"+l.Addr().String())
	for name, start := range map[string]func(context.Context) error{
		"postgres": func(ctx context.Context) error {
			_, err := services.StartPostgres(ctx, services.PostgresOptions{})
			return err
		},
		"redis": func(ctx context.Context) error {
			_, err := services.StartRedis(ctx, services.RedisOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := start(ctx)
			require.ErrorContains(t, err, name+" by given address: ")
			assert.Less(t, time.Since(began), 4*time.Second, "before the ladder's own limit")
			assert.NotContains(t, err.Error(), "xyzzy")
			assert.NotContains(t, err.Error(), "\n")
			t.Log(err)
		})
	}
}
