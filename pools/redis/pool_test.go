package redis_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
	"netbench/pools/redis"
	"netbench/testenv/faults"
)

// hold takes n connections of the pool and gives them back when free is called.
func hold(t *testing.T, p *redis.Pool, n int) (free func()) {
	t.Helper()
	var held []*goredis.Conn
	for range n {
		c := p.Client().Conn()
		require.NoError(t, c.Ping(t.Context()).Err())
		held = append(held, c)
	}
	return func() {
		for _, c := range held {
			assert.NoError(t, c.Close())
		}
	}
}

func TestAPoolOpensConnectionsWhenTheyAreNeededAndCountsThem(t *testing.T) {
	p := open(t, server(t).Options(), onDemand(3))
	assert.Equal(t, pools.Stats{Max: 13}, p.Stats(), "the check of the server is not the pool's")
	free := hold(t, p, 2)
	assert.Equal(t, pools.Stats{Max: 13, Open: 2, InUse: 2, Dials: 2}, p.Stats())
	free()
	assert.Equal(t, pools.Stats{Max: 13, Open: 2, Idle: 2, Dials: 2}, p.Stats())
	require.NoError(t, p.Do(t.Context()))
	s := p.Detail()
	assert.Equal(t, redis.PoolStats{Size: 3, Total: 2, Idle: 2, Hits: 2, Misses: 2}, s.Main)
	assert.Equal(t, redis.PoolStats{Size: 10}, s.Pipeline)
	assert.Equal(t, 0.5, s.Main.HitShare())
	assert.Equal(t, int64(2), s.Dials)
	for _, want := range []string{"main pool: size 3, open 2, idle 2", "hits 2, misses 2", "pipeline pool: size 10, open 0", "dials: 2"} {
		assert.Contains(t, s.String(), want)
	}
}

func TestWaitsAndTimeOutsAreCounted(t *testing.T) {
	s := onDemand(1)
	s.PoolTimeout, s.Retries = time.Minute, 0
	o := server(t).Options()
	p := open(t, o, s)
	free := hold(t, p, 1)
	var waiter sync.WaitGroup
	waiter.Go(func() { assert.NoError(t, p.Client().Ping(t.Context()).Err()) })
	require.Eventually(t, func() bool { return p.Detail().Main.Pending == 1 }, 30*time.Second, time.Millisecond)
	free()
	waiter.Wait()
	d := p.Detail().Main
	assert.Equal(t, uint32(1), d.Waits)
	assert.Positive(t, d.Waited)
	assert.Equal(t, d.Waited, d.MeanWait())
	assert.Zero(t, d.Timeouts)

	s.PoolTimeout, s.Retries = 10*time.Millisecond, 2
	p = open(t, o, s)
	defer hold(t, p, 1)()
	late := p.Do(t.Context())
	assert.ErrorIs(t, late, goredis.ErrPoolTimeout)
	var timeout interface{ Timeout() bool }
	require.ErrorAs(t, late, &timeout)
	assert.True(t, timeout.Timeout(), "a load counts it as late")
	assert.Equal(t, uint32(3), p.Detail().Main.Timeouts, "the driver repeats a call that got no connection")
	assert.Equal(t, int64(3), p.Stats().Timeouts)
}

func TestACallersDeadlineEndsItsWaitAndIsInNoFigure(t *testing.T) {
	p := open(t, server(t).Options(), onDemand(1))
	defer hold(t, p, 1)()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, p.Do(ctx), context.DeadlineExceeded)
	d := p.Detail().Main
	assert.Zero(t, d.Waits)
	assert.Zero(t, d.Timeouts)
}

func TestPipelinesHaveAPoolOfTheirOwnAndSpillIntoTheMainOne(t *testing.T) {
	o := server(t).Options()
	s := onDemand(3)
	s.PipelineSize, s.ReadTimeout = 1, time.Minute
	p := open(t, o, s)
	// A pipeline that blocks in the server holds its connection.
	var blocked sync.WaitGroup
	block := func() {
		blocked.Go(func() {
			_, err := p.Client().Pipelined(t.Context(), func(c goredis.Pipeliner) error {
				c.BLPop(t.Context(), time.Minute, "netbench:nothing")
				return nil
			})
			assert.NoError(t, err)
		})
	}
	block()
	require.Eventually(t, func() bool { return p.Detail().Pipeline.InUse == 1 }, 30*time.Second, time.Millisecond)
	assert.Zero(t, p.Detail().Main.Total, "the main pool is not touched")
	block()
	require.Eventually(t, func() bool { return p.Detail().Main.InUse == 1 }, 30*time.Second, time.Millisecond)
	d := p.Detail()
	assert.Equal(t, uint32(1), d.Pipeline.Misses, "who finds it full is counted in the main pool alone")
	assert.Zero(t, d.Pipeline.Timeouts+d.Pipeline.Waits)
	assert.Equal(t, uint32(1), d.Main.Misses)
	assert.Equal(t, pools.Stats{Max: 4, Open: 2, InUse: 2, Dials: 2}, p.Stats())
	require.NoError(t, p.Client().RPush(t.Context(), "netbench:nothing", "a", "b").Err())
	blocked.Wait()

	s.PipelineSize = 0
	p = open(t, o, s)
	require.NoError(t, p.Pipelined(10)(t.Context()))
	assert.Equal(t, uint64(2), p.Detail().Main.Requests(), "without a pool of their own, pipelines use the main one")
}

