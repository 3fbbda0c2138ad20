package cli

import (
	"context"

	redispool "netbench/pools/redis"
	"netbench/testenv/services"
)

// openRedisPool is the pool of go-redis, before Redis or a stand-in.
func openRedisPool(ctx context.Context, o poolOptions) (*poolSubject, error) {
	var server *services.Redis
	err := withAddress(services.EnvRedis, o.addr, func() (err error) {
		server, err = services.StartRedis(ctx, services.RedisOptions{CPUs: o.cpus})
		return err
	})
	if err != nil {
		return nil, err
	}
	subject, err := newServiceSubject(server.Info(), o, server.Stop)
	if err != nil {
		return nil, err
	}
	subject.kind = redispool.Kind{Base: server.Options()}
	return subject, nil
}
