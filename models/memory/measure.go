package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models"
	"netbench/testenv"
)

// ErrInput is wrapped by the errors of options and subjects that cannot be
// measured as they are, here or at all.
var ErrInput = errors.New("bad input")

type inputError struct{ msg string }

func (e *inputError) Error() string { return e.msg }
func (e *inputError) Unwrap() error { return ErrInput }

func badInput(format string, args ...any) error {
	return &inputError{fmt.Sprintf(format, args...)}
}

// Subject is a server to be measured.
type Subject struct {
	// Name is what the result is called; the server's Model if empty.
	Name string

	// Server is started afresh for each repetition. It may be a program of its
	// own. Without CPUs it gets those of [testenv.Place]; without MaxConns or
	// IdleTimeout in its Config it has neither, as a connection that was closed
	// for want of traffic cannot be measured.
	Server testenv.ServerSpec
}

// Options say how much is measured. The zero value of each field is sane.
type Options struct {
	// Conns are the numbers of connections, ascending; at least two. Default
	// 5000, 10,000 and 15,000. The farther apart, the smaller the error.
	Conns []int

	// Repetitions is the number of fresh server processes, 1 to 1000; default
	// 3. With one, the interval is that of the line's residuals.
	Repetitions int

	// Size is the payload of the exchanged messages in bytes, where the service
	// leaves a choice; default 64.
	Size int

	// Progress is told what happens; nil for nobody.
	Progress func(line string)
}

// Defaults of [Options].
var (
	DefaultConns       = []int{5000, 10_000, 15_000}
	DefaultRepetitions = 3
)

const (
	maxRepetitions = 1000

	// quiesceLimit bounds the wait for the server to be blocked after it was
	// driven, and after it has collected.
	quiesceLimit = 5 * time.Second

	// collectLimit bounds a collection of tens of thousands of stacks.
	collectLimit = time.Minute

	stopLimit = 20 * time.Second
)

// normalize checks o and fills in its defaults.
func (o Options) normalize() (Options, error) {
	if len(o.Conns) == 0 {
		o.Conns = DefaultConns
	}
	o.Repetitions = cmp.Or(o.Repetitions, DefaultRepetitions)
	o.Size = cmp.Or(o.Size, 64)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	switch {
	case len(o.Conns) < 2:
		return o, badInput("conns is %d alone (want two numbers or more: bytes per connection are the slope between them)", o.Conns[0])
	case o.Conns[0] < 1:
		return o, badInput("conns begins with %d (want at least 1)", o.Conns[0])
	case o.Repetitions < 1 || o.Repetitions > maxRepetitions:
		return o, badInput("repetitions is %d (want 1 to %d)", o.Repetitions, maxRepetitions)
	}
	for i, n := range o.Conns[1:] {
		if n <= o.Conns[i] {
			return o, badInput("conns has %d behind %d (want ascending numbers)", n, o.Conns[i])
		}
	}
	return o, nil
}

// scenario is how the subject is started and driven with n connections.
func (s Subject) scenario(n, size int) (scenario.Scenario, error) {
	spec := s.Server
	spec.Config.MaxConns = cmp.Or(spec.Config.MaxConns, models.NoLimit)
	spec.Config.IdleTimeout = cmp.Or(spec.Config.IdleTimeout, models.NoLimit)
	sc := scenario.Scenario{
		Server: spec,
		Plan:   load.Plan{Mode: load.Idle, Conns: n, Duration: time.Millisecond},
	}
	name, _, _ := strings.Cut(spec.Service, "+")
	switch name {
	case "http":
		sc.Scheme, sc.Path = "http", "/plaintext"
	case "frame", "line":
		sc.Scheme = name
	}
	if name == "echo" || name == "frame" {
		sc.Plan.Size = size
	}
	if why := sc.Missing(); why != "" {
		return sc, badInput("%s", why)
	}
	return sc, nil
}

// Measure measures a subject. What it needs of the host (Linux, descriptors) and
// of the options is checked first; such errors wrap [ErrInput], or
// [errors.ErrUnsupported]. Any other error tells of a server that failed or lost
// connections: nothing is known about it then.
func Measure(ctx context.Context, s Subject, o Options) (*Result, error) {
	o, err := o.normalize()
	if err != nil {
		return nil, err
	}
	if err := supported(); err != nil {
		return nil, err
	}
	s.Name = cmp.Or(s.Name, s.Server.Model)
	sc, err := s.scenario(slices.Max(o.Conns), o.Size)
	if err != nil {
		return nil, err
	}
	r := &Result{Model: s.Name, Service: s.Server.Service, Conns: o.Conns, Repetitions: o.Repetitions}
	r.warnOfHugePages()
	for i := range o.Repetitions {
		if err := r.repetition(ctx, sc, i, o); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("%s: repetition %d: %w", s.Name, i+1, err)
		}
	}
	r.fit()
	return r, nil
}

