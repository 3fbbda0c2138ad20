package memory

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models"
	"netbench/models/goroutine"
	"netbench/results"
	"netbench/testenv"
)

// few is enough to tell kilobytes apart.
var few = Options{Conns: []int{200, 600, 1000}, Repetitions: 1}

func measure(t *testing.T, model, service string) *Result {
	t.Helper()
	before := descriptors(t)
	r, err := Measure(t.Context(), Subject{Server: testenv.ServerSpec{Model: model, Service: service, StartTimeout: time.Minute}}, few)
	require.NoError(t, err)
	assert.Equal(t, before, descriptors(t), "no descriptor is left open")
	assert.Equal(t, model, r.Model)
	require.Len(t, r.Points, 3)
	for i, p := range r.Points {
		assert.Equal(t, few.Conns[i], p.Conns)
		assert.Equal(t, 1, p.Processes)
		require.NotNil(t, p.Go)
		assert.GreaterOrEqual(t, p.Go.Goroutines, p.Conns)
		assert.GreaterOrEqual(t, p.Kernel.TCPSockets, uint64(2*p.Conns), "both ends are on this host")
	}
	return r
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(names)
}

func TestSlopeShowsWhatAConnectionHolds(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own memory is many times what is looked for")
	}
	plain := measure(t, goroutine.Name, "echo")
	more := measure(t, holdingName, "echo")
	assert.InDelta(t, held, more.Heap.PerConn-plain.Heap.PerConn, held/8, "heap")
	assert.InDelta(t, held, more.User.PerConn-plain.User.PerConn, held/4, "anonymous memory")
	assert.InDelta(t, plain.Stacks.PerConn, more.Stacks.PerConn, held/8, "it is not in the stacks")

	// A socket, its inode and its file take some hundred bytes at the least.
	assert.Greater(t, plain.KernelBothEnds.PerConn, 1000.0)
	assert.InDelta(t, plain.KernelBothEnds.PerConn, 2*plain.KernelPerEnd.PerConn, 1e-6)
}

func TestTheHeapsOfSeveralProcessesAreSummed(t *testing.T) {
	server := testenv.ServerSpec{
		Model: "prefork-goroutine", Service: "echo", StartTimeout: time.Minute,
		Config: models.Config{Listeners: 2},
	}
	r, err := Measure(t.Context(), Subject{Server: server}, few)
	require.NoError(t, err)
	require.NotNil(t, r.Heap)
	require.NotNil(t, r.Stacks)
	require.NotNil(t, r.Runtime)
	for _, p := range r.Points {
		assert.Equal(t, 3, p.Processes)
		assert.GreaterOrEqual(t, p.Go.Goroutines, p.Conns)
	}
	assert.Greater(t, r.Heap.PerConn, float64(models.DefaultReadBuffer)/2, "a buffer in one of the workers")
}

func TestLeanVariantSavesTheReadBuffer(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own memory is many times what is looked for")
	}
	for _, service := range []string{"echo", "http"} {
		plain, lean := measure(t, goroutine.Name, service), measure(t, goroutine.NameLean, service)
		assert.Equal(t, "lean", lean.Variant)
		assert.InDelta(t, models.DefaultReadBuffer, plain.Heap.PerConn-lean.Heap.PerConn, 600, "%s: heap", service)
		assert.Less(t, lean.User.PerConn, plain.User.PerConn-models.DefaultReadBuffer/2, service)
		// The smallest stack there is; some may have grown, as the first
		// connections fill pools.
		assert.InDelta(t, 2048, lean.Stacks.PerConn, 512, "%s: stacks", service)
	}
}

func TestServicesAreSpokenTo(t *testing.T) {
	for _, service := range []string{"frame+wait=1ms", "line"} {
		r, err := Measure(t.Context(), Subject{
			Name: "mine", Server: testenv.ServerSpec{Model: goroutine.Name, Service: service, StartTimeout: time.Minute},
		}, Options{Conns: []int{20, 60}, Repetitions: 2})
		require.NoError(t, err, service)
		assert.Equal(t, "mine", r.Model)
		assert.Equal(t, service, r.Service)
		assert.Len(t, r.Points, 4)
		assert.NotNil(t, r.User.Lo)
	}
}

func TestServerThatLosesConnectionsIsNotMeasured(t *testing.T) {
	_, err := Measure(t.Context(), Subject{Server: testenv.ServerSpec{
		Model: goroutine.Name, Service: "echo", StartTimeout: time.Minute,
		Config: models.Config{IdleTimeout: time.Millisecond},
	}}, Options{Conns: []int{50, 100}, Repetitions: 1})
	require.ErrorContains(t, err, "goroutine: repetition 1: ")
	assert.ErrorContains(t, err, "connections answer")
	assert.NotErrorIs(t, err, ErrInput)
}

