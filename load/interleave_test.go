package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeSubject echoes in this process and claims a fixed CPU time for each
// request, so that what Interleave computes from it is known beforehand.
type fakeSubject struct {
	l       net.Listener
	target  Target
	perOp   time.Duration
	size    int
	served  atomic.Int64 // bytes
	dieAt   atomic.Int64 // bytes after which it hangs up; 0 for never
	running bool         // never blocked
	stopped atomic.Int32
	conns   sync.WaitGroup
}

func startFake(ctx context.Context, perOp time.Duration, size int) (*fakeSubject, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	target, err := ParseTarget(ctx, "tcp://"+l.Addr().String())
	if err != nil {
		return nil, err
	}
	s := &fakeSubject{l: l, target: target, perOp: perOp, size: size}
	s.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Go(func() { s.serve(c) })
		}
	})
	return s, nil
}

func (s *fakeSubject) serve(c net.Conn) {
	defer c.Close()
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if total, at := s.served.Add(int64(n)), s.dieAt.Load(); at > 0 && total > at {
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

func (s *fakeSubject) Target() Target { return s.target }
func (s *fakeSubject) CPUs() int      { return 1 }
func (s *fakeSubject) CPU() (time.Duration, error) {
	return time.Duration(s.served.Load()/int64(s.size)) * s.perOp, nil
}
func (s *fakeSubject) Quiesce(context.Context) (bool, error) { return !s.running, nil }
func (s *fakeSubject) Count(context.Context) (func() (Counts, error), error) {
	from := s.served.Load()
	return func() (Counts, error) {
		n := uint64(s.served.Load()-from) / uint64(s.size) * 3
		return Counts{Syscalls: &n}, nil
	}, nil
}
func (s *fakeSubject) Allocated(context.Context) (Allocations, error) {
	n := uint64(s.served.Load()) / uint64(s.size)
	return Allocations{Objects: 2 * n, Bytes: 64 * n}, nil
}
func (s *fakeSubject) Stop(context.Context) error {
	s.stopped.Add(1)
	err := s.l.Close()
	s.conns.Wait()
	return err
}

// fakes makes contenders of the given CPU time for each request, and remembers
// what was started.
type fakes struct {
	mu      sync.Mutex
	started []string
	all     []*fakeSubject
}

func (f *fakes) contender(name string, perOp time.Duration, change func(*fakeSubject)) Contender {
	return Contender{Name: name, Start: func(ctx context.Context) (Subject, error) {
		s, err := startFake(ctx, perOp, 64)
		if err != nil {
			return nil, err
		}
		if change != nil {
			change(s)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.started = append(f.started, name)
		f.all = append(f.all, s)
		return s, nil
	}}
}

// short is a comparison that takes a fraction of a second.
func short(rounds int) Comparing {
	return Comparing{Plan: Plan{Conns: 4}, Rounds: rounds, Slice: 10 * time.Millisecond, Slices: 4, Warmup: 5 * time.Millisecond}
}

func TestInterleaveFindsTheDifferenceBetweenContenders(t *testing.T) {
	var f fakes
	c, err := Interleave(t.Context(), short(4),
		f.contender("a", 10*time.Microsecond, nil), f.contender("b", 10500*time.Nanosecond, nil))
	require.NoError(t, err)
	require.Len(t, c.Rounds, 4)
	r := c.Ratio(0, 1, func(s *Sample) (float64, bool) { return *s.ServerPerOp, true })
	assert.Equal(t, 4, r.N)
	assert.InDelta(t, 1.05, r.Mean, 1e-4)
	for _, round := range c.Rounds {
		require.Empty(t, round.Invalid)
		for i, s := range round.Samples {
			assert.Equal(t, c.Names[i], s.Name)
			assert.InDelta(t, 3, *s.SyscallsPerOp, 1e-9)
			assert.InDelta(t, 2, *s.AllocsPerOp, 1e-9)
			assert.InDelta(t, 64, *s.BytesPerOp, 1e-9)
			assert.Nil(t, s.SwitchesPerOp, "an absent counter is absent")
			assert.Positive(t, s.Requests)
			assert.Zero(t, s.OutsideCPU, "nothing is served outside its own slices, timed or counted")
		}
	}
	for _, s := range f.all {
		assert.EqualValues(t, 1, s.stopped.Load(), "each server is stopped once")
	}
	assert.Len(t, f.all, 8, "each round has fresh servers")
}

func TestInterleaveAlternatesWhoIsStartedFirst(t *testing.T) {
	var f fakes
	c, err := Interleave(t.Context(), short(4), f.contender("a", 1000, nil), f.contender("b", 1000, nil))
	require.NoError(t, err)
	var first []string
	for i := 0; i < len(f.started); i += 2 {
		first = append(first, f.started[i])
	}
	assert.NotEqual(t, first[0], first[1])
	assert.Equal(t, first[:2], first[2:])
	assert.NotEqual(t, c.Rounds[0].Order, c.Rounds[1].Order)
}

func TestExchangingContendersChangesOnlyTheSign(t *testing.T) {
	c := &Comparison{Names: []string{"a", "b"}}
	for i := range 7 {
		per := []float64{1000 + 13*float64(i), 1100 - 7*float64(i)}
		r := &Round{}
		for k := range per {
			r.Samples = append(r.Samples, &Sample{Result: &Result{ServerPerOp: &per[k], Valid: Valid{CPU: true}}})
		}
		c.Rounds = append(c.Rounds, r)
	}
	ab, ba := c.Ratio(0, 1, ServerCPUPerOp), c.Ratio(1, 0, ServerCPUPerOp)
	for i := range ab.D {
		assert.Equal(t, ab.D[i], -ba.D[i])
	}
	assert.InDelta(t, 1, ab.Mean*ba.Mean, 1e-12)
	assert.InDelta(t, 1, ab.Lo*ba.Hi, 1e-12)
	assert.InDelta(t, ab.SD, ba.SD, 1e-15)
	c.Rounds[2].Invalid = "a: it crashed"
	c.Rounds[3].Samples[0].Valid.CPU = false
	assert.Equal(t, 5, c.Ratio(0, 1, ServerCPUPerOp).N, "invalid rounds and metrics do not count")
}

func TestRatioIsStudentsIntervalOnLogarithms(t *testing.T) {
	// Mean 0.02, sd 0.01, n 4: t(0.975, 3) = 3.1824, half width 0.015912.
	d := []float64{0.01, 0.01, 0.03, 0.03}
	sd := math.Sqrt(4 * 0.0001 / 3)
	r := ratioOf(d)
	half := 3.182446 * sd / 2
	assert.InDelta(t, math.Exp(0.02), r.Mean, 1e-9)
	assert.InDelta(t, math.Exp(0.02-half), r.Lo, 1e-6)
	assert.InDelta(t, math.Exp(0.02+half), r.Hi, 1e-6)
	assert.InDelta(t, sd, r.SD, 1e-12)
	one := ratioOf(d[:1])
	assert.Zero(t, one.Lo)
	assert.True(t, math.IsInf(one.Hi, 1), "one round bounds nothing")
	b, err := json.Marshal(one)
	require.NoError(t, err)
	assert.JSONEq(t, fmt.Sprintf(`{"n":1,"d":[0.01],"mean":%v}`, one.Mean), string(b))
	b, err = json.Marshal(ratioOf(nil))
	require.NoError(t, err)
	assert.JSONEq(t, `{"n":0,"d":null}`, string(b))
}

func TestSlicesStandInEachPlaceEquallyOften(t *testing.T) {
	assert.Equal(t, []int{0, 1, 1, 0, 1, 0, 0, 1}, balanced(2, 4, 0), "ABBA BAAB")
	for k := 2; k <= 7; k++ {
		slices := 2 * k
		order := balanced(k, slices, 3)
		require.Len(t, order, k*slices)
		sum := make([]int, k)
		count := make([]int, k)
		for at, i := range order {
			sum[i] += at
			count[i]++
		}
		for i := range k {
			assert.Equal(t, slices, count[i])
			assert.Equal(t, sum[0], sum[i], "the mean place of %d of %d, so that a linear drift cancels", i, k)
		}
	}
}

func TestEveryContenderFollowsEveryOtherEquallyOften(t *testing.T) {
	for k := 2; k <= 20; k++ {
		order := balanced(k, 2*k, 5)
		follows := map[[2]int]int{}
		// Within each passage, as between two of them one meets itself.
		for at := range order {
			if at%k != 0 {
				follows[[2]int{order[at-1], order[at]}]++
			}
		}
		for a := range k {
			for b := range k {
				if a != b {
					assert.Equal(t, 2, follows[[2]int{a, b}], "%d before %d of %d", a, b, k)
				}
			}
		}
	}
}

func TestAContenderThatDiesInvalidatesTheRoundByName(t *testing.T) {
	var f fakes
	c, err := Interleave(t.Context(), short(2), f.contender("good", 1000, nil),
		f.contender("bad", 1000, func(s *fakeSubject) { s.dieAt.Store(1000) }))
	require.NoError(t, err)
	for _, r := range c.Rounds {
		assert.Contains(t, r.Invalid, "bad: ")
	}
	assert.Zero(t, c.Ratio(0, 1, GeneratorCPUPerOp).N)
	assert.Empty(t, c.Values(0, GeneratorCPUPerOp))
}

func TestAContenderThatNeverRestsHasNoValidCPU(t *testing.T) {
	var f fakes
	c, err := Interleave(t.Context(), short(1), f.contender("a", 1000, nil),
		f.contender("b", 1000, func(s *fakeSubject) { s.running = true }))
	require.NoError(t, err)
	assert.False(t, c.Rounds[0].Samples[1].Valid.CPU)
	assert.True(t, slices.ContainsFunc(c.Rounds[0].Samples[1].Reasons, func(r string) bool {
		return len(r) > 4 && r[:4] == "cpu:"
	}), "%v", c.Rounds[0].Samples[1].Reasons)
}

func TestInterleaveEndsWithItsContext(t *testing.T) {
	var f fakes
	ctx, cancel := context.WithCancel(t.Context())
	plan := short(1000)
	plan.Progress = func(round, _ int, _ time.Duration, _ *Round) {
		if round == 2 {
			cancel()
		}
	}
	c, err := Interleave(ctx, plan, f.contender("a", 1000, nil), f.contender("b", 1000, nil))
	require.ErrorIs(t, err, context.Canceled)
	assert.Len(t, c.Rounds, 2, "what was measured is kept")
	for _, s := range f.all {
		assert.EqualValues(t, 1, s.stopped.Load())
	}
}

func TestInterleaveRefusesWhatCannotBeCompared(t *testing.T) {
	var f fakes
	a := f.contender("a", 1000, nil)
	broken := Contender{Name: "broken", Start: func(context.Context) (Subject, error) { return nil, errors.New("no such program") }}
	for name, tc := range map[string]struct {
		change     func(*Comparing)
		contenders []Contender
		want       string
	}{
		"one contender":  {contenders: []Contender{a}, want: "there are 1 contenders"},
		"broken":         {contenders: []Contender{a, broken}, want: "start broken: no such program"},
		"stream":         {contenders: []Contender{a, a}, change: func(c *Comparing) { c.Plan.Mode = Stream }, want: "stream"},
		"tiny slices":    {contenders: []Contender{a, a}, change: func(c *Comparing) { c.Slice = 1 }, want: "slice"},
		"fewer than one": {contenders: []Contender{a, a}, change: func(c *Comparing) { c.Rounds = -1 }, want: "rounds"},
		"bad plan":       {contenders: []Contender{a, a}, change: func(c *Comparing) { c.Plan.Conns = -1 }, want: "conns"},
	} {
		t.Run(name, func(t *testing.T) {
			c := short(1)
			if tc.change != nil {
				tc.change(&c)
			}
			_, err := Interleave(t.Context(), c, tc.contenders...)
			require.ErrorContains(t, err, tc.want)
		})
	}
	for _, s := range f.all {
		assert.EqualValues(t, 1, s.stopped.Load(), "what was started is stopped")
	}
}
