package load

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheQuotaOfRequestsIsMetExactly(t *testing.T) {
	for _, mode := range []Mode{Closed, Connect} {
		for _, pipeline := range []int{1, 16} {
			if mode == Connect && pipeline > 1 {
				continue
			}
			for _, cpus := range [][]int{nil, {0, 1}} {
				t.Run(string(mode), func(t *testing.T) {
					eachEngine(t, func(t *testing.T, kind EngineKind) {
						if len(cpus) > 0 && kind == Epoll && numCPU() < len(cpus) {
							t.Skip("needs two CPUs")
						}
						for _, requests := range []int64{1, 7, 1000} {
							var served atomic.Int64
							target := serve(t, LineProtocol, func(c net.Conn) {
								lines := bufio.NewScanner(c)
								for lines.Scan() {
									served.Add(1)
									if _, err := io.WriteString(c, "pong\n"); err != nil {
										return
									}
								}
							})
							r := run(t, Plan{
								Targets: []Target{target}, Engine: kind, Mode: mode, Conns: 7, Pipeline: pipeline, CPUs: cpus,
								Requests: requests, Duration: 30 * time.Second, Pause: time.Microsecond,
							})
							assert.Equal(t, noErrors, r.Errors, r.FirstError)
							assert.Equal(t, requests, r.Requests)
							assert.Equal(t, requests, r.Answered)
							assert.Equal(t, requests, served.Load())
							assert.Equal(t, requests, r.Service.Count)
							assert.Less(t, r.Duration, 30.0)
						}
					})
				})
			}
		}
	}
}

func TestTheWindowEndsARunWhoseQuotaIsFarAway(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		r := run(t, Plan{
			Targets: []Target{serve(t, EchoProtocol, echo)}, Engine: kind, Conns: 2,
			Requests: 1 << 40, Duration: 100 * time.Millisecond,
		})
		assert.InDelta(t, 0.1, r.Duration, 1e-9)
		assert.Equal(t, noErrors, r.Errors)
	})
}

func TestASessionRunsManyTimesOverTheSameConnections(t *testing.T) {
	for _, mode := range Modes {
		t.Run(string(mode), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind EngineKind) {
				var accepted atomic.Int64
				p := bounded(mode)
				p.Engine = kind
				p.Targets = []Target{serve(t, EchoProtocol, func(c net.Conn) { accepted.Add(1); echo(c) })}
				s, err := Dial(t.Context(), p)
				require.NoError(t, err)
				defer s.Close()
				assert.Equal(t, 1, s.Processes())
				for range 4 {
					r, err := s.Run(t.Context(), Span{})
					require.NoError(t, err)
					checkGoodRun(t, p, r)
				}
				if mode != Connect {
					assert.EqualValues(t, p.Conns, accepted.Load())
				}
			})
		})
	}
}

func TestASpanOverridesThePlan(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		p := bounded(Open)
		p.Targets, p.Engine = []Target{serve(t, EchoProtocol, echo)}, kind
		s, err := Dial(t.Context(), p)
		require.NoError(t, err)
		defer s.Close()
		r, err := s.Run(t.Context(), Span{Duration: 100 * time.Millisecond, Rate: 500})
		require.NoError(t, err)
		assert.EqualValues(t, 50, r.Requests)
		assert.InDelta(t, 500, r.Offered, 1e-9)
		_, err = s.Run(t.Context(), Span{Requests: 10})
		assertBadInput(t, err, "requests")
	})
}

func TestTheWarmupIsNotCounted(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		var read atomic.Int64
		target := serve(t, EchoProtocol, func(c net.Conn) {
			b := make([]byte, 64)
			for {
				if _, err := io.ReadFull(c, b); err != nil {
					return
				}
				read.Add(1)
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		})
		p := bounded(Closed)
		p.Targets, p.Engine, p.Warmup = []Target{target}, kind, 50*time.Millisecond
		checkGoodRun(t, p, run(t, p))
		assert.Greater(t, read.Load(), p.Requests, "there was a warmup")
	})
}

