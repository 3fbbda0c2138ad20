package redis_test

import (
	"context"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/redis"
)

func TestAWorkloadDoesEveryPairAtEveryDepth(t *testing.T) {
	p := open(t, server(t).Options(), redis.Recommended())
	for _, depth := range []int{0, 1, 7, 1000} {
		w := redis.Workload{Workers: 30, Pairs: 1000, Bytes: 64, Expiry: time.Minute, Depth: depth}
		before := p.Detail()
		tally, err := p.Run(t.Context(), w)
		require.NoError(t, err)
		assert.Equal(t, int64(1000), tally.Sets, "depth %d: %v %v", depth, tally, tally.First)
		assert.Equal(t, int64(1000), tally.Gets, "depth %d: %v", depth, tally)
		assert.Zero(t, tally.Failed())
		assert.NoError(t, tally.First)
		assert.Equal(t, int64(2000), tally.Commands())
		assert.Positive(t, tally.Rate())
		after := p.Detail()
		main, pipeline := after.Main.Since(before.Main).Requests(), after.Pipeline.Since(before.Pipeline).Requests()
		want := map[int]uint64{0: 2000, 1: 2000, 7: 30 * 2 * 5, 1000: 30 * 2}[depth] // 33 or 34 pairs each
		assert.Equal(t, want, main+pipeline, "one connection for each round trip at depth %d", depth)
		assert.Equal(t, int64(want), tally.RoundTrips.TotalCount())
		if depth == 0 {
			assert.Zero(t, pipeline)
		} else {
			assert.Positive(t, pipeline)
		}
	}
}

func TestKeysOfAWorkloadExpire(t *testing.T) {
	o := server(t).Options()
	p := open(t, o, onDemand(2))
	before, err := p.Client().Keys(t.Context(), "netbench:*").Result() // the server may be a given one
	require.NoError(t, err)
	_, err = p.Run(t.Context(), redis.Workload{Workers: 2, Pairs: 10, Bytes: 64, Expiry: time.Minute})
	require.NoError(t, err)
	keys, err := p.Client().Keys(t.Context(), "netbench:*").Result()
	require.NoError(t, err)
	keys = slices.DeleteFunc(keys, func(key string) bool { return slices.Contains(before, key) })
	require.Len(t, keys, 10)
	for _, key := range keys {
		left, err := p.Client().TTL(t.Context(), key).Result()
		require.NoError(t, err)
		assert.Positive(t, left)
		assert.LessOrEqual(t, left, time.Minute)
		value, err := p.Client().Get(t.Context(), key).Result()
		require.NoError(t, err)
		assert.Len(t, value, 64)
	}
}

func TestFailuresAreCountedApart(t *testing.T) {
	o := server(t).Options()
	w := redis.Workload{Workers: 1, Pairs: 5, Bytes: 64, Expiry: time.Minute}
	for _, depth := range []int{0, 2} {
		w.Depth = depth
		t.Run("wrong values", func(t *testing.T) {
			p := open(t, o, onDemand(1))
			p.Client().AddHook(meddler{})
			tally, err := p.Run(t.Context(), w)
			require.NoError(t, err)
			assert.Equal(t, int64(5), tally.Sets)
			assert.Equal(t, int64(5), tally.Wrong)
			assert.Zero(t, tally.Gets)
		})
		t.Run("missing values", func(t *testing.T) {
			p := open(t, o, onDemand(1))
			p.Client().AddHook(forgetful{p.Client()})
			tally, err := p.Run(t.Context(), w)
			require.NoError(t, err)
			assert.Equal(t, int64(5), tally.Sets)
			assert.Equal(t, int64(5), tally.Missing, "%v %v", tally, tally.First)
			assert.Zero(t, tally.Gets+tally.GetErrors)
		})
		t.Run("no connection", func(t *testing.T) {
			s := onDemand(1)
			s.PipelineSize, s.PoolTimeout, s.Retries = 0, time.Millisecond, 0
			p := open(t, o, s)
			defer hold(t, p, 1)()
			tally, err := p.Run(t.Context(), w)
			require.NoError(t, err)
			assert.Equal(t, int64(5), tally.SetErrors, "a GET is not sent where the SET failed")
			assert.Equal(t, int64(5), tally.Failed())
			assert.Equal(t, int64(5), tally.PoolTimeouts)
			assert.ErrorIs(t, tally.First, goredis.ErrPoolTimeout)
			assert.Zero(t, tally.Commands())
			assert.Zero(t, tally.RoundTrips.TotalCount())
			assert.Contains(t, tally.String(), "5 for want of a connection")
		})
	}
	t.Run("time-out of a round trip", func(t *testing.T) {
		p := open(t, o, onDemand(1))
		defer hold(t, p, 1)()
		w := w
		w.Depth, w.Timeout = 0, time.Millisecond
		tally, err := p.Run(t.Context(), w)
		require.NoError(t, err)
		assert.Equal(t, int64(5), tally.SetErrors)
		assert.Zero(t, tally.PoolTimeouts)
		assert.ErrorIs(t, tally.First, context.DeadlineExceeded)
	})
}

