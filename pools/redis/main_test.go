package redis_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/pools/redis"
	"netbench/testenv"
	"netbench/testenv/containers"
	"netbench/testenv/services"
	"netbench/testenv/services/servicetest"
)

func TestMain(m *testing.M) {
	testenv.Main(nil, containers.Use()...)
	goleak.VerifyTestMain(m)
}

// server is a Redis server, real where there is one.
func server(t testing.TB) *services.Redis {
	t.Helper()
	return servicetest.Redis(t, services.RedisOptions{StartTimeout: time.Minute})
}

// open is a pool before a server, closed when the test ends.
func open(t testing.TB, o *goredis.Options, s redis.Settings) *redis.Pool {
	t.Helper()
	p, err := redis.Open(t.Context(), o, s)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Close()) })
	return p
}

// onDemand are the recommended settings without connections in advance, so that
// counts are exact.
func onDemand(size int) redis.Settings {
	s := redis.Recommended().Sized(size)
	s.MinIdle, s.MaxIdle = 0, 0
	return s
}

// descriptors counts those of this process, 0 where it cannot.
func descriptors(t testing.TB) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	list, err := os.ReadDir(filepath.Join("/proc", "self", "fd"))
	require.NoError(t, err)
	return len(list)
}
