package services_test

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/testenv/services"
	"netbench/testenv/services/servicetest"
)

// realRedis is a server that is no stand-in.
func realRedis(t *testing.T, o services.RedisOptions) *services.Redis {
	t.Helper()
	o.RealOnly, o.StartTimeout = true, time.Minute // the machine may be busy
	return servicetest.Redis(t, o)
}

func client(t *testing.T, r *services.Redis) *redis.Client {
	t.Helper()
	c := redis.NewClient(r.Options())
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedisByLocalBinaryTellsItsRungAndSettings(t *testing.T) {
	leaveNothing(t)
	var log bytes.Buffer
	began := time.Now()
	r := realRedis(t, services.RedisOptions{MaxClients: 77, Log: &log})
	t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
	info := r.Info()
	assert.Equal(t, services.LocalBinary, info.Rung)
	assert.True(t, info.Real())
	assert.Regexp(t, `^\d+\.\d+`, info.Version)
	assert.Equal(t, "77", info.Settings["maxclients"])
	assert.Equal(t, "no", info.Settings["appendonly"])
	assert.Contains(t, info.Settings, "save")
	assert.Empty(t, info.Settings["save"])
	used, err := r.CPU()
	require.NoError(t, err)
	assert.Positive(t, used)

	password := r.Options().Password
	require.NotEmpty(t, password)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		assert.NotContains(t, fmt.Sprintf(format, r), password)
		assert.NotContains(t, fmt.Sprintf(format, *r), password)
	}
	o := r.Options()
	o.Password = ""
	stranger := redis.NewClient(o)
	defer stranger.Close()
	assert.ErrorContains(t, stranger.Ping(t.Context()).Err(), "NOAUTH")
	require.NoError(t, r.Stop(t.Context()))
	assert.NotContains(t, log.String(), password)
	assert.NotEmpty(t, log.String())
}

func TestARestartOfRedisKeepsAddressAndData(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *services.Redis{
		"real":     func(t *testing.T) *services.Redis { return realRedis(t, services.RedisOptions{}) },
		"stand-in": standIn,
	} {
		t.Run(name, func(t *testing.T) {
			leaveNothing(t)
			r := start(t)
			c := client(t, r)
			require.NoError(t, c.Set(t.Context(), "word", "kept", 0).Err())
			require.NoError(t, r.Restart(t.Context()))
			value, err := client(t, r).Get(t.Context(), "word").Result()
			require.NoError(t, err)
			assert.Equal(t, "kept", value)
		})
	}
}

// standIn is a stand-in, whatever the host has.
func standIn(t *testing.T) *services.Redis {
	t.Helper()
	r, err := services.StartRedis(t.Context(), services.RedisOptions{Binary: "/no/such/redis-server"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Stop(t.Context())) })
	return r
}

func TestAStandInIsMarkedAndSaysWhyItIsTaken(t *testing.T) {
	leaveNothing(t)
	r := standIn(t)
	assert.Equal(t, services.StandIn, r.Info().Rung)
	assert.False(t, r.Info().Real())
	assert.Regexp(t, `^miniredis( v2\.\d+\.\d+)?$`, r.Info().Version)
	for _, why := range []string{services.EnvRedis + " is not set", "no program /no/such/redis-server", "without package testenv/containers"} {
		assert.Contains(t, r.Info().Reason, why)
	}
	require.NoError(t, client(t, r).Ping(t.Context()).Err())
	_, err := r.CPU()
	assert.ErrorContains(t, err, "part of this process")
	assert.NotContains(t, fmt.Sprintf("%+v %+v", r, *r), r.Options().Password)
}

func TestRedisIsAbsentWithTheReasonOfEveryRung(t *testing.T) {
	leaveNothing(t)
	_, err := services.StartRedis(t.Context(), services.RedisOptions{Binary: "/no/such/redis-server", RealOnly: true})
	var absent *services.AbsentError
	require.ErrorAs(t, err, &absent)
	assert.Len(t, absent.Reasons, 4)
	assert.NotContains(t, err.Error(), "\n")
	assert.ErrorContains(t, err, "stand-in: the real one is wanted")
}

func TestNothingOfRedisOutlivesAKilledParent(t *testing.T) {
	// It skips here, if so, and not in the process that is killed.
	require.NoError(t, realRedis(t, services.RedisOptions{}).Stop(t.Context()))
	outlive(t, "redis", 3)
}

func TestAGivenRedisIsUsedAndLeftAlone(t *testing.T) {
	leaveNothing(t)
	theirs := standIn(t)
	address, password := theirs.Options().Addr, theirs.Options().Password
	t.Setenv(services.EnvRedis, "redis://:"+password+"@"+address)
	r, err := services.StartRedis(t.Context(), services.RedisOptions{})
	require.NoError(t, err)
	assert.Equal(t, services.Given, r.Info().Rung)
	assert.Equal(t, address, r.Info().Addr)
	assert.ErrorContains(t, r.Restart(t.Context()), "not ours")
	require.NoError(t, r.Stop(t.Context()))
	require.NoError(t, client(t, theirs).Ping(t.Context()).Err())

	t.Setenv(services.EnvRedis, address)
	_, err = services.StartRedis(t.Context(), services.RedisOptions{})
	assert.ErrorContains(t, err, "NOAUTH")
}

func TestAGivenRedisThatCannotBeUsedIsAnErrorAndNoOtherIsTaken(t *testing.T) {
	leaveNothing(t)
	theirs := standIn(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refusing := l.Addr().String()
	require.NoError(t, l.Close())
	for name, tc := range map[string]struct{ address, want string }{
		"no port":        {"xyzzy", "does not parse"},
		"no scheme":      {"me:xyzzy@host:1", "does not parse"},
		"no URL":         {"redis://me:xyzzy%zz@host", "does not parse"},
		"other scheme":   {"http://me:xyzzy@host", "does not parse"},
		"refused":        {"redis://:xyzzy@" + refusing, "connection refused"},
		"wrong password": {"redis://:xyzzy@" + theirs.Options().Addr, "WRONGPASS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(services.EnvRedis, tc.address)
			_, err := services.StartRedis(t.Context(), services.RedisOptions{})
			require.ErrorContains(t, err, tc.want)
			assert.ErrorContains(t, err, services.EnvRedis)
			assert.NotContains(t, err.Error(), "xyzzy")
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestARedisThatDoesNotStartIsAbsentWithItsLastWords(t *testing.T) {
	leaveNothing(t)
	for name, tc := range map[string]struct {
		script string
		want   []string
	}{
		"ends":          {"echo out of ports; exit 3", []string{"exit status 3", "it wrote: out of ports"}},
		"shows secrets": {"cat $1 | grep requirepass; exit 3", []string{"it wrote: requirepass (hidden)"}},
		"hangs":         {"sleep 300", []string{"not ready within 1s", "connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := programs(t, map[string]string{"redis-server": tc.script})
			_, err := services.StartRedis(t.Context(), services.RedisOptions{
				Binary: filepath.Join(dir, "redis-server"), RealOnly: true, StartTimeout: time.Second,
			})
			var absent *services.AbsentError
			require.ErrorAs(t, err, &absent)
			for _, want := range tc.want {
				assert.ErrorContains(t, err, want)
			}
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}
