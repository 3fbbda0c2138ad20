package cli

import (
	"context"

	redispool "netbench/pools/redis"
	"netbench/testenv/services"
)

// openRedisPool is the pool of go-redis, before Redis or a stand-in.
func openRedisPool(ctx context.Context, o poolOptions) (*poolSubject, error) {
	server, err := services.StartRedis(ctx, services.RedisOptions{Given: o.addr, Permit: o.permit, CPUs: o.cpus})
	if err != nil {
		return nil, err
	}
	subject := newServiceSubject(server.Info(), server.Stop)
	subject.kind = redispool.Kind{Base: server.Options()}
	return subject, nil
}
