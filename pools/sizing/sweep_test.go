package sizing

import (
	"bufio"
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/pools"
)

// plan is a short sweep before four places, where a call takes 1 ms.
func plan(k pools.Kind) Plan {
	return Plan{
		Kind: k, Sizes: []int{8, 1, 2, 4}, Concurrency: []int{16},
		Rounds: 3, Slice: 400 * time.Millisecond, Warm: 20 * time.Millisecond, Seed: 7,
		Rule: Rule{Cores: 2, Disks: 1},
	}
}

func TestASweepFindsTheKneeOfAServerWithFourPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(4, time.Millisecond)
		r, err := Sweep(t.Context(), plan(k))
		require.NoError(t, err)
		assert.Equal(t, []int{1, 2, 4, 8}, r.Sizes, "in order")
		require.Len(t, r.Curves, 1)
		c := r.Curves[0]
		assert.Equal(t, 3, c.Rounds)
		assert.Equal(t, Found, c.Knee.Answer, c.Knee.Text)
		assert.Equal(t, 4, c.Knee.Size)
		assert.Equal(t, c.Knee, r.Knee)
		for i, want := range []float64{1000, 2000, 4000, 4000} {
			p := c.Points[i]
			assert.InEpsilon(t, want, p.OpsPerSec.Mean, 0.01)
			assert.InEpsilon(t, 16/want*1e9, *p.P50, 0.01, "all callers queue")
			require.NotNil(t, p.P99, "1200 calls or more")
			assert.Equal(t, want < 2500, p.P99ByRound[0] == nil, "a round has less than 1000")
			assert.Len(t, p.P99ByRound, 3)
			assert.Nil(t, p.P999, "no size has 10,000 calls")
			require.NotNil(t, p.WaitPerOp)
			assert.Equal(t, r.Sizes[i], *p.Open)
			assert.Zero(t, *p.Dials, "the pool was warm")
			assert.Zero(t, p.Failed)
		}
		assert.InEpsilon(t, 15e6, *c.Points[0].WaitPerOp, 0.03, "of one connection, 15 callers wait")
		assert.InEpsilon(t, 1, *c.Points[0].WaitsPerOp, 0.05)
		assert.Equal(t, 5, r.Rule.Size)
		assert.Contains(t, r.Rule.Text, "between 4 and 8")
		assert.Zero(t, k.stillOpen(), "every pool was closed")
	})
}

func TestOneRoundTriesEverySizeOnceAndTheSeedGivesTheOrder(t *testing.T) {
	orders := func(seed uint64) (orders [][]int) {
		synctest.Test(t, func(t *testing.T) {
			k := newBench(4, time.Millisecond)
			p := plan(k)
			p.Seed, p.Rounds, p.Slice, p.Concurrency = seed, 6, 10*time.Millisecond, []int{1, 3}
			r, err := Sweep(t.Context(), p)
			require.NoError(t, err)
			for _, c := range r.Curves {
				orders = append(orders, c.Orders...)
			}
			// The first four pools ask whether the sizes are permitted, the next one
			// makes a trial call.
			assert.Equal(t, slices.Concat(orders...), k.opened[5:], "the report tells the true order")
		})
		return orders
	}
	first := orders(1)
	require.Len(t, first, 12)
	distinct := map[string]bool{}
	for _, o := range first {
		assert.ElementsMatch(t, []int{1, 2, 4, 8}, o)
		distinct[joined(o)] = true
	}
	assert.Greater(t, len(distinct), 3, "the order is shuffled anew in each round")
	assert.Equal(t, first, orders(1))
	assert.NotEqual(t, first, orders(2))
}

func TestASizeThatTheServerDoesNotPermitIsRefusedBeforeAnythingIsMeasured(t *testing.T) {
	k := newBench(4, time.Millisecond)
	k.permits = 4
	r, err := Sweep(t.Context(), plan(k))
	assert.Nil(t, r)
	require.ErrorIs(t, err, ErrInput)
	assert.EqualError(t, err, "sweep pool sizes: open a bench pool of 8: the server permits 4 connections")
	assert.Empty(t, k.opened, "no pool was opened")
}