func TestServerThatDoesNotStartIsAnError(t *testing.T) {
	_, err := Measure(t.Context(), Subject{Server: testenv.ServerSpec{Model: "no such", Service: "echo"}}, few)
	assert.ErrorContains(t, err, `unknown model "no such"`)
}

func TestMeasureEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Conns: []int{10, 20, 30}, Repetitions: 1000, Progress: func(line string) {
		if strings.Contains(line, "repetition 2") {
			cancel()
		}
	}}
	_, err := Measure(ctx, Subject{Server: testenv.ServerSpec{Model: goroutine.Name, Service: "echo", StartTimeout: time.Minute}}, o)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestBadOptionsAreRefusedBeforeAServerIsStarted(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"one number":  {Options{Conns: []int{100}}, "conns is 100 alone"},
		"zero":        {Options{Conns: []int{0, 100}}, "conns begins with 0"},
		"twice":       {Options{Conns: []int{100, 100}}, "conns has 100 behind 100"},
		"descending":  {Options{Conns: []int{100, 50}}, "conns has 50 behind 100"},
		"repetitions": {Options{Repetitions: -1}, "repetitions is -1 (want 1 to 1000)"},
		"descriptors": {Options{Conns: []int{1, 1 << 30}}, "raise ulimit -n"},
	} {
		_, err := Measure(t.Context(), Subject{Server: testenv.ServerSpec{Model: "never started", Service: "echo"}}, c.o)
		require.ErrorIs(t, err, ErrInput, name)
		assert.ErrorContains(t, err, c.want, name)
		assert.NotContains(t, err.Error(), "\n", name)
	}
}

func TestDefaultsAreThoseOfTheLaboratory(t *testing.T) {
	o, err := Options{}.normalize()
	require.NoError(t, err)
	assert.Equal(t, []int{5000, 10_000, 15_000}, o.Conns)
	assert.Equal(t, 3, o.Repetitions)
}

// two is a result of two repetitions and known slopes.
func two() *Result {
	r := &Result{Model: "goroutine", Service: "echo", Conns: []int{10, 20}, Repetitions: 2}
	for i, slope := range []uint64{100, 110} {
		for _, n := range r.Conns {
			p := Point{Repetition: i + 1, Conns: n, Tree: Tree{Processes: 1, Anonymous: 7000 + slope*uint64(n), RSS: 9000 + slope*uint64(n)}}
			p.Go = &GoMemory{Heap: 60 * uint64(n), Stacks: 2048 * uint64(n), Runtime: 12345}
			p.Kernel.Slab, p.Kernel.TCP = 500*uint64(n), 100*uint64(n)
			r.Points = append(r.Points, p)
		}
	}
	r.fit()
	return r
}

func TestLinesAreBenchmarkFormatThatARunFileTakes(t *testing.T) {
	r := two()
	r.warn("something is odd")
	assert.Equal(t, []string{
		"BenchmarkMemory/model=goroutine/service=echo 20 400.0 B/conn 100.0 user-B/conn 300.0 kernel-B/conn",
		"BenchmarkMemory/model=goroutine/service=echo 20 410.0 B/conn 110.0 user-B/conn 300.0 kernel-B/conn",
	}, r.Lines())
	w, err := results.Create(t.TempDir(), results.Fingerprint{Start: time.Now()})
	require.NoError(t, err)
	require.NoError(t, r.Write(w))
	require.NoError(t, w.Commit())
	run, err := results.Read(w.Path())
	require.NoError(t, err)
	require.NoError(t, run.Complete())
	assert.Len(t, run.Results, 2)
	text, err := os.ReadFile(w.Path())
	require.NoError(t, err)
	assert.Contains(t, string(text), "# warning: BenchmarkMemory/model=goroutine/service=echo: something is odd")
}

func TestTableShowsSlopesAndWhatIsAbsent(t *testing.T) {
	foreign := two()
	foreign.Model = "c-epoll"
	for i := range foreign.Points {
		foreign.Points[i].Go = nil
	}
	foreign.Heap, foreign.Stacks, foreign.Runtime = nil, nil, nil
	foreign.Points[0].Swap, foreign.Points[1].Swap = 4096, 4096
	foreign.fit()
	assert.Nil(t, foreign.Heap, "what is not known is absent")
	var b strings.Builder
	require.NoError(t, Print(&b, []*Result{two(), foreign}))
	lines := strings.Split(b.String(), "\n")
	assert.Contains(t, lines[0], "echo, slope over 10, 20 connections, 2 repetitions")
	assert.Regexp(t, `^ *goroutine +105 ± 64 +60 ± 0 +2048 ± 0 +0 ± 0 +105 ± 64 +600 ± 0 +300 ± 0$`, lines[3])
	assert.Regexp(t, `^ *c-epoll +105 ± 64 +- +- +- +`, lines[4])
	assert.Contains(t, b.String(), "warning: c-epoll: user: some of the server's memory was swapped out")
	assert.Error(t, Print(full{}, []*Result{two()}))
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }
