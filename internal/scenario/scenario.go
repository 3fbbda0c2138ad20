// Package scenario is how a subject tells the rest of netbench what it can
// measure. A [Scenario] is a value: which server to start, how to drive it. The
// subject's benchmarks, the race between models and the gate all take the same
// value, so they measure the same thing.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"netbench/load"
	"netbench/testenv"
)

// Scenario is one thing to measure.
type Scenario struct {
	// Name is in the form of a benchmark's name without its first word, for
	// instance "Echo/model=goroutine/conns=100/size=64".
	Name string

	// Server is started in a process of its own. Its CPUs, if empty, are those
	// that [testenv.Place] gives a server.
	Server testenv.ServerSpec

	// Command, if it is not "", is the command line of a server of another make
	// ([testenv.CommandSpec]) in place of Server, of which only the CPUs and the
	// StartTimeout count then. URL is what is asked of it, in the form that
	// [load.ParseTarget] takes, with {addr} for its address.
	Command, URL string

	// Scheme and Path make the URL: "tcp" (the default), "frame", "line" or
	// "http". Servers on Unix sockets are driven with echo.
	Scheme, Path string

	// Plan drives it. Targets, CPUs and ServerCPU are filled in.
	Plan load.Plan

	// RateShare, in mode open, is the rate as a share of the rate that a closed
	// loop of the same connections reaches beforehand, 0 to 1.
	RateShare float64

	// Bytes is the number of application bytes that the server moves for each
	// request, if it is one that is judged by the byte; 0 if not. Benchmarks then
	// report MB/s, server-cpu-ns/KiB and syscalls/MiB too.
	Bytes int64

	// Collector has benchmarks report the server's garbage collector in full:
	// assists, collections, scheduling latency, peak RSS and heap goal too.
	Collector bool
}

// descriptors is what the server's process needs at least: one for each
// connection, and some for itself.
func (s Scenario) descriptors() int { return s.Plan.Conns + 64 }

// Missing says what this host lacks to run the scenario; "" if nothing.
func (s Scenario) Missing() string {
	if limit := descriptorLimit(); s.descriptors() > limit {
		return fmt.Sprintf("%d connections need a server with %d descriptors, and a process may have %d here (raise ulimit -n)",
			s.Plan.Conns, s.descriptors(), limit)
	}
	return ""
}

// Start starts the server and returns it together with the plan that drives it.
func (s Scenario) Start(ctx context.Context) (*testenv.Server, load.Plan, error) {
	p := s.Plan
	place, err := testenv.Place()
	if err != nil {
		return nil, p, err
	}
	spec := s.Server
	if spec.CPUProfile != "" {
		return nil, p, fmt.Errorf("%s: its server would write a CPU profile while it is measured (leave out CPUProfile; netbench profile takes profiles)", s.Name)
	}
	if len(spec.CPUs) == 0 {
		spec.CPUs = place.Server
	}
	if len(p.CPUs) == 0 {
		p.CPUs = place.Generator
	}
	if s.Command != "" {
		server, err := testenv.StartCommand(ctx, testenv.CommandSpec{
			Line: s.Command, CPUs: spec.CPUs, StartTimeout: spec.StartTimeout, Log: spec.Log,
		})
		return s.plan(ctx, server, p, spec.CPUs, err)
	}
	if spec.Config.MaxConns == 0 {
		// Twice as many as there will be: models that divide them among workers
		// do not get connections in equal parts.
		spec.Config.MaxConns = max(2*s.Plan.Conns+100, 10_000)
	}
	server, err := testenv.StartServer(ctx, spec)
	return s.plan(ctx, server, p, spec.CPUs, err)
}

// plan is the plan that drives a server that was started.
func (s Scenario) plan(ctx context.Context, server *testenv.Server, p load.Plan, cpus []int, err error) (*testenv.Server, load.Plan, error) {
	if err != nil {
		return nil, p, err
	}
	target, err := s.target(ctx, server)
	if err != nil {
		return nil, p, errors.Join(err, stop(server))
	}
	p.Targets = []load.Target{target}
	p.ServerCPUs = max(1, len(cpus))
	p.ServerCPU = func() (time.Duration, error) {
		_ = server.Quiesce(context.Background()) // a server that still runs costs precision only
		return server.CPU()
	}
	return server, p, nil
}

func (s Scenario) target(ctx context.Context, server *testenv.Server) (load.Target, error) {
	if s.Command != "" {
		return load.ParseTarget(ctx, strings.ReplaceAll(s.URL, "{addr}", server.Addr()))
	}
	u := url.URL{Scheme: s.Scheme, Host: server.Addr(), Path: s.Path}
	switch {
	case server.Network() == "unix":
		u = url.URL{Scheme: "unix", Path: server.Addr()}
	case u.Scheme == "":
		u.Scheme = "tcp"
	}
	return load.ParseTarget(ctx, u.String())
}

// stop ends a server whose connections are closed already.
func stop(server *testenv.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return server.Stop(ctx)
}
