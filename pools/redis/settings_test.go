package redis_test

import (
	"runtime"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools/redis"
)

func TestRecommendedSettingsReachTheDriver(t *testing.T) {
	o := open(t, server(t).Options(), redis.Recommended()).Client().Options()
	assert.Equal(t, 20, o.PoolSize)
	assert.Equal(t, 5, o.MinIdleConns)
	assert.Equal(t, 10, o.MaxIdleConns)
	assert.Equal(t, 30*time.Second, o.PoolTimeout)
	assert.Equal(t, 5*time.Second, o.DialTimeout)
	assert.Equal(t, 3*time.Second, o.ReadTimeout)
	assert.Equal(t, 3*time.Second, o.WriteTimeout)
	assert.Equal(t, 5*time.Minute, o.ConnMaxIdleTime)
	assert.Equal(t, 30*time.Minute, o.ConnMaxLifetime)
	assert.Equal(t, 3, o.MaxRetries)
	assert.Equal(t, 8*time.Millisecond, o.MinRetryBackoff)
	assert.Equal(t, 512*time.Millisecond, o.MaxRetryBackoff)
	assert.Equal(t, 10, o.PipelinePoolSize)
	assert.True(t, o.ContextTimeoutEnabled)
}

func TestZeroMeansNoneAndNotTheDriversDefault(t *testing.T) {
	s := redis.Recommended()
	s.MinIdle, s.MaxIdle, s.PipelineSize, s.MaxIdleTime, s.MaxLifetime = 0, 0, 0, 0, 0
	s.Retries, s.MinBackoff, s.MaxBackoff = 0, 0, 0
	p := open(t, server(t).Options(), s)
	o := p.Client().Options()
	assert.Zero(t, o.MaxRetries)
	assert.Zero(t, o.MinRetryBackoff)
	assert.Zero(t, o.MaxRetryBackoff)
	assert.LessOrEqual(t, o.ConnMaxIdleTime, time.Duration(0))
	assert.Zero(t, o.ConnMaxLifetime)
	assert.Nil(t, p.Client().PoolStats().PipelineStats, "no pool for pipelines")
}

func TestDriverDefaultsAreThoseOfTheDriver(t *testing.T) {
	c := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"}) // it connects when it is used
	defer c.Close()
	theirs, ours := c.Options(), redis.DriverDefaults()
	assert.Equal(t, redis.Settings{
		Size: theirs.PoolSize, MinIdle: theirs.MinIdleConns, MaxIdle: theirs.MaxIdleConns, PipelineSize: goredis.DefaultPipelinePoolSize,
		PoolTimeout: theirs.PoolTimeout, DialTimeout: theirs.DialTimeout, ReadTimeout: theirs.ReadTimeout, WriteTimeout: theirs.WriteTimeout,
		MaxIdleTime: theirs.ConnMaxIdleTime, MaxLifetime: theirs.ConnMaxLifetime,
		Retries: theirs.MaxRetries, MinBackoff: theirs.MinRetryBackoff, MaxBackoff: theirs.MaxRetryBackoff,
	}, ours)
	assert.NotNil(t, c.PoolStats().PipelineStats, "the driver makes a pool for pipelines unasked")
}

func TestByCoresIsTwiceTheCPUsAndElseRecommended(t *testing.T) {
	s := redis.ByCores()
	assert.Equal(t, 2*runtime.NumCPU(), s.Size)
	require.NoError(t, s.Validate())
	s.Size, s.MinIdle, s.MaxIdle = 20, 5, 10
	assert.Equal(t, redis.Recommended(), s)
}

func TestEverySizeOfRecommendedSettingsIsValid(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 20, 50, 1000} {
		assert.NoError(t, redis.Recommended().Sized(n).Validate(), "size %d", n)
	}
	require.NoError(t, redis.DriverDefaults().Validate())
}

func TestValidationNamesTheField(t *testing.T) {
	for field, spoil := range map[string][]func(*redis.Settings){
		"Size":         {func(s *redis.Settings) { s.Size = 0 }, func(s *redis.Settings) { s.Size = 1 << 20 }},
		"PipelineSize": {func(s *redis.Settings) { s.PipelineSize = -1 }},
		"MinIdle":      {func(s *redis.Settings) { s.MinIdle = -1 }, func(s *redis.Settings) { s.MinIdle = 21 }},
		"MaxIdle":      {func(s *redis.Settings) { s.MaxIdle = 4 }, func(s *redis.Settings) { s.MaxIdle = 21 }, func(s *redis.Settings) { s.MinIdle, s.MaxIdle = 0, -1 }},
		"PoolTimeout":  {func(s *redis.Settings) { s.PoolTimeout = 0 }},
		"DialTimeout":  {func(s *redis.Settings) { s.DialTimeout = 5 }},
		"ReadTimeout":  {func(s *redis.Settings) { s.ReadTimeout = -1 }},
		"WriteTimeout": {func(s *redis.Settings) { s.WriteTimeout = 0 }},
		"MaxLifetime":  {func(s *redis.Settings) { s.MaxLifetime = -1 }},
		"MaxIdleTime":  {func(s *redis.Settings) { s.MaxIdleTime = -1 }, func(s *redis.Settings) { s.MaxIdleTime = time.Hour }},
		"Retries":      {func(s *redis.Settings) { s.Retries = -1 }},
		"MinBackoff":   {func(s *redis.Settings) { s.MinBackoff = -1 }},
		"MaxBackoff":   {func(s *redis.Settings) { s.MaxBackoff = time.Millisecond }},
	} {
		for _, f := range spoil {
			s := redis.Recommended()
			f(&s)
			err := s.Validate()
			require.ErrorContains(t, err, "redis pool: "+field+" is ", "%+v", s)
			assert.NotContains(t, err.Error(), "\n")
			_, opening := redis.Open(t.Context(), &goredis.Options{Addr: "127.0.0.1:1"}, s)
			assert.Equal(t, err, opening, "before anything is dialled")
		}
	}
}
