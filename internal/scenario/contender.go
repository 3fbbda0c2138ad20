package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"netbench/load"
	"netbench/testenv"
)

// Contender makes the scenario's server a contender of [load.Interleave], under
// the given name. Drive it with the plan that [Scenario.ComparingPlan] returns.
func (s Scenario) Contender(name string) load.Contender {
	return load.Contender{Name: name, Start: func(ctx context.Context) (load.Subject, error) {
		server, p, err := s.Start(ctx)
		if err != nil {
			return nil, err
		}
		return &subject{Server: server, target: p.Targets[0], cpus: p.ServerCPUs}, nil
	}}
}

// ComparingPlan is the scenario's plan with the generator placed.
func (s Scenario) ComparingPlan() (load.Plan, error) {
	p := s.Plan
	place, err := testenv.Place()
	if err == nil && len(p.CPUs) == 0 {
		p.CPUs = place.Generator
	}
	return p, err
}

// subject is a server under comparison.
type subject struct {
	*testenv.Server
	target load.Target
	cpus   int
}

func (s *subject) Target() load.Target { return s.target }
func (s *subject) CPUs() int           { return s.cpus }

func (s *subject) Quiesce(ctx context.Context) (bool, error) {
	err := s.Server.Quiesce(ctx)
	if errors.Is(err, testenv.ErrStillRunning) {
		return false, ctx.Err()
	}
	return err == nil, err
}

func (s *subject) Count(context.Context) (func() (load.Counts, error), error) {
	set, err := s.Server.Counters()
	if err != nil {
		return nil, err
	}
	return func() (load.Counts, error) {
		n, err := set.Read()
		if err := errors.Join(err, set.Close()); err != nil {
			return load.Counts{}, fmt.Errorf("count system calls: %w", err)
		}
		var c load.Counts
		if n.NoSyscalls == "" {
			c.Syscalls = &n.Syscalls
		}
		c.Absent = cmp.Or(n.NoSyscalls, n.NoCtxSwitches)
		if n.NoCtxSwitches == "" {
			c.Switches = &n.CtxSwitches
		}
		return c, nil
	}, nil
}

func (s *subject) Allocated(ctx context.Context) (load.Allocations, error) {
	r, err := s.Server.Runtime(ctx)
	return load.Allocations{Objects: r.Mallocs, Bytes: r.AllocBytes, Absent: r.GoVersion == ""}, err
}