// forgetful removes each key after it was set.
type forgetful struct{ client *goredis.Client }

func (forgetful) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (f forgetful) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, c goredis.Cmder) error {
		err := next(ctx, c)
		f.forget(ctx, c)
		return err
	}
}

func (f forgetful) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cs []goredis.Cmder) error {
		err := next(ctx, cs)
		for _, c := range cs {
			f.forget(ctx, c)
		}
		return err
	}
}

func (f forgetful) forget(ctx context.Context, c goredis.Cmder) {
	if c.Name() == "set" {
		f.client.Del(ctx, c.Args()[1].(string))
	}
}

func TestAWorkloadEndsWithItsContext(t *testing.T) {
	p := open(t, server(t).Options(), onDemand(2))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tally, err := p.Run(ctx, redis.StandardWorkload())
	require.NoError(t, err)
	assert.Zero(t, tally.Commands())
}

func TestWorkloadsThatMakeNoSenseAreRefused(t *testing.T) {
	p := open(t, server(t).Options(), onDemand(1))
	for _, spoil := range []func(*redis.Workload){
		func(w *redis.Workload) { w.Workers = 0 },
		func(w *redis.Workload) { w.Pairs = 0 },
		func(w *redis.Workload) { w.Bytes = 0 },
		func(w *redis.Workload) { w.Expiry = 0 },
		func(w *redis.Workload) { w.Depth = -1 },
		func(w *redis.Workload) { w.Timeout = -1 },
	} {
		w := redis.StandardWorkload()
		spoil(&w)
		_, err := p.Run(t.Context(), w)
		assert.ErrorContains(t, err, "run a workload", "%+v", w)
	}
	w := redis.StandardWorkload()
	assert.Equal(t, 1000*w.Workers, w.Pairs)
	assert.Equal(t, time.Minute, w.Expiry)
}

func TestTheKindIsDrivenLikeEveryOther(t *testing.T) {
	p, err := redis.Kind{Base: server(t).Options()}.Open(t.Context(), 2)
	require.NoError(t, err)
	defer p.Close()
	assert.Equal(t, "redis", redis.Kind{}.Name())
	o, err := pools.Drive(t.Context(), pools.Load{Workers: 10, For: 100 * time.Millisecond, Timeout: time.Minute}, p.Do)
	require.NoError(t, err)
	assert.Positive(t, o.Done)
	assert.Zero(t, o.Failed, "%v", o.First)
	s := p.Stats()
	assert.LessOrEqual(t, s.Dials, int64(2))
	assert.Positive(t, s.Waits, "ten callers of two connections")
	assert.Positive(t, s.Waited)
	for _, size := range []int{0, -1} {
		_, err := redis.Kind{Base: &goredis.Options{Addr: "127.0.0.1:1"}}.Open(t.Context(), size)
		assert.ErrorContains(t, err, "Size")
	}
}
