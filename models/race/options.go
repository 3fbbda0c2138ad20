package race

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

// State is how contenders are driven.
type State string

const (
	Saturated State = "saturated" // closed loop: as fast as replies come
	Paced     State = "paced"     // open loop at one rate for all
)

// States lists both.
var States = []State{Saturated, Paced}

// Defaults of [Options].
const (
	DefaultConns  = 100
	DefaultSize   = 64
	DefaultRounds = 12

	// defaultSlice is the length of a slice with up to 2000 active connections.
	// With more, each has slicePerConn: a slice in which the generator has no
	// time to send on every connection and hear from it measures how it starts
	// and ends. On one CPU it takes 5 to 10 µs for that.
	defaultSlice = 100 * time.Millisecond
	slicePerConn = 50 * time.Microsecond

	// defaultSlices is the number of slices of the default length, of longer
	// ones fewer.
	defaultSlices = 20
	fewestSlices  = 4

	// paceShare is the common rate of a paced race as a share of the slowest
	// contender's capacity: busy, and far enough from the knee that queues stay
	// short.
	paceShare = 0.7

	shortestSlice = 10 * time.Millisecond
)

// ErrInput is wrapped by every error that tells of a race that cannot be run as
// asked. ErrUndecided is wrapped where it ran and nothing came of it.
var (
	ErrInput     = errors.New("bad input")
	ErrUndecided = errors.New("undecided")
)

type raceError struct {
	text string
	kind error
}

func (e *raceError) Error() string { return e.text }
func (e *raceError) Unwrap() error { return e.kind }

func badInput(format string, args ...any) error {
	return &raceError{fmt.Sprintf(format, args...), ErrInput}
}

// Options say who races over what. Zero fields of numbers mean the defaults.
type Options struct {
	// Entrants take part in this order. LeaveOut leaves out those that this host
	// lacks, that cannot run the service, or cannot be built or started, with the
	// reason in the report; otherwise they are an error.
	Entrants []Entrant
	LeaveOut bool

	// Absent are those that were left out before, with the reason. The report has
	// them with those that are left out here.
	Absent []Absence

	Baseline string // the entrant that ratios refer to; "" means the first
	State    State  // default Saturated

	// Service is a service by name, as [models.ParseService] takes it. One
	// suffix more is known here: +compute=D, for instance +compute=10us, has
	// each answer compute for so long. It becomes +spin=N, with N found on this
	// host before the race.
	Service string

	run string // Service as it is run, once +compute is resolved

	Conns    int // connections to each contender
	Size     int // bytes of an echo or frame request
	Pipeline int // requests outstanding on one connection; default 1

	// IdleShare is the share of the connections, 0 to less than 1, that are held
	// without traffic and proven alive before and after each round.
	IdleShare float64

	Rounds      int           // at least 2
	Slice       time.Duration // at least 10ms; by default 100 ms, and more with more than 2000 active connections
	Slices      int           // of each contender in a round; see load.Comparing
	CountSlices int           // see load.Comparing
	Warmup      time.Duration // of each contender in a round; see load.Comparing
	Seed        uint64

	// Rate is the common rate of a paced race, requests a second; 0 finds it.
	Rate float64

	// Config is what all contenders get. Its Service has to be nil. By default
	// connections have no idle time-out, because each waits while others are
	// driven.
	Config models.Config

	// Place says where servers and generator run; nil asks testenv.Place. The
	// caller moves its own process off the server's CPUs.
	Place *testenv.Placement

	// Memory measures user memory per idle connection, bytes; nil leaves it
	// absent. It is called when the rounds are over.
	Memory func(ctx context.Context, e Entrant) (bytes float64, err error)

	// Log gets a line now and then; nil for nobody. Progress is told about each
	// round when it is over; it may be nil.
	Log      func(line string)
	Progress func(round, rounds int, took time.Duration, r *load.Round)
}

// normalize checks o and returns it with defaults filled in.
func (o Options) normalize() (Options, error) {
	o.Service = cmp.Or(o.Service, "echo")
	o.State = cmp.Or(o.State, Saturated)
	o.Conns = cmp.Or(o.Conns, DefaultConns)
	o.Size = cmp.Or(o.Size, DefaultSize)
	o.Pipeline = cmp.Or(o.Pipeline, 1)
	o.Rounds = cmp.Or(o.Rounds, DefaultRounds)
	o.Config.IdleTimeout = cmp.Or(o.Config.IdleTimeout, models.NoLimit)
	if o.Log == nil {
		o.Log = func(string) {}
	}
	if o.Slice == 0 {
		o.Slice = max(defaultSlice, time.Duration(o.Conns-o.silent())*slicePerConn)
	}
	switch {
	case !slices.Contains(States, o.State):
		return o, badInput("state %q is unknown (use saturated or paced)", o.State)
	case o.Conns < 1:
		return o, badInput("conns is %d (want at least 1)", o.Conns)
	case o.Rounds < 2:
		return o, badInput("rounds is %d (want at least 2: one round has no confidence interval)", o.Rounds)
	case o.Slice < shortestSlice:
		return o, badInput("slice is %v (want at least %v: starting and draining would weigh too much)", o.Slice, shortestSlice)
	case !(o.IdleShare >= 0 && o.IdleShare < 1):
		return o, badInput("idle share is %v (want 0 or more, and less than 1)", o.IdleShare)
	case o.silent() >= o.Conns:
		return o, badInput("an idle share of %v leaves none of %d connections active", o.IdleShare, o.Conns)
	case o.Rate != 0 && o.State != Paced:
		return o, badInput("a rate needs state paced (a saturated contender sets its own)")
	case !(o.Rate >= 0 && o.Rate <= 1e8):
		return o, badInput("rate is %v (want requests a second, more than 0 and up to 1e8)", o.Rate)
	}
	if o.Slices == 0 {
		o.Slices = max(fewestSlices, int(defaultSlices*defaultSlice/max(o.Slice, defaultSlice)))
	}
	if o.Warmup == 0 && o.Slice > defaultSlice {
		o.Warmup = 3 * o.Slice // as long as load's own for slices of the default length
	}
	return o, o.checkEntrants()
}

func (o Options) checkEntrants() error {
	if len(o.Entrants) < 2 && !o.LeaveOut {
		return badInput("%d model cannot race (give two or more)", len(o.Entrants))
	}
	for i, e := range o.Entrants {
		if slices.ContainsFunc(o.Entrants[:i], func(f Entrant) bool { return f.Name == e.Name }) {
			return badInput("model %s is listed twice", e.Name)
		}
	}
	if o.Baseline != "" && !slices.ContainsFunc(o.Entrants, func(e Entrant) bool { return e.Name == o.Baseline }) {
		return badInput("baseline %q is not among the models (use one of %s)", o.Baseline, names(o.Entrants))
	}
	return nil
}

// silent is the number of connections without traffic.
func (o Options) silent() int { return int(math.Round(float64(o.Conns) * o.IdleShare)) }

func names(entrants []Entrant) string {
	var all []string
	for _, e := range entrants {
		all = append(all, e.Name)
	}
	return strings.Join(all, ", ")
}
