package containers

import (
	"cmp"
	"context"
	"crypto/rand"
	"os"
	"time"

	"netbench/internal/keeper"
	"netbench/internal/proc"
	"netbench/testenv/services"
)

// Use makes the rung of containers of package testenv/services, and returns the roles
// that have to be passed to testenv.Main for it and for servers in containers.
func Use() []proc.Role {
	services.UseContainers(rung{})
	return []proc.Role{holdRole, carryRole}
}

// rung is the rung of containers.
type rung struct{}

// orderly is how long services may take to end in order.
const orderly = 8 * time.Second

// shared is the shared memory of a container, in which PostgreSQL's processes work
// on one query together; it takes what is used only.
const shared = 1 << 30

func (rung) Postgres(ctx context.Context, o services.PostgresOptions) (services.Contained, error) {
	addr, err := keeper.FreeAddr()
	if err != nil {
		return services.Contained{}, err
	}
	password := rand.Text()
	dsn := services.ClusterDSN(addr, password)
	s, found, err := recipe{
		service: &service{
			name:     "postgres",
			ready:    func(ctx context.Context) error { return services.PostgresAnswers(ctx, dsn) },
			ending:   ending{"INT", orderly}, // fast shutdown: connections are cut
			timeout:  cmp.Or(o.StartTimeout, services.DefaultStartTimeout),
			password: func() string { return password },
		},
		image: cmp.Or(os.Getenv(EnvPostgresImage), DefaultPostgresImage), user: "postgres",
		prepare: preparePostgres(), given: password,
		command: append([]string{"postgres"}, o.ServerArgs(inside+"/data", inside, addr)...),
		cpus:    o.CPUs, shared: shared, log: o.Log,
	}.start(ctx)
	if err != nil {
		return services.Contained{}, err
	}
	return s.contained(dsn, found), nil
}

func (rung) Redis(ctx context.Context, o services.RedisOptions) (services.Contained, error) {
	addr, err := keeper.FreeAddr()
	if err != nil {
		return services.Contained{}, err
	}
	password := rand.Text()
	url := services.RedisURL(addr, password)
	s, found, err := recipe{
		service: &service{
			name:     "redis-server",
			ready:    func(ctx context.Context) error { return services.RedisAnswers(ctx, url) },
			save:     func(ctx context.Context) error { return services.SaveRedis(ctx, url) },
			ending:   ending{"TERM", orderly},
			timeout:  cmp.Or(o.StartTimeout, services.DefaultStartTimeout),
			password: func() string { return password },
		},
		image: cmp.Or(os.Getenv(EnvRedisImage), DefaultRedisImage), user: "redis",
		given:   o.ConfigFile(inside, addr, password),
		command: []string{"redis-server", given},
		cpus:    o.CPUs, log: o.Log,
	}.start(ctx)
	if err != nil {
		return services.Contained{}, err
	}
	return s.contained(url, found), nil
}
