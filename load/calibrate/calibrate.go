// Package calibrate measures what the load generator itself costs.
//
// A generator that needs much CPU for a request does not only cap the rate that
// can be measured: it also feeds the server in larger batches, and so changes
// every ratio between servers. So its cost is held against two others.
//
// The first is a closed-loop client in C (reference/client.c) that does the same job with
// the same system calls and nothing else; it is compiled when it is needed. Both
// drive the same server process over connections that are open at the same time,
// in turn, in slices of a tenth of a second in balanced order, each slice with
// the same number of requests for both. A slice begins with the first send and
// ends with the last reply, so the CPU time of a slice belongs to its requests
// and to nothing else. All slices of a few seconds give one number for each
// client, its CPU time per request, and their logarithmic difference is one
// round; the ratio is estimated over rounds, each with fresh processes and
// connections.
//
// The generator's CPU time is that of its whole process, Go runtime included,
// and it is compared with that of a whole C process.
//
// The second is wrk, where it is installed, on HTTP. It cannot be driven in
// slices, so the two take turns in blocks of two seconds, and each is charged all
// that it uses from connecting to closing.
package calibrate

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"netbench/internal/cc"
)

//go:embed reference/client.c
var clientSource []byte

// reference is the C client's source.
var reference = cc.Program{Name: "reference-client", Source: clientSource, Flags: []string{"-std=gnu11", "-Wall"}}

// Limits that the generator is held to.
const (
	// MaxRatio is the most CPU time per echo request that the generator may
	// use, as a multiple of the C client's.
	MaxRatio = 1.15

	// MinYield is the fewest requests per CPU-second that it may make on HTTP,
	// as a multiple of wrk's.
	MinYield = 1.0

	// MaxSteal is the largest share of CPU time that the host may take away
	// during a measurement that is to be judged.
	MaxSteal = 0.05
)

// Workload is a number of connections and the size of an echo request, bytes.
type Workload struct {
	Conns int `json:"conns"`
	Size  int `json:"size"`
}

func (w Workload) String() string { return fmt.Sprintf("%d x %s", w.Conns, formatSize(w.Size)) }

// Workloads are those that the generator is judged by.
var Workloads = []Workload{{100, 64}, {1000, 1 << 10}}

// Server is a running server. It is a process of its own.
type Server interface {
	// Addr is where it listens, a numeric host:port.
	Addr() string

	// CPU is the CPU time that it has used so far, and Quiesce waits, for a
	// bounded time, until it is blocked, when that can be read exactly.
	CPU() (time.Duration, error)
	Quiesce(ctx context.Context) error

	// Stop ends it. It is called once.
	Stop(ctx context.Context) error
}

// Options say what to measure. Zero fields but Start have defaults.
type Options struct {
	// Start starts a server of a service, "echo" or "http".
	Start func(ctx context.Context, service string) (Server, error)

	// CPUs is the generator's CPU set. Each client runs on one thread, so only
	// the first is used; empty leaves the clients where the system puts them.
	CPUs []int

	// ServerCPUs is the CPU set of the servers that Start starts; empty means
	// that they are not pinned. What limited a rate is told from it.
	ServerCPUs []int

	// Workloads to measure, default [Workloads].
	Workloads []Workload

	// Rounds is the number of rounds of each workload, and of wrk, 2 or more;
	// default 8.
	Rounds int

	// Slice is the length of a slice, 5 ms to 10 s; default 100 ms. Round is
	// the length of all slices of a round together; default 4 s. It is rounded
	// up so that both clients stand in each place equally often.
	Slice, Round time.Duration

	// Ceiling is the length of the run that looks for the highest rate; default
	// 500 ms. There is one in each round.
	Ceiling time.Duration

	// Block is the length of one block beside wrk, in whole seconds; default
	// 2 s. WithoutWrk leaves wrk out.
	Block      time.Duration
	WithoutWrk bool

	// Progress gets a line about each round; it may be nil.
	Progress func(line string)
}

// ErrOptions is wrapped by the errors about bad options.
var ErrOptions = errors.New("bad input")

type optionError string

func (e optionError) Error() string { return string(e) }
func (e optionError) Unwrap() error { return ErrOptions }

func (o Options) normalize() (Options, error) {
	bad := func(format string, args ...any) (Options, error) {
		return o, optionError(fmt.Sprintf(format, args...))
	}
	if o.Start == nil {
		return bad("Options.Start is nil (want what starts a server)")
	}
	if len(o.Workloads) == 0 {
		o.Workloads = Workloads
	}
	for _, w := range o.Workloads {
		if w.Conns < 1 || w.Conns > 10_000 || w.Size < 1 || w.Size > 65_521 {
			return bad("workload %d connections x %d bytes (want 1 to 10000 connections and 1 to 65521 bytes)", w.Conns, w.Size)
		}
	}
	if o.Rounds == 0 {
		o.Rounds = 8
	}
	if o.Rounds < 2 || o.Rounds > 10_000 {
		return bad("rounds is %d (want 2 to 10000; the interval of a ratio needs two or more)", o.Rounds)
	}
	for _, d := range []struct {
		name           string
		v              *time.Duration
		zero, min, max time.Duration
	}{
		{"slice", &o.Slice, 100 * time.Millisecond, 5 * time.Millisecond, 10 * time.Second},
		{"round", &o.Round, 4 * time.Second, o.Slice, time.Hour},
		{"ceiling", &o.Ceiling, 500 * time.Millisecond, 10 * time.Millisecond, time.Hour},
		{"block", &o.Block, 2 * time.Second, time.Second, time.Hour},
	} {
		if *d.v == 0 {
			*d.v = d.zero
		}
		if *d.v < d.min || *d.v > d.max {
			return bad("%s is %v (want %v to %v)", d.name, *d.v, d.min, d.max)
		}
	}
	if o.Block%time.Second != 0 {
		return bad("block is %v (want whole seconds, as wrk takes no other)", o.Block)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o, nil
}

// Calibrate measures the generator beside the C client and, if wrk is installed,
// beside wrk.
//
// Its errors wrap [ErrOptions] if the options are bad, [cc.ErrNoCompiler] if the
// client cannot be compiled here, and [errors.ErrUnsupported] if this is not
// Linux. A failure in a round, such as a lost connection, is no error: the report
// is then unfit and says why. When ctx ends, the report holds what was measured
// until then, is unfit, and comes together with ctx's error.
func Calibrate(ctx context.Context, o Options) (*Report, error) {
	o, err := o.normalize()
	if err != nil {
		return nil, err
	}
	return measure(ctx, o)
}