// repetition measures one server process at all numbers of connections.
func (r *Result) repetition(ctx context.Context, sc scenario.Scenario, i int, o Options) (err error) {
	server, plan, err := sc.Start(ctx)
	if err != nil {
		return err
	}
	var sessions []*load.Session
	defer func() {
		if e := reset(server.Network(), server.Addr()); e != nil && err == nil {
			err = e
		}
		for _, s := range sessions {
			s.Close()
		}
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		if e := server.Stop(stop); e != nil && err == nil {
			err = e
		}
	}()
	r.describe(server.Info().Stats)
	open := 0
	var first Point
	for _, n := range o.Conns {
		p := plan
		p.Conns = n - open
		p.Processes = 0
		session, err := load.Dial(ctx, p)
		if err != nil {
			return err
		}
		sessions = append(sessions, session)
		if err := exchange(ctx, session, p.Conns); err != nil {
			return err
		}
		open = n
		point, err := observe(ctx, server)
		if err != nil {
			return err
		}
		point.Repetition, point.Conns = i+1, n
		if n == o.Conns[0] {
			first = point
		}
		r.Points = append(r.Points, point)
		o.Progress(fmt.Sprintf("%s: repetition %d of %d, %d connections: %.1f MiB of user memory",
			r.Model, i+1, o.Repetitions, n, float64(point.User())/(1<<20)))
	}
	r.warnOfTimeWait(first, r.Points[len(r.Points)-1])
	for k, s := range sessions {
		n := o.Conns[k]
		if k > 0 {
			n -= o.Conns[k-1]
		}
		if err := exchange(ctx, s, n); err != nil {
			return fmt.Errorf("after the measurement: %w", err)
		}
	}
	return nil
}

// exchange exchanges messages on all connections of a session.
func exchange(ctx context.Context, s *load.Session, conns int) error {
	res, err := s.Run(ctx, load.Span{})
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case res.Alive != int64(conns) || res.Lost > 0 || res.FirstError != "":
		return fmt.Errorf("%d of %d connections answer, %d were lost (%s)", res.Alive, conns, res.Lost, cmp.Or(res.FirstError, "no error was told"))
	}
	return nil
}

// observe lets the server come to rest, and reads what it holds.
func observe(ctx context.Context, server *testenv.Server) (Point, error) {
	if err := quiesce(ctx, server); err != nil {
		return Point{}, err
	}
	limited, cancel := context.WithTimeout(ctx, collectLimit)
	defer cancel()
	if err := server.Collect(limited); err != nil {
		return Point{}, err
	}
	var p Point
	run, err := server.Runtime(limited)
	if err != nil {
		return p, err
	}
	if err := quiesce(ctx, server); err != nil {
		return p, err
	}
	if p.Tree, err = ReadTree(server.PID()); err != nil {
		return p, err
	}
	if p.Kernel, err = testenv.ReadKernelMemory(); err != nil {
		return p, err
	}
	if run.GoVersion != "" {
		p.Go = &GoMemory{
			Heap: run.HeapInuse, Stacks: run.StackInuse, Goroutines: run.Goroutines,
			Runtime: run.Mapped - min(run.Mapped, run.HeapInuse+run.StackInuse),
		}
	}
	return p, nil
}

// quiesce waits until the server is blocked. One that never is would be
// collecting or closing connections while it is measured.
func quiesce(ctx context.Context, server *testenv.Server) error {
	deadline := time.Now().Add(quiesceLimit)
	for {
		err := server.Quiesce(ctx)
		if !errors.Is(err, testenv.ErrStillRunning) || ctx.Err() != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server does not come to rest within %v of its last exchange: %w", quiesceLimit, err)
		}
	}
}

// describe notes what the server says about itself.
func (r *Result) describe(s models.Stats) {
	r.Variant = s.Variant
	if s.Fallback != "" {
		r.warn("the model fell back: " + s.Fallback)
	}
}

func (r *Result) warn(text string) {
	if !slices.Contains(r.Warnings, text) {
		r.Warnings = append(r.Warnings, text)
	}
}

// timeWaitShare is the change of connections in TIME_WAIT, as a share of those
// that are measured, from which on kernel memory is in doubt. Each holds about
// 300 bytes of slab, beside about 5 KiB for the two ends of an open one.
const timeWaitShare = 0.1

func (r *Result) warnOfTimeWait(first, last Point) {
	change := math.Abs(float64(last.Kernel.TCPTimeWait) - float64(first.Kernel.TCPTimeWait))
	if change > timeWaitShare*float64(last.Conns-first.Conns) {
		r.warn("kernel: connections in TIME_WAIT came or went by more than 10 % of those measured (wait a minute, and measure again)")
	}
}
