package gcprofile

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Defaults of [Plan].
const (
	DefaultShare       = 0.3
	DefaultCapacityFor = 3 * time.Second
	DefaultBlocks      = 5
)

// Plan says which settings to compare, and how.
type Plan struct {
	Spec     Spec      // the server; its own GOGC and MemLimit do not count
	Settings []Setting // nil means DefaultSettings

	// Drive drives all of them alike. If its Rate is 0, it is Share of the rate that
	// a closed loop reaches beforehand with the runtime's default settings.
	Drive Drive
	Share float64 // 0 to 1; 0 means DefaultShare

	// CapacityFor is how long the closed loop lasts; 0 means DefaultCapacityFor.
	CapacityFor time.Duration

	// Blocks is the number of rounds, each of which has one block of every setting;
	// 0 means DefaultBlocks. Fewer than three predict nothing.
	Blocks int

	// Seed makes the orders of the rounds repeatable; 0 is a seed too.
	Seed uint64

	// Host is where memory is looked for; the zero value is this host.
	Host Host

	// Progress is told one line about each block; nil for nobody.
	Progress func(line string)
}

func (p Plan) withDefaults() Plan {
	p.Spec = p.Spec.withDefaults()
	if p.Settings == nil {
		p.Settings = DefaultSettings(p.Spec.Live)
	}
	p.Drive = p.Drive.withDefaults()
	p.Share = cmp.Or(p.Share, DefaultShare)
	p.CapacityFor = cmp.Or(p.CapacityFor, DefaultCapacityFor)
	p.Blocks = cmp.Or(p.Blocks, DefaultBlocks)
	if p.Host.Root == nil {
		p.Host = ThisHost()
	}
	if p.Progress == nil {
		p.Progress = func(string) {}
	}
	return p
}

// Check returns an error in one line that wraps [ErrInput] for what cannot be
// measured, before anything is started.
func (p Plan) Check() error {
	p = p.withDefaults()
	if len(p.Settings) == 0 {
		return badInput("no settings are given (want at least one, for instance 100 or off@1.5)")
	}
	if !(p.Share > 0 && p.Share <= 1) {
		return badInput("the share of the capacity is %v (want more than 0, up to 1)", p.Share)
	}
	if p.CapacityFor < time.Millisecond {
		return badInput("the capacity is measured for %v (want at least 1ms)", p.CapacityFor)
	}
	if p.Blocks < 1 || p.Blocks > 1000 {
		return badInput("blocks is %d (want 1 to 1000 of each setting)", p.Blocks)
	}
	drive := p.Drive
	drive.Rate = cmp.Or(drive.Rate, 1) // measured beforehand
	if err := drive.Check(); err != nil {
		return err
	}
	for i, s := range p.Settings {
		if slices.Contains(p.Settings[:i], s) {
			return badInput("the setting %s is given twice", s)
		}
		if err := p.Spec.With(s).Check(p.Host); err != nil {
			return err
		}
	}
	return p.Spec.With(Setting{}).Check(p.Host)
}

// Sweep measures all settings of a plan. An error, also that of a ctx that ended, comes
// with what was measured before, or with no report if there was nothing.
func Sweep(ctx context.Context, p Plan) (*Report, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	p = p.withDefaults()
	r := &Report{Spec: p.Spec, Seed: p.Seed, Rounds: p.Blocks, Host: hostFacts()}
	for _, s := range p.Settings {
		r.Rows = append(r.Rows, Row{Setting: s})
	}
	if p.Drive.Rate == 0 {
		var err error
		if r.Capacity, err = capacity(ctx, p); err != nil {
			return nil, interrupted(ctx, err)
		}
		r.Share = p.Share
		p.Drive.Rate = p.Share * r.Capacity
		p.Progress(fmt.Sprintf("capacity %.0f requests/s; the rate is %.0f/s", r.Capacity, p.Drive.Rate))
	}
	r.Drive = p.Drive
	order := rand.New(rand.NewPCG(p.Seed, 0x6763)) // any constant
	for round := range p.Blocks {
		for k, i := range order.Perm(len(p.Settings)) {
			b, err := MeasureFresh(ctx, p.Spec.With(p.Settings[i]), p.Drive)
			if err != nil {
				err = interrupted(ctx, fmt.Errorf("%s: %w", p.Settings[i], err))
				if round == 0 && k == 0 {
					return nil, err
				}
				return r.finish(), err
			}
			r.Rows[i].Blocks = append(r.Rows[i].Blocks, b)
			p.Progress(fmt.Sprintf("round %d of %d, %d of %d: %s: %d collections in %.1f s",
				round+1, p.Blocks, k+1, len(p.Settings), p.Settings[i], b.Collections, b.Lasted.Seconds()))
		}
	}
	return r.finish(), nil
}

// interrupted is the error of a ctx that has ended in place of what followed from it.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", ctx.Err())
	}
	return err
}

// MeasureFresh is one block of a server that is started for it and stopped after it.
func MeasureFresh(ctx context.Context, spec Spec, d Drive) (*Block, error) {
	s, err := Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	b, err := Measure(ctx, s, d)
	return b, end(ctx, s, err)
}

// end stops a server whose connections are closed. After a failure that is err, which
// is returned then: that a server which has failed cannot be stopped well follows from it.
func end(ctx context.Context, s *Server, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return cmp.Or(err, s.Stop(ctx))
}

func capacity(ctx context.Context, p Plan) (float64, error) {
	s, err := Start(ctx, p.Spec.With(Setting{}))
	if err != nil {
		return 0, err
	}
	rate, err := Capacity(ctx, s, p.Drive.Conns, p.CapacityFor)
	return rate, end(ctx, s, err)
}
