package cli

import (
	"flag"
	"fmt"
	"time"

	"netbench/gate"
	"netbench/testenv"
)

// gatePace is how long gates take and in what order things happen in them, as the
// flags of gate, its self-test and bisect say it.
type gatePace struct {
	rounds, slices int
	slice          time.Duration
	seed           uint64
}

// declare declares the flags, but for -seed.
func (p *gatePace) declare(flags *flag.FlagSet) {
	flags.IntVar(&p.rounds, "rounds", gate.DefaultRounds, "rounds of a gate, each with fresh processes (`number`)")
	flags.DurationVar(&p.slice, "slice", 100*time.Millisecond, "`length` of a slice of load on one arm")
	flags.IntVar(&p.slices, "slices", gate.DefaultSlices, "slices of each arm in a round (`number`)")
}

func (p *gatePace) check() error {
	switch {
	case p.rounds < 2:
		return fmt.Errorf("-rounds is %d (want 2 or more)", p.rounds)
	case p.slice < 10*time.Millisecond:
		return fmt.Errorf("-slice is %v (want at least 10ms: starting and draining would weigh too much)", p.slice)
	case p.slices < 1:
		return fmt.Errorf("-slices is %d (want 1 or more)", p.slices)
	}
	return nil
}

// options are those of each gate.
func (p *gatePace) options(rules gate.Rules) gate.Options {
	return gate.Options{Rules: rules, Rounds: p.rounds, Slice: p.slice, Slices: p.slices, Seed: p.seed, Memory: idleMemory}
}

// gatePlace divides the CPUs between servers and generator.
func gatePlace() (testenv.Placement, error) {
	place, err := testenv.Place()
	if err == nil && !place.Disjoint {
		err = fmt.Errorf("a gate needs two CPUs or more, so that servers and generator have their own (%s)", place.Reason)
	}
	return place, err
}