func TestPlansThatMakeNoSenseAreRefused(t *testing.T) {
	for want, change := range map[string]func(*Plan){
		"no kind":                       func(p *Plan) { p.Kind = nil },
		"no size is given":              func(p *Plan) { p.Sizes = nil },
		"size is 0 (want 1":             func(p *Plan) { p.Sizes = []int{4, 0} },
		"size is 10001":                 func(p *Plan) { p.Sizes = []int{10_001} },
		"size 5 is listed twice":        func(p *Plan) { p.Sizes = []int{5, 1, 5} },
		"no concurrency is given":       func(p *Plan) { p.Concurrency = []int{} },
		"concurrency is -1":             func(p *Plan) { p.Concurrency = []int{-1} },
		"concurrency 9 is listed twice": func(p *Plan) { p.Concurrency = []int{9, 9} },
		"rounds is 1 (want 2":           func(p *Plan) { p.Rounds = 1 },
		"rounds is -1":                  func(p *Plan) { p.Rounds = -1 },
		"slice is 9ms":                  func(p *Plan) { p.Slice = 9 * time.Millisecond },
		"slice is 1h0m0s":               func(p *Plan) { p.Slice = time.Hour },
		"warm is -1ns":                  func(p *Plan) { p.Warm = -1 },
		"time-out is -1ns":              func(p *Plan) { p.Timeout = -1 },
		"disks is -1":                   func(p *Plan) { p.Rule.Disks = -1 },
		"cores is -2":                   func(p *Plan) { p.Rule.Cores = -2 },
	} {
		k := newBench(4, time.Millisecond)
		p := plan(k)
		change(&p)
		r, err := Sweep(t.Context(), p)
		assert.Nil(t, r)
		require.ErrorIs(t, err, ErrInput, want)
		assert.ErrorContains(t, err, want)
		assert.Empty(t, k.opened)
	}
}

func TestAnInterruptedSweepReportsTheWholeRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(4, time.Millisecond)
		p := plan(k)
		p.Concurrency = []int{16, 32}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p.Progress = func(s Step) {
			if s.Concurrency == 32 && s.Round == 2 {
				time.AfterFunc(time.Second, cancel) // within the next round
			}
		}
		r, err := Sweep(ctx, p)
		require.ErrorIs(t, err, context.Canceled)
		require.NotNil(t, r)
		assert.True(t, r.Interrupted)
		require.Len(t, r.Curves, 2)
		assert.Equal(t, 3, r.Curves[0].Rounds)
		assert.Equal(t, 2, r.Curves[1].Rounds)
		assert.Contains(t, r.Notes, "interrupted after 5 of 6 rounds")
		assert.NotContains(t, []Answer{Found, AtLeast}, r.Knee.Answer)
		assert.Contains(t, r.Knee.Text, "5 of 6 rounds only, which say: ")
		for _, c := range r.Curves[1].Points {
			assert.Len(t, c.OpsPerSecByRound, 2)
			assert.Zero(t, c.Failed, "calls that the end cut off are none of the pool's failures")
		}
		assert.Zero(t, k.stillOpen())
	})
}

func TestASweepThatIsInterruptedAtOnceHasNothingToReport(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := Sweep(ctx, plan(newBench(4, time.Millisecond)))
	assert.Nil(t, r)
	assert.ErrorIs(t, err, context.Canceled)
	assert.NotErrorIs(t, err, ErrInput)
}

func TestAPoolThatCannotBeWarmedEndsTheSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(4, time.Millisecond)
		k.broken = 4
		r, err := Sweep(t.Context(), plan(k))
		assert.Nil(t, r)
		assert.ErrorContains(t, err, "bench pool of 4 with 16 callers: open 4 connections beforehand: ")
		assert.ErrorContains(t, err, "connection refused")
		assert.NotErrorIs(t, err, ErrInput)
		assert.Zero(t, k.stillOpen())
	})
}

func TestASweepThatBreaksOffRecommendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(4, time.Millisecond)
		p := plan(k)
		p.Concurrency = []int{16, 32}
		p.Progress = func(s Step) {
			if s.Concurrency == 32 && s.Round == 1 {
				k.broken = 4
			}
		}
		r, err := Sweep(t.Context(), p)
		require.ErrorContains(t, err, "connection refused")
		require.NotNil(t, r)
		assert.False(t, r.Interrupted)
		assert.Equal(t, err.Error(), r.Failure)
		assert.NotContains(t, []Answer{Found, AtLeast}, r.Knee.Answer)
		assert.Contains(t, r.Knee.Text, "4 of 6 rounds only, which say: ")
		assert.Contains(t, r.Notes[0], "broken off after 4 of 6 rounds: bench pool of 4 with 32 callers: ")
	})
}

func TestASizeWhoseCallsFailIsShownAndNotRecommended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(4, time.Millisecond)
		k.fails = 4
		r, err := Sweep(t.Context(), plan(k))
		require.NoError(t, err)
		p := r.Curves[0].point(4)
		assert.Equal(t, Refused, p.Judgement.Verdict)
		assert.Positive(t, p.Failed)
		assert.Equal(t, errRefused.Error(), p.Error)
		assert.Nil(t, p.P50, "no call has a latency")
		assert.Equal(t, 8, r.Knee.Size, "the next larger one")
	})
}

