package services_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/testenv/services"
)

// engine is an engine of containers; what is in the container is a stand-in.
type engine struct {
	address string
	stopped int
}

func (e *engine) Postgres(context.Context, services.PostgresOptions) (services.Contained, error) {
	return services.Contained{}, errors.New("the image is not there\nand cannot be pulled")
}

func (e *engine) Redis(context.Context, services.RedisOptions) (services.Contained, error) {
	return services.Contained{
		Address: e.address, Found: "image redis:8",
		Stop:    func(context.Context) error { e.stopped++; return nil },
		Restart: func(context.Context) error { return errors.New("this one restarts") },
		CPU:     func() (time.Duration, error) { return time.Second, nil },
	}, nil
}

func TestAContainerIsTakenWhereThereIsNoBinary(t *testing.T) {
	leaveNothing(t)
	inside := standIn(t).Options()
	e := &engine{address: "redis://:" + inside.Password + "@" + inside.Addr}
	services.UseContainers(e)
	defer services.UseContainers(nil)
	r, err := services.StartRedis(t.Context(), services.RedisOptions{Binary: "/no/such/redis-server"})
	require.NoError(t, err)
	assert.Equal(t, services.Container, r.Info().Rung)
	assert.Contains(t, r.Info().Reason, "image redis:8; given address: ")
	assert.Contains(t, r.Info().Reason, "local binary: no program")
	used, err := r.CPU()
	require.NoError(t, err)
	assert.Equal(t, time.Second, used)
	assert.ErrorContains(t, r.Restart(t.Context()), "this one restarts")
	require.NoError(t, r.Stop(t.Context()))
	assert.Equal(t, 1, e.stopped)

	// One that does not let us in is stopped, and the ladder goes on.
	e.address = "redis://:wrong@" + inside.Addr
	_, err = services.StartRedis(t.Context(), services.RedisOptions{Binary: "/no/such/redis-server", RealOnly: true})
	assert.ErrorContains(t, err, "container: WRONGPASS")
	assert.Equal(t, 2, e.stopped)
	_, err = services.StartPostgres(t.Context(), services.PostgresOptions{Binaries: "/no/such"})
	assert.ErrorContains(t, err, "container: the image is not there; and cannot be pulled; stand-in: ")
}
