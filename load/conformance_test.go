package load

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// networks are those that this host has.
func networks(t *testing.T) []string {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Logf("without IPv6: %v", err)
		return []string{"tcp4", "unix"}
	}
	l.Close()
	return []string{"tcp4", "tcp6", "unix"}
}

func TestEveryEngineDrivesEveryModeProtocolAndNetwork(t *testing.T) {
	kinds := networks(t)
	for _, kind := range engines() {
		for _, mode := range Modes {
			for proto, service := range services {
				for _, network := range kinds {
					if mode == Stream && (proto == LineProtocol || proto == HTTPProtocol) {
						continue
					}
					t.Run(string(kind)+"/"+string(mode)+"/"+string(proto)+"/"+network, func(t *testing.T) {
						t.Parallel()
						target := serveAs(t, proto, network, speak(service))
						p := bounded(mode)
						p.Targets, p.Engine = []Target{target}, kind
						checkGoodRun(t, p, run(t, p))
					})
				}
			}
		}
	}
}

// bounded is a plan that does not depend on how fast this host is: so many
// requests are sent, however long it takes.
func bounded(mode Mode) Plan {
	p := Plan{Mode: mode, Conns: 5, Seed: 42, Pause: time.Millisecond, Duration: 20 * time.Millisecond, Grace: 30 * time.Second}
	switch mode {
	case Open:
		p.Rate = 2000
	case Closed, Connect, Stream:
		p.Requests, p.Duration = 100, 30*time.Second
	}
	return p
}

// checkGoodRun asserts what holds for every bounded run against a server that
// does its duty.
func checkGoodRun(t *testing.T, p Plan, r *Result) {
	t.Helper()
	checkNothingFailed(t, p, r)
	m := newMaterial(must(p.Normalize()))
	assert.Equal(t, r.Requests, r.Answered)
	assert.Equal(t, r.Requests*int64(m.txUnit), r.BytesOut, "each request counts")
	if m.rx != nil {
		assert.Equal(t, r.Requests*int64(m.rxUnit), r.BytesIn, "all replies were read")
	}
	switch p.Mode {
	case Closed, Connect, Stream:
		assert.Equal(t, p.Requests, r.Requests)
		assert.Less(t, r.Duration, p.Duration.Seconds(), "it ended when the requests were answered")
		assert.InDelta(t, float64(r.Requests)/r.Duration, r.Rate, 1e-6*r.Rate)
	case Open:
		due := int64(p.Rate * p.Duration.Seconds())
		assert.Equal(t, due, r.Requests, "each request that is due is sent once, and its reply awaited")
		assert.InDelta(t, p.Duration.Seconds(), r.Duration, 1e-9)
		assert.LessOrEqual(t, r.Rate, float64(due)/r.Duration*(1+1e-9), "what came after the window is not in the rate")
		assert.Equal(t, p.Rate, r.Offered)
	case Idle:
		assert.EqualValues(t, 2*p.Conns, r.Requests, "all were proven alive before and after")
		assert.GreaterOrEqual(t, r.Duration, p.Duration.Seconds())
	}
	for name, q := range recorded(p.Mode, r) {
		if assert.NotNil(t, q, name) {
			assert.Equal(t, r.Requests, q.Count, name)
		}
	}
}

// checkNothingFailed asserts what holds for every run of which nothing failed.
func checkNothingFailed(t *testing.T, p Plan, r *Result) {
	t.Helper()
	assert.Equal(t, noErrors, r.Errors, r.FirstError)
	assert.Zero(t, r.Lost)
	assert.Empty(t, r.FirstError)
	assert.Positive(t, r.Requests)
	assert.GreaterOrEqual(t, r.Answered, r.Requests)
	assert.Equal(t, 1.0, r.Success)
	assert.True(t, r.Valid.Counts, r.Reasons)
	assert.Equal(t, p.Engine, r.Engine)
	assert.Equal(t, p.Engine == Portable, r.EngineNote != "")
	assert.Equal(t, p.Mode == Closed || p.Mode == Open, r.LittleResidual != nil)
	assert.False(t, r.Interrupted)
	assert.Nil(t, r.ServerCPU, "nobody told what the server used")
	if p.Mode == Connect {
		assert.Zero(t, r.Alive)
	} else {
		assert.EqualValues(t, p.Conns, r.Alive)
	}
	want := recorded(p.Mode, r)
	for name, q := range map[string]*Quantiles{
		"latency": r.Latency, "service": r.Service, "conn wait": r.ConnWait, "send lag": r.SendLag, "connect": r.Connect,
	} {
		if _, wanted := want[name]; !wanted {
			assert.Nil(t, q, name)
		}
	}
}

// recorded are the times that a mode takes.
func recorded(m Mode, r *Result) map[string]*Quantiles {
	switch m {
	case Closed:
		return map[string]*Quantiles{"latency": r.Latency, "service": r.Service}
	case Open:
		return map[string]*Quantiles{"latency": r.Latency, "service": r.Service, "conn wait": r.ConnWait, "send lag": r.SendLag}
	case Connect:
		return map[string]*Quantiles{"latency": r.Latency, "service": r.Service, "connect": r.Connect}
	case Idle:
		return map[string]*Quantiles{"service": r.Service}
	}
	return nil
}

