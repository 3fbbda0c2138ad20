package cli

import (
	"context"

	"github.com/redis/go-redis/v9/logging"

	redispool "netbench/pools/redis"
	"netbench/testenv/services"
)

// openRedisPool is the pool of go-redis, before Redis or a stand-in.
func openRedisPool(ctx context.Context, o poolOptions) (*poolSubject, error) {
	logging.Disable() // what calls and connections come to is in the report
	server, err := services.StartRedis(ctx, services.RedisOptions{Given: o.addr, Permit: o.permit, CPUs: o.cpus})
	if err != nil {
		return nil, err
	}
	subject := newServiceSubject(server.Info(), server.Stop)
	subject.kind = redispool.Kind{Base: server.Options()}
	return subject, nil
}
