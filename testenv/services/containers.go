package services

import (
	"context"
	"sync/atomic"
	"time"
)

// Containers starts services in containers. Package testenv/containers has one
// that it passes to [UseContainers].
type Containers interface {
	// Postgres and Redis start a service and return when it answers. The error
	// says in one line what is missing: no engine, no image.
	Postgres(ctx context.Context, o PostgresOptions) (Contained, error)
	Redis(ctx context.Context, o RedisOptions) (Contained, error)
}

// Contained is a service in a container.
type Contained struct {
	// Address is a DSN of PostgreSQL, or a redis:// URL.
	Address string

	// Found tells the image and the engine.
	Found string

	// Stop, Restart and CPU are as those of [Postgres] and [Redis].
	Stop    func(context.Context) error
	Restart func(context.Context) error
	CPU     func() (time.Duration, error)
}

// containers holds what UseContainers was given, nil before.
var containers atomic.Pointer[Containers]

// UseContainers makes the ladder's rung of containers. Before it is called
// that rung is not there, and says so; nor is it for nil.
func UseContainers(c Containers) { containers.Store(&c) }

// engine is what was given to UseContainers.
func engine() (Containers, error) {
	c := containers.Load()
	if c == nil || *c == nil {
		return nil, absence("this program was built without package testenv/containers")
	}
	return *c, nil
}

// contained is the body of a service in a container.
type contained struct{ Contained }

func (c contained) Stop(ctx context.Context) error    { return c.Contained.Stop(ctx) }
func (c contained) Restart(ctx context.Context) error { return c.Contained.Restart(ctx) }
func (c contained) CPU() (time.Duration, error)       { return c.Contained.CPU() }
