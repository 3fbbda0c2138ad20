package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"

	"netbench/internal/profiles"
	"netbench/load"
)

// endLimit bounds the time in which a server writes its profiles.
const endLimit = 30 * time.Second

// Profiling says how profiles of a scenario's server are taken.
type Profiling struct {
	Dir   string          // for the files; has to exist
	Kinds []profiles.Kind // at least one
	For   time.Duration   // of load while all but the trace are taken
	Trace time.Duration   // of load while the trace is taken, by itself
}

// Profile starts the scenario's server, drives it as the benchmark does, warm-up
// included, and has it take its profiles meanwhile. The result is that of the load
// under which all but the trace were taken; its figures are those of a server that is
// being profiled. It is nil if a trace is all that was asked for.
func (s Scenario) Profile(ctx context.Context, p Profiling) (res *load.Result, err error) {
	var r rig
	defer func() {
		if e := r.close(); err == nil && e != nil {
			err = fmt.Errorf("%s: %w", s.Name, e)
		}
	}()
	if err := r.setUp(s); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	traced := slices.Contains(p.Kinds, profiles.Trace)
	others := slices.DeleteFunc(slices.Clone(p.Kinds), func(k profiles.Kind) bool { return k == profiles.Trace })
	if len(others) > 0 {
		if res, err = r.profile(ctx, p.Dir, p.For, others...); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	if traced {
		if _, err := r.profile(ctx, p.Dir, p.Trace, profiles.Trace); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return res, nil
}

// profile drives the server for a time while it takes these profiles.
func (r *rig) profile(ctx context.Context, dir string, d time.Duration, kinds ...profiles.Kind) (*load.Result, error) {
	if err := r.server.BeginProfiles(ctx, dir, kinds...); err != nil {
		return nil, err
	}
	res, err := r.session.Run(ctx, load.Span{Duration: d})
	if err == nil {
		err = ctx.Err() // an interrupted run is a shorter one, without an error
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	if e := r.server.EndProfiles(ending); err == nil {
		err = e
	}
	return res, err
}