func TestFiguresThatAPoolDoesNotKeepAreAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(4, time.Millisecond)
		k.absent = true
		r, err := Sweep(t.Context(), plan(k))
		require.NoError(t, err)
		for _, p := range r.Curves[0].Points {
			assert.Nil(t, p.WaitPerOp)
			assert.Nil(t, p.WaitsPerOp)
			assert.Nil(t, p.Open)
			assert.Nil(t, p.Dials)
		}
	})
}

func TestCallsThatNeverEndAreTimedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newBench(4, time.Millisecond)
		k.hangs = 4
		p := plan(k)
		p.Timeout = time.Second
		r, err := Sweep(t.Context(), p)
		require.NoError(t, err)
		point := r.Curves[0].point(4)
		assert.Positive(t, point.Late)
		assert.Equal(t, point.Failed, point.Late)
		assert.Equal(t, Refused, point.Judgement.Verdict)
		assert.Zero(t, r.Curves[0].point(2).Failed)
	})
}

func TestAServerThatDoesNotAnswerIsFoundOutByATrialCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for want, change := range map[string]func(*bench){
			"the server refused":        func(k *bench) { k.fails = 1 },
			"context deadline exceeded": func(k *bench) { k.hangs = 1 },
			"connection refused":        func(k *bench) { k.broken = 1 },
		} {
			k := newBench(4, time.Millisecond)
			change(k)
			r, err := Sweep(t.Context(), plan(k))
			assert.Nil(t, r)
			require.ErrorIs(t, err, ErrInput)
			assert.EqualError(t, err, "sweep pool sizes: a trial call by a bench pool of 1: "+want)
			assert.Len(t, k.opened, 5, "nothing was measured")
			assert.Zero(t, k.stillOpen())
		}
	})
}

// echoKind pools real TCP connections to an echo server.
type echoKind struct{ addr string }

func (echoKind) Name() string { return "echo" }

func (k echoKind) Open(_ context.Context, size int) (pools.Pool, error) {
	return &echoPool{addr: k.addr, slots: make(chan struct{}, size), idle: make(chan net.Conn, size)}, nil
}

type echoPool struct {
	addr  string
	slots chan struct{} // taken by connections in use
	idle  chan net.Conn
	dials atomic.Int64
}

func (p *echoPool) get(ctx context.Context) (net.Conn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case c := <-p.idle:
		return c, nil
	default:
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", p.addr)
	if err != nil {
		<-p.slots
		return nil, err
	}
	p.dials.Add(1)
	return c, nil
}

func (p *echoPool) put(c net.Conn) { p.idle <- c; <-p.slots }

func (p *echoPool) Do(ctx context.Context) error {
	c, err := p.get(ctx)
	if err != nil {
		return err
	}
	defer p.put(c)
	if _, err := c.Write([]byte("x\n")); err != nil {
		return err
	}
	_, err = bufio.NewReader(c).ReadString('\n')
	return err
}

func (p *echoPool) Warm(ctx context.Context, n int) error {
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			p.put(c)
		}
	}()
	for range n {
		c, err := p.get(ctx)
		if err != nil {
			return err
		}
		conns = append(conns, c)
	}
	return nil
}

func (p *echoPool) Stats() pools.Stats {
	return pools.Stats{Max: cap(p.slots), Open: len(p.idle) + len(p.slots), Dials: p.dials.Load(), Waits: pools.Absent, Waited: pools.Absent}
}

func (p *echoPool) Close() error {
	for {
		select {
		case c := <-p.idle:
			if err := c.Close(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func TestRealConnectionsAreSwept(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					if _, err := c.Write([]byte(line)); err != nil {
						return
					}
				}
			})
		}
	})
	defer serving.Wait()
	defer l.Close()
	before := descriptors(t)
	r, err := Sweep(t.Context(), Plan{
		Kind: echoKind{l.Addr().String()}, Sizes: []int{1, 3}, Concurrency: []int{4},
		Rounds: 2, Slice: 50 * time.Millisecond, Warm: 5 * time.Millisecond,
	})
	require.NoError(t, err)
	for _, p := range r.Curves[0].Points {
		assert.Positive(t, p.Calls)
		assert.Zero(t, p.Failed, p.Error)
		assert.Equal(t, p.Size, *p.Open)
		assert.Zero(t, *p.Dials)
		assert.Positive(t, p.ClientCPUPerOp)
	}
	assert.Eventually(t, func() bool { return descriptors(t) == before }, 10*time.Second, time.Millisecond, "descriptors were left open")
}

// descriptors that this process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Logf("no descriptors are counted: %v", err)
		return 0
	}
	return len(list)
}