func TestWhatFailsBetweenTwoRunsBelongsToTheSecond(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		hangUp := make(chan struct{})
		var gone sync.WaitGroup
		gone.Add(2)
		target := serve(t, EchoProtocol, func(c net.Conn) {
			defer gone.Done()
			go func() { <-hangUp; c.Close() }()
			echo(c)
		})
		p := bounded(Closed)
		p.Targets, p.Engine, p.Conns = []Target{target}, kind, 2
		s, err := Dial(t.Context(), p)
		require.NoError(t, err)
		defer s.Close()
		r, err := s.Run(t.Context(), Span{})
		require.NoError(t, err)
		checkGoodRun(t, p, r)
		close(hangUp)
		gone.Wait()
		r, err = s.Run(t.Context(), Span{Duration: 50 * time.Millisecond})
		require.NoError(t, err)
		assert.EqualValues(t, 2, r.Lost)
		assert.Zero(t, r.Requests)
		assert.Equal(t, Valid{}, r.Valid)
		r, err = s.Run(t.Context(), Span{Duration: 50 * time.Millisecond})
		require.NoError(t, err)
		assert.Zero(t, r.Lost, "each loss is told once")
		assert.Equal(t, Valid{}, r.Valid)
	})
}

func TestAnInterruptReturnsWhatWasMeasured(t *testing.T) {
	for _, mode := range Modes {
		t.Run(string(mode), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind EngineKind) {
				p := Plan{
					Targets: []Target{serve(t, EchoProtocol, echo)}, Engine: kind, Mode: mode, Conns: 4,
					Duration: time.Minute, Pause: time.Millisecond,
				}
				if mode == Open {
					p.Rate = 1000
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				p.Progress = func(at Progress) {
					if at.Phase == "measure" && (at.Requests > 0 || mode == Idle) {
						cancel() // there is something to be returned
					}
				}
				start := time.Now()
				r, err := Run(ctx, p)
				require.NoError(t, err)
				assert.Less(t, time.Since(start), 10*time.Second)
				assert.True(t, r.Interrupted)
				assert.Contains(t, r.Reasons[len(r.Reasons)-1], "interrupted")
				assert.Positive(t, r.Requests)
				assert.Equal(t, noErrors, r.Errors, "nobody is to blame")
				assert.Zero(t, r.Lost)
				assert.Less(t, r.Duration, 10.0)
				assert.Greater(t, r.Duration, 0.01)
				if mode != Idle {
					assert.InDelta(t, float64(r.Requests)/r.Duration, r.Rate, 0.1*r.Rate+20)
				}
			})
		})
	}
}

func TestAnInterruptDoesNotWaitForAServerThatHangs(t *testing.T) {
	for _, mode := range Modes {
		t.Run(string(mode), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind EngineKind) {
				p := Plan{
					Targets: []Target{serve(t, EchoProtocol, silent)}, Engine: kind, Mode: mode, Conns: 4,
					Duration: time.Minute, RequestTimeout: time.Minute, Grace: time.Minute,
				}
				if mode == Open {
					p.Rate = 1000
				}
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				start := time.Now()
				r, err := Run(ctx, p)
				require.NoError(t, err)
				assert.Less(t, time.Since(start), 10*time.Second)
				assert.True(t, r.Interrupted)
				assert.Zero(t, r.Requests)
				assert.Equal(t, noErrors, r.Errors, "nobody is to blame")
				assert.Zero(t, r.Lost)
				assert.Zero(t, r.Alive, "what was outstanding is closed")
			})
		})
	}
}

func TestAnInterruptWhileDiallingIsNoResult(t *testing.T) {
	for _, mode := range []Mode{Closed, Connect} {
		t.Run(string(mode), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind EngineKind) {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				r, err := Run(ctx, Plan{Targets: []Target{serve(t, EchoProtocol, echo)}, Engine: kind, Mode: mode})
				assert.ErrorIs(t, err, context.Canceled)
				assert.NotErrorIs(t, err, ErrInput)
				assert.Nil(t, r)
			})
		})
	}
}

// delayed answers each request of 64 bytes after a fixed time.
func delayed(service time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		b := make([]byte, 64)
		for {
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			time.Sleep(service) // this is what the server does
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}
}

