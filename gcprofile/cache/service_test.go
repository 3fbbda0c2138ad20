package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile/cache/front"
	"netbench/gcprofile/cache/traces"
	"netbench/internal/proc"
	"netbench/internal/ptree"
	"netbench/load"
	"netbench/results"
	"netbench/testenv"
)

// serviceSpec says how a service is started.
type serviceSpec struct {
	Cache  string
	Bound  int64
	Trace  traces.Spec
	Warm   int // requests of the trace before it is ready
	Delay  time.Duration
	AtOnce int
}

// serviceRole is a service with one of the caches, in a process of its own.
var serviceRole = proc.Role{Name: "cache-service", Run: func(ctx context.Context, ch *proc.Channel, raw json.RawMessage) error {
	var s serviceSpec
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	trace, err := traces.Make(s.Trace)
	if err != nil {
		return err
	}
	c, err := newPages(s.Cache, s.Bound)
	if err != nil {
		return err
	}
	defer c.Close()
	f, err := front.New(front.Config{Store: c, Sizes: s.Trace.Sizes, Trace: trace, Delay: s.Delay, AtOnce: s.AtOnce})
	if err != nil {
		return err
	}
	f.Warm(s.Warm)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ch.Handle("stats", func(context.Context, json.RawMessage) (any, error) { return f.Stats(), nil })
	server := &http.Server{Handler: f, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	if err := ch.Ready(l.Addr().String()); err != nil {
		return err
	}
	<-ctx.Done()
	err = server.Close()
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}}

// service is one that runs.
type service struct {
	child *proc.Child
	plan  load.Plan // that drives it: Mode, Rate, Conns and times are to be filled in
}

func startService(ctx context.Context, s serviceSpec, t testing.TB) (*service, error) {
	place, err := testenv.Place()
	if err != nil {
		return nil, err
	}
	if err := testenv.PinSelf(place.Generator); err != nil {
		return nil, err
	}
	child, err := proc.Start(ctx, proc.Options{Role: serviceRole.Name, Spec: s, CPUs: place.Server, StartTimeout: time.Minute, Log: childLog{t}})
	if err != nil {
		return nil, err
	}
	var addr string
	if err := json.Unmarshal(child.Info(), &addr); err != nil {
		return nil, errors.Join(err, child.Kill())
	}
	target, err := load.ParseTarget(ctx, "http://"+addr+"/next")
	if err != nil {
		return nil, errors.Join(err, child.Kill())
	}
	plan := load.Plan{Targets: []load.Target{target}, CPUs: place.Generator}
	if runtime.GOOS == "linux" {
		plan.ServerCPU = func() (time.Duration, error) { return ptree.CPUTime(child.PID()) }
		plan.ServerCPUs = max(1, len(place.Server))
	}
	return &service{child, plan}, nil
}

func (s *service) stats(ctx context.Context) (st front.Stats, err error) {
	err = s.child.Call(ctx, "stats", nil, &st)
	return st, err
}

// drive puts load on it, and returns what that came to, and the hit ratio meanwhile.
func (s *service) drive(ctx context.Context, change func(*load.Plan)) (*load.Result, float64, error) {
	plan := s.plan
	change(&plan)
	before, err := s.stats(ctx)
	if err != nil {
		return nil, 0, err
	}
	r, err := load.Run(ctx, plan)
	if err != nil {
		return nil, 0, err
	}
	after, err := s.stats(ctx)
	return r, after.HitRatio(before), err
}

func TestTheServiceHitsAsOftenAsTheReference(t *testing.T) {
	const n, bound = 3000, 256 << 10
	spec := serviceSpec{
		Cache: ours, Bound: bound, AtOnce: 1,
		Trace: traces.Spec{Name: "zipf", Sizes: traces.Varying, Keys: 1000, N: n, Seed: 5},
	}
	s, err := startService(t.Context(), spec, t)
	require.NoError(t, err)
	defer func() { assert.NoError(t, s.child.Kill()) }()
	r, _, err := s.drive(t.Context(), func(p *load.Plan) {
		p.Conns, p.Requests, p.Duration = 1, n, time.Minute
	})
	require.NoError(t, err)
	require.EqualValues(t, 1, r.Success, r.FirstError)
	trace, err := traces.Make(spec.Trace)
	require.NoError(t, err)
	want := hitsOf(trace, bound)
	stats, err := s.stats(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, n, stats.Hits+stats.Misses)
	assert.EqualValues(t, want, stats.Hits, "one connection keeps the order of the trace")
	assert.NoError(t, s.child.Stop(t.Context()))
}

// benchService is a source that can make 500 pages a second, and a bound of 10 MiB.
func benchService(name, trace string) serviceSpec {
	return serviceSpec{
		Cache: name, Bound: benchBound, Trace: benchSpec(trace, traces.Varying), Warm: benchTrace / 8,
		Delay: 4 * time.Millisecond, AtOnce: 2,
	}
}

// benchRate is requests a second. At the hit ratios of LRU two thirds of what the source
// can make are then asked of it, so that some hits more or less make a difference.
const benchRate = 800

// serviceTraces have no scans: while one goes on, a source of this kind is too slow
// whatever the cache does.
var serviceTraces = []string{"zipf", "drift"}

// A service in a process of its own, in an open loop. An operation is one request.
func BenchmarkService(b *testing.B) {
	for _, trace := range serviceTraces {
		for _, name := range allCaches {
			b.Run(fmt.Sprintf("cache=%s/trace=%s/sizes=varying/rate=%d/conns=64", name, trace, benchRate), func(b *testing.B) {
				s, err := startService(b.Context(), benchService(name, trace), b)
				require.NoError(b, err)
				defer func() { require.NoError(b, s.child.Kill()) }()
				b.ResetTimer()
				r, hits, err := s.drive(b.Context(), func(p *load.Plan) {
					p.Mode, p.Rate, p.Arrivals, p.Conns = load.Open, benchRate, load.Poisson, 64
					p.Duration = max(time.Duration(b.N)*time.Second/benchRate, 20*time.Millisecond)
				})
				require.NoError(b, err)
				b.StopTimer()
				b.ReportMetric(0, "ns/op") // the rate is given
				b.ReportMetric(100*hits, "hit-%")
				b.ReportMetric(100*r.Success, "success-%")
				if !r.Valid.Latency {
					b.Log(results.WarningLine(fmt.Sprintf("latency is left out: %q", r.Reasons)))
				} else if r.Latency != nil {
					for unit, v := range map[string]*int64{"p50-ns": r.Latency.P50, "p99-ns": r.Latency.P99} {
						if v != nil {
							b.ReportMetric(float64(*v), unit)
						}
					}
				}
				if r.Valid.CPU && r.ServerPerOp != nil {
					b.ReportMetric(*r.ServerPerOp, "server-cpu-ns/op")
				}
			})
		}
	}
}
