package gcprofile

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"netbench/load"
	"netbench/testenv"
)

// Server is a server with a heap, in a process of its own. It is a [testenv.Server]:
// Runtime, Stats, Collect, Stop and Kill are those.
type Server struct {
	*testenv.Server
	Spec Spec

	target load.Target
	place  testenv.Placement
}

// startLimit bounds the making of the live set: 2 GiB take some seconds.
const startLimit = 2 * time.Minute

// stayOffTheServer moves this process to the generator's CPUs, as it generates load.
var stayOffTheServer = sync.OnceValues(func() (testenv.Placement, error) {
	place, err := testenv.Place()
	if err != nil {
		return place, err
	}
	return place, testenv.PinSelf(place.Generator)
})

// Start starts a server, with the collector's settings in its environment, and returns
// when its live set is there. It pins this process to the CPUs that the server does not
// have. A bad specification is an error that wraps [ErrInput], before a process is
// started.
func Start(ctx context.Context, spec Spec) (*Server, error) {
	spec = spec.withDefaults()
	if err := spec.Check(ThisHost()); err != nil {
		return nil, err
	}
	place, err := stayOffTheServer()
	if err != nil {
		return nil, err
	}
	s, err := testenv.StartServer(ctx, testenv.ServerSpec{
		Model: spec.Model, Service: spec.service(), CPUs: place.Server, StartTimeout: startLimit,
		GOGC: spec.Setting().gogc(), GOMEMLIMIT: spec.Setting().limit(),
	})
	if err != nil {
		return nil, err
	}
	target, err := load.ParseTarget(ctx, (&url.URL{Scheme: "http", Host: s.Addr(), Path: "/json"}).String())
	if err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	return &Server{Server: s, Spec: spec, target: target, place: place}, nil
}

// overloadGrace is how long replies are waited for when a run ends: a server whose
// collector keeps it behind is to answer late, not to be counted as failed.
const overloadGrace = 10 * time.Second

// Plan is what drives the server: connections that ask for /json. Rate is requests a
// second, of an open loop, or 0 for a closed loop.
func (s *Server) Plan(conns int, rate float64) load.Plan {
	p := load.Plan{
		Targets: []load.Target{s.target}, Mode: load.Closed, Conns: conns, CPUs: s.place.Generator,
		Grace:      overloadGrace,
		ServerCPUs: max(1, len(s.place.Server)),
		ServerCPU: func() (time.Duration, error) {
			_ = s.Quiesce(context.Background()) // a server that still runs costs precision only
			return s.CPU()
		},
	}
	if rate > 0 {
		p.Mode, p.Rate = load.Open, rate
	}
	return p
}

// Capacity is the rate, requests a second, that a closed loop of so many connections
// reaches, over the given time after a quarter of it.
func Capacity(ctx context.Context, s *Server, conns int, over time.Duration) (float64, error) {
	p := s.Plan(conns, 0)
	p.Warmup, p.Duration = over/4, over
	r, err := load.Run(ctx, p)
	if err != nil {
		return 0, err
	}
	if r.Rate == 0 || r.Lost > 0 {
		return 0, fmt.Errorf("the server's capacity could not be measured: %d requests were answered, %d connections lost (%s)", r.Requests, r.Lost, r.FirstError)
	}
	return r.Rate, nil
}