func TestAWindowCountsWhatCompletesInIt(t *testing.T) {
	for _, mode := range []Mode{Closed, Connect, Stream} {
		t.Run(string(mode), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind EngineKind) {
				p := Plan{
					Targets: []Target{serve(t, EchoProtocol, echo)}, Engine: kind, Mode: mode, Size: 100,
					Conns: 5, Pause: time.Millisecond, Duration: 300 * time.Millisecond, Grace: 30 * time.Second,
				}
				r := run(t, p)
				checkNothingFailed(t, p, r)
				assert.InDelta(t, p.Duration.Seconds(), r.Duration, 1e-9)
				assert.InDelta(t, float64(r.Requests)/r.Duration, r.Rate, 1e-6*r.Rate)
				assert.Equal(t, r.Answered*100, r.BytesOut, "only whole requests were sent")
				assert.Equal(t, r.BytesOut, r.BytesIn, "what was outstanding at the end was awaited")
				assert.LessOrEqual(t, r.Answered, r.Requests+5, "all but those outstanding at the end count")
			})
		})
	}
}

func must[T any](v T, err error) *T {
	if err != nil {
		panic(err)
	}
	return &v
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	for proto, service := range services {
		for _, mode := range []Mode{Closed, Open} {
			t.Run(string(proto)+"/"+string(mode), func(t *testing.T) {
				eachEngine(t, func(t *testing.T, kind EngineKind) {
					p := bounded(mode)
					p.Targets, p.Engine = []Target{serve(t, proto, speak(service))}, kind
					p.Conns, p.Pipeline, p.Size = 3, 16, 100
					if mode == Closed {
						p.Requests = 1000
					}
					checkGoodRun(t, p, run(t, p))
				})
			})
		}
	}
}

func TestPipelineKeepsThatManyRequestsOutstanding(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		const pipeline, size = 16, 50
		var most atomic.Int64
		target := serve(t, EchoProtocol, func(c net.Conn) {
			// The reply is held back until as much has come as can.
			b := make([]byte, pipeline*size)
			for {
				n := 0
				for n < len(b) {
					k, err := c.Read(b[n:])
					if err != nil {
						return
					}
					n += k
					most.Store(max(most.Load(), int64(n)))
				}
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		})
		p := bounded(Closed)
		p.Targets, p.Engine = []Target{target}, kind
		p.Conns, p.Pipeline, p.Size, p.Requests = 1, pipeline, size, 10*pipeline
		checkGoodRun(t, p, run(t, p))
		assert.EqualValues(t, pipeline*size, most.Load())
	})
}

func TestMessagesLargerThanEveryBufferArriveWhole(t *testing.T) {
	for _, proto := range []Protocol{EchoProtocol, FrameProtocol} {
		t.Run(string(proto), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind EngineKind) {
				const size = 4 << 20
				target := serve(t, proto, func(c net.Conn) {
					// A reader with a small buffer that answers at once makes both
					// sides write in part.
					require.NoError(t, c.(*net.TCPConn).SetReadBuffer(256<<10))
					require.NoError(t, c.(*net.TCPConn).SetWriteBuffer(256<<10))
					echo(c)
				})
				p := Plan{
					Targets: []Target{target}, Engine: kind, Conns: 2, Pipeline: 2, Size: size,
					Requests: 6, Duration: 20 * time.Second, Grace: 20 * time.Second,
				}
				r := run(t, p)
				assert.Equal(t, noErrors, r.Errors, r.FirstError)
				assert.EqualValues(t, 6, r.Requests)
				assert.Equal(t, r.BytesOut, r.BytesIn)
			})
		})
	}
}

func TestConnectionsAreDealtOutToAllTargets(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		var targets []Target
		var accepted [3]atomic.Int64
		for i := range accepted {
			targets = append(targets, serve(t, EchoProtocol, func(c net.Conn) {
				accepted[i].Add(1)
				echo(c)
			}))
		}
		p := bounded(Closed)
		p.Targets, p.Engine, p.Conns = targets, kind, 9
		checkGoodRun(t, p, run(t, p))
		for i := range accepted {
			assert.EqualValues(t, 3, accepted[i].Load())
		}
	})
}

func TestPayloadDependsOnTheSeedAndRepeats(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind EngineKind) {
		first := func(seed uint64) string {
			got := make(chan string, 1)
			target := serve(t, EchoProtocol, func(c net.Conn) {
				b := make([]byte, 32)
				n, err := c.Read(b)
				if err != nil {
					return
				}
				got <- string(b[:n])
				if _, err := c.Write(b[:n]); err == nil {
					echo(c)
				}
			})
			run(t, Plan{Targets: []Target{target}, Engine: kind, Conns: 1, Size: 32, Requests: 1, Seed: seed, Duration: 10 * time.Second})
			return <-got
		}
		one := first(1)
		assert.Len(t, one, 32)
		assert.Equal(t, one, first(1))
		assert.NotEqual(t, one, first(2))
	})
}
