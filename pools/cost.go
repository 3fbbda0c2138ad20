package pools

import (
	"context"
	"fmt"
	"time"

	"netbench/internal/cpu"
	"netbench/load"
)

// Cost is what something costs that can be switched on beside a pool, such as a
// monitor.
type Cost struct {
	Off, On    []*Outcome // by round
	load.Ratio            // of this process's CPU time by call, on over off

	// Switching is the CPU time that it takes to switch it on and off again, on
	// average. A service does that once, so it is no part of the ratio.
	Switching time.Duration
}

// Verdicts of [Cost.Below].
const (
	Met       = "met"       // the whole interval is below the bound
	Missed    = "missed"    // none of it is
	Undecided = "undecided" // a part of it is: the rounds do not tell
)

// Below says whether the cost is shown to be less than a share of the CPU time, 0.01
// being 1 %.
func (c Cost) Below(share float64) string {
	switch bound := 1 + share; {
	case c.Hi < bound:
		return Met
	case c.Lo >= bound:
		return Missed
	}
	return Undecided
}

// CostOf drives do in rounds of pairs of slices of l.For each, one slice of each pair
// with something switched on, in the order off, on, on, off. A call that fails ends it,
// as the rest would not be comparable.
func CostOf(ctx context.Context, rounds, pairs int, l Load, do func(context.Context) error, switchOn func() (switchOff func(), err error)) (c Cost, err error) {
	if rounds < 1 || pairs < 1 {
		return c, fmt.Errorf("the cost of something in %d rounds of %d pairs of slices: at least 1 of each is needed", rounds, pairs)
	}
	var switching time.Duration // of all slices; of those that switch nothing it is next to none
	slice := func(on bool, sum *Outcome) error {
		switchOff, before := func() {}, cpu.Used()
		if on {
			if switchOff, err = switchOn(); err != nil {
				return err
			}
		}
		switching += cpu.Used() - before
		o, err := Drive(ctx, l, do)
		before = cpu.Used()
		switchOff()
		switching += cpu.Used() - before
		l.Seed++
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case o.First != nil:
			return o.First
		}
		sum.plus(o)
		return nil
	}
	if err := slice(false, Merge(nil)); err != nil { // connections are opened
		return c, err
	}
	for range rounds {
		sums := [2]*Outcome{Merge(nil), Merge(nil)}
		for i := range 2 * pairs {
			on := (i + i/2) % 2 // off, on, on, off
			if err := slice(on == 1, sums[on]); err != nil {
				return c, err
			}
		}
		c.Off, c.On = append(c.Off, sums[0]), append(c.On, sums[1])
	}
	c.Switching = switching / time.Duration(rounds*pairs)
	c.Ratio = RatioOf((*Outcome).CPUPerOp, c.Off, c.On)
	return c, nil
}