func TestWhenAllConnectionsAreBusyRequestsWaitForOneAndTheGeneratorIsNotLate(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		// Two connections carry 100 requests a second, and 300 are due.
		const service = 20 * time.Millisecond
		r := run(t, Plan{
			Targets: []Target{serve(t, EchoProtocol, delayed(service))}, Engine: kind, Mode: Open,
			Conns: 2, Rate: 300, Duration: 300 * time.Millisecond, Grace: 30 * time.Second,
		})
		assert.Equal(t, noErrors, r.Errors, r.FirstError)
		require.EqualValues(t, 90, r.Requests)
		// 45 rounds of 20 ms on each connection: the last request is sent after
		// 880 ms or more, and was due before 300 ms.
		assert.GreaterOrEqual(t, *r.ConnWait.Max, int64(580*time.Millisecond))
		assert.Less(t, *r.SendLag.Mean, *r.ConnWait.Mean/5, "waiting for a connection is no lag of the generator")
		assert.GreaterOrEqual(t, r.Histogram().Min(), int64(19900*time.Microsecond), "no latency is below the service time")
		assert.GreaterOrEqual(t, *r.Service.P50, int64(19900*time.Microsecond))
		assert.InEpsilon(t, *r.ConnWait.Mean+*r.SendLag.Mean+*r.Service.Mean, *r.Latency.Mean, 0.01,
			"latency is what a request waits, and what it takes")
		assert.Less(t, r.Rate, 150.0, "what came after the window is not in the rate")
	})
}

func TestLittlesLawHolds(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Closed, Open} {
		t.Run(string(mode), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind EngineKind) {
				p := bounded(mode)
				p.Targets, p.Engine = []Target{serve(t, EchoProtocol, delayed(5*time.Millisecond))}, kind
				p.Conns = 4
				if mode == Open {
					p.Rate, p.Duration = 500, 200*time.Millisecond
				}
				r := run(t, p)
				checkGoodRun(t, p, r)
				assert.Less(t, *r.LittleResidual, 0.05)
				if mode == Closed {
					// All four are in the system nearly all the time.
					assert.InEpsilon(t, 4, r.Rate**r.Latency.Mean/1e9, 0.15)
				}
			})
		})
	}
	t.Run("replies that report failure were in the system too", func(t *testing.T) {
		eachEngine(t, func(t *testing.T, kind EngineKind) {
			var n atomic.Int64
			target := serve(t, HTTPProtocol, func(c net.Conn) {
				r := bufio.NewReader(c)
				for {
					for line := ""; line != "\r\n"; {
						var err error
						if line, err = r.ReadString('\n'); err != nil {
							return
						}
					}
					reply := "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
					if n.Add(1)%3 == 0 {
						reply = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
					}
					time.Sleep(time.Millisecond) // this is what the server does
					if _, err := io.WriteString(c, reply); err != nil {
						return
					}
				}
			})
			p := bounded(Closed)
			p.Targets, p.Engine = []Target{target}, kind
			r := run(t, p)
			require.NotNil(t, r.LittleResidual)
			assert.Less(t, *r.LittleResidual, 0.05)
			assert.InEpsilon(t, float64(r.Requests)*1.5, float64(r.Answered), 0.1, "a third of what was answered failed")
			assert.False(t, r.Valid.CPU, "failing may be cheaper than succeeding")
		})
	})
}

func TestTheServersCPUIsReadAroundTheRun(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		reads := 0
		p := bounded(Closed)
		p.Targets, p.Engine = []Target{serve(t, EchoProtocol, echo)}, kind
		p.ServerCPU = func() (time.Duration, error) { reads++; return time.Duration(reads) * time.Millisecond, nil }
		r := run(t, p)
		assert.Equal(t, 2, reads)
		assert.InDelta(t, float64(time.Millisecond)/float64(p.Requests), *r.ServerPerOp, 1e-6)

		p.ServerCPU = func() (time.Duration, error) { return 0, errors.New("it is gone") }
		_, err := Run(t.Context(), p)
		assert.ErrorContains(t, err, "it is gone")
	})
}

func TestProgressIsTold(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		var mu sync.Mutex
		var told []Progress
		p := Plan{
			Targets: []Target{serve(t, EchoProtocol, echo)}, Engine: kind, Conns: 3, Duration: time.Minute,
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p.Progress = func(at Progress) {
			mu.Lock()
			defer mu.Unlock()
			if told = append(told, at); len(told) > 1 && at.Requests > 0 {
				cancel()
			}
		}
		r, err := Run(ctx, p)
		require.NoError(t, err)
		mu.Lock()
		defer mu.Unlock()
		require.NotEmpty(t, told)
		last := told[len(told)-1]
		assert.Equal(t, "measure", last.Phase)
		assert.Equal(t, 3, last.Conns)
		assert.Equal(t, p.Duration, last.Of)
		assert.LessOrEqual(t, last.Requests, r.Requests)
		assert.Positive(t, last.Requests)
	})
}
