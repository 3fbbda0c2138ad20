package load

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSeveralProcessesMakeOneResult(t *testing.T) {
	for _, kind := range engines() {
		for _, mode := range Modes {
			t.Run(string(kind)+"/"+string(mode), func(t *testing.T) {
				assertNothingLeft(t, func() {
					t.Run("run", func(t *testing.T) {
						var accepted atomic.Int64
						p := bounded(mode)
						p.Engine, p.Processes, p.Conns = kind, 2, 5
						p.Targets = []Target{serve(t, EchoProtocol, func(c net.Conn) { accepted.Add(1); echo(c) })}
						r := run(t, p)
						checkGoodRun(t, p, r)
						assert.Equal(t, 2, r.Processes)
						if mode != Connect {
							assert.EqualValues(t, 5, accepted.Load())
						}
					})
				})
			})
		}
	}
}

func TestProcessesDoNotSendTheSameRequestsOfAnOpenLoop(t *testing.T) {
	for _, arrivals := range []ArrivalKind{Constant, Poisson} {
		p := bounded(Open)
		p.Processes, p.Conns, p.Arrivals, p.Rate, p.Duration = 2, 4, arrivals, 1000, 200*time.Millisecond
		p.Targets = []Target{serve(t, EchoProtocol, echo)}
		var want int64
		for shard := range 2 {
			for a := NewArrivals(arrivals, p.Rate, shard, 2, p.Seed); a.Next() < p.Duration; {
				want++
			}
		}
		r := run(t, p)
		assert.Equal(t, noErrors, r.Errors)
		assert.Equal(t, want, r.Requests, arrivals)
		assert.Equal(t, want, r.Latency.Count)
	}
}

func TestErrorsOfAllProcessesAreInTheResult(t *testing.T) {
	for _, kind := range engines() {
		p := Plan{
			Targets: []Target{serve(t, EchoProtocol, silent)}, Engine: kind, Processes: 2, Conns: 4,
			Duration: 100 * time.Millisecond, Grace: 100 * time.Millisecond,
		}
		r := run(t, p)
		assert.Equal(t, map[string]int64{"timeout": 4}, failures(r))
		assert.EqualValues(t, 4, r.Lost)
		assert.Contains(t, r.FirstError, "timeout")
		assert.Equal(t, Valid{}, r.Valid)
	}
}

func TestAFleetThatReachesNobodyIsBadInput(t *testing.T) {
	assertNothingLeft(t, func() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, l.Close())
		_, err = Run(t.Context(), Plan{Targets: targets(t, "tcp://"+l.Addr().String()), Processes: 2, Conns: 4})
		assertBadInput(t, err, l.Addr().String(), "refused")
	})
}

func TestAFleetIsInterruptedLikeOneProcess(t *testing.T) {
	for _, kind := range engines() {
		assertNothingLeft(t, func() {
			t.Run(string(kind), func(t *testing.T) {
				var served atomic.Int64
				target := serve(t, EchoProtocol, func(c net.Conn) {
					b := make([]byte, 64)
					for {
						if _, err := io.ReadFull(c, b); err != nil {
							return
						}
						served.Add(1)
						if _, err := c.Write(b); err != nil {
							return
						}
					}
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					for served.Load() < 100 && ctx.Err() == nil {
						time.Sleep(time.Millisecond)
					}
					cancel()
				}()
				start := time.Now()
				r, err := Run(ctx, Plan{Targets: []Target{target}, Engine: kind, Processes: 2, Conns: 4, Duration: time.Minute})
				require.NoError(t, err)
				assert.Less(t, time.Since(start), 20*time.Second)
				assert.True(t, r.Interrupted)
				assert.Positive(t, r.Requests)
				assert.Equal(t, noErrors, r.Errors)
				assert.Zero(t, r.Lost)
			})
		})
	}
}

func TestATallySurvivesTheWayBetweenProcesses(t *testing.T) {
	for _, mode := range Modes {
		want := tally{
			series: newSeries(mode), elapsed: 1, completed: 2, drained: 3, offered: 4, errors: ErrorCounts{1, 2, 3, 4, 5, 6},
			lost: 5, alive: 6, bytesIn: 7, bytesOut: 8, inSystem: 9.5, residence: 10.25, cpu: 11, cpuWall: 12, cpuAll: 13, first: "dial: x",
		}
		for i, h := range want.all() {
			for j := range 100 {
				want.record(*h, int64(i*1000+j*j*j))
			}
		}
		want.recordErrors = 14
		wire, err := packTally(&want)
		require.NoError(t, err)
		var got tally
		require.NoError(t, wire.unpack(&got))
		gotHists, wantHists := got.all(), want.all()
		for i := range wantHists {
			if *wantHists[i] == nil {
				assert.Nil(t, *gotHists[i])
				continue
			}
			assert.True(t, (*wantHists[i]).Equals(*gotHists[i]), "histogram %d of mode %s", i, mode)
		}
		got.series, want.series = series{recordErrors: got.recordErrors}, series{recordErrors: want.recordErrors}
		assert.Equal(t, want, got)
	}
}