func TestIdleConnectionsBeyondMaxIdleAreClosedAndCountedAsStale(t *testing.T) {
	s := onDemand(6)
	s.MaxIdle = 2
	p := open(t, server(t).Options(), s)
	hold(t, p, 5)()
	d := p.Detail().Main
	assert.Equal(t, 2, d.Idle)
	assert.Equal(t, 2, d.Total)
	assert.Equal(t, uint32(3), d.Stale)
}

func TestWarmOpensUntilSoManyAreIdle(t *testing.T) {
	p, err := redis.Kind{Base: server(t).Options()}.Open(t.Context(), 5)
	require.NoError(t, err)
	defer p.Close()
	assert.Equal(t, pools.Stats{Max: 5}, p.Stats(), "nothing is opened unasked")
	for _, n := range []int{2, 5, 3, 0} {
		require.NoError(t, p.Warm(t.Context(), n))
		assert.GreaterOrEqual(t, p.Stats().Idle, n)
	}
	assert.Equal(t, pools.Stats{Max: 5, Open: 5, Idle: 5, Dials: 5, Waits: 0}, p.Stats(), "what is idle is not opened again")
	assert.ErrorContains(t, p.Warm(t.Context(), 6), "0 to 5 can be idle")
	assert.Error(t, p.Warm(t.Context(), -1))
	require.NoError(t, p.Do(t.Context()))
	assert.Equal(t, int64(5), p.Stats().Dials)
}

func TestAPoolGoesOnAfterTheServerWasRestarted(t *testing.T) {
	r := server(t)
	p := open(t, r.Options(), onDemand(4))
	require.NoError(t, p.Warm(t.Context(), 4))
	if err := r.Restart(t.Context()); err != nil {
		t.Skip(err)
	}
	require.NoError(t, p.Do(t.Context()), "connections that the server closed are found out before use")
	d := p.Detail()
	assert.Positive(t, d.Main.Stale)
	assert.Greater(t, d.Dials, int64(4))
}

func TestCloseEndsEverythingAndMayBeCalledAgain(t *testing.T) {
	o := server(t).Options()
	before := descriptors(t)
	p, err := redis.Open(t.Context(), o, onDemand(8))
	require.NoError(t, err)
	require.NoError(t, p.Warm(t.Context(), 8))
	require.NoError(t, p.Pipelined(3)(t.Context()))
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	assert.ErrorIs(t, p.Do(t.Context()), goredis.ErrClosed)
	assert.Error(t, p.Warm(t.Context(), 1))
	assert.Eventually(t, func() bool { return descriptors(t) <= before }, 30*time.Second, time.Millisecond, "descriptors were left open")
}

func TestDoFailsIfTheValueIsNotItsOwn(t *testing.T) {
	o := server(t).Options()
	p := open(t, o, onDemand(1))
	p.Client().AddHook(meddler{})
	assert.ErrorContains(t, p.Do(t.Context()), "not the one that was set")
	assert.ErrorContains(t, p.Pipelined(2)(t.Context()), "2 not the ones that were set")
}

// meddler changes what GET returns.
type meddler struct{}

func (meddler) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (meddler) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, c goredis.Cmder) error {
		err := next(ctx, c)
		meddle(c)
		return err
	}
}

func (meddler) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cs []goredis.Cmder) error {
		err := next(ctx, cs)
		for _, c := range cs {
			meddle(c)
		}
		return err
	}
}

func meddle(c goredis.Cmder) {
	if get, ok := c.(*goredis.StringCmd); ok && c.Name() == "get" && !errors.Is(get.Err(), goredis.Nil) {
		get.SetVal("another")
	}
}

func TestAStalledConnectionEndsCallsAtTheirDeadlineAndIsReplaced(t *testing.T) {
	o := server(t).Options()
	stream, err := faults.New(t.Context(), o.Addr)
	require.NoError(t, err)
	t.Cleanup(stream.Close)
	o.Addr = stream.Addr()
	s := onDemand(3)
	s.ReadTimeout, s.Retries = time.Minute, 0
	p := open(t, o, s)
	require.NoError(t, p.Warm(t.Context(), 3))
	stream.Stall()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		assert.ErrorIs(t, p.Do(ctx), os.ErrDeadlineExceeded)
		cancel()
	}
	d := p.Detail()
	assert.Equal(t, uint32(3), d.Main.Stale, "a reply that comes late would be taken for another's")
	assert.Zero(t, d.Main.Total)
	stream.Heal()
	require.NoError(t, p.Do(t.Context()))
	assert.Equal(t, int64(4), p.Stats().Dials)
}

func TestConnectionsThatWereCutAreFoundOutBeforeTheyAreUsed(t *testing.T) {
	o := server(t).Options()
	stream, err := faults.New(t.Context(), o.Addr)
	require.NoError(t, err)
	t.Cleanup(stream.Close)
	o.Addr = stream.Addr()
	s := onDemand(3)
	s.Retries = 0
	p := open(t, o, s)
	require.NoError(t, p.Warm(t.Context(), 3))
	stream.Reset()
	stream.Heal()
	require.NoError(t, p.Do(t.Context()), "no call is repeated here")
	assert.Positive(t, p.Detail().Main.Stale)
}
