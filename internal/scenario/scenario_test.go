package scenario_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models"
	"netbench/models/goroutine"
	"netbench/testenv"
)

func TestMain(m *testing.M) {
	testenv.Main(goroutine.Models(), load.Role())
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

func echo() scenario.Scenario {
	return scenario.Scenario{
		Name:   "Echo/conns=4",
		Server: testenv.ServerSpec{Model: goroutine.Name, Service: "echo"},
		Plan:   load.Plan{Conns: 4, Duration: 50 * time.Millisecond},
	}
}

func TestStartReturnsAPlanThatDrivesTheServer(t *testing.T) {
	http := echo()
	http.Server.Service, http.Scheme, http.Path = "http", "http", "/plaintext"
	line := echo()
	line.Server.Service, line.Scheme = "line", "line"
	unix := echo()
	unix.Server.Config = models.Config{Network: "unix", Address: filepath.Join(t.TempDir(), "s")}
	for name, s := range map[string]scenario.Scenario{"echo": echo(), "http": http, "line": line, "unix": unix} {
		t.Run(name, func(t *testing.T) {
			server, plan, err := s.Start(t.Context())
			require.NoError(t, err)
			defer func() { assert.NoError(t, server.Stop(context.Background())) }()
			r, err := load.Run(t.Context(), plan)
			require.NoError(t, err)
			assert.Positive(t, r.Requests, "%v", r.Reasons)
			assert.Zero(t, r.Lost)
			if place, err := testenv.Place(); err == nil && len(place.Server) > 0 {
				require.NotNil(t, r.ServerPerOp)
				assert.Positive(t, *r.ServerPerOp)
				assert.Equal(t, place.Server, server.Info().CPUs)
			}
		})
	}
}

func TestStartReportsAServerThatCannotStart(t *testing.T) {
	s := echo()
	s.Server.Model = "no such model"
	_, _, err := s.Start(t.Context())
	require.ErrorContains(t, err, "no such model")
}

func TestMissingNamesTheLimit(t *testing.T) {
	s := echo()
	assert.Empty(t, s.Missing())
	s.Plan.Conns = 1 << 40
	if why := s.Missing(); why != "" { // no limit, no reason
		assert.Contains(t, why, "descriptors")
	}
}

func TestContendersAreComparedByInterleave(t *testing.T) {
	s := echo()
	plan, err := s.ComparingPlan()
	require.NoError(t, err)
	c, err := load.Interleave(t.Context(), load.Comparing{
		Plan: plan, Rounds: 2, Slice: 20 * time.Millisecond, Slices: 4, Warmup: 10 * time.Millisecond,
	}, s.Contender("a"), s.Contender("b"))
	require.NoError(t, err)
	for _, r := range c.Rounds {
		require.Empty(t, r.Invalid)
		for _, x := range r.Samples {
			assert.Positive(t, x.Requests)
			require.NotNil(t, x.AllocsPerOp)
			assert.GreaterOrEqual(t, *x.AllocsPerOp, 0.0)
			if require.NotNil(t, x.ServerPerOp); x.SyscallsPerOp != nil {
				// A read that finds nothing, a read, a write, and the waits.
				assert.Greater(t, *x.SyscallsPerOp, 1.5)
				assert.Less(t, *x.SyscallsPerOp, 20.0)
			}
		}
	}
}

// BenchmarkPick has a scenario of its own and one that is not.
func BenchmarkPick(b *testing.B) {
	own, foreign := echo(), echo()
	own.Name, foreign.Name = "Pick/conns=4", "Other/conns=4"
	own.Bytes = 128
	scenario.Benchmark(b, []scenario.Scenario{own, foreign})
}

func TestBenchmarkRunsTheScenariosOfItsNameAndReportsMetrics(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, self, "-test.run=^$", "-test.bench=^BenchmarkPick$", "-test.benchtime=2000x", "-test.count=2").CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.NotContains(t, string(out), "Other")
	var results []string
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "BenchmarkPick/conns=4") && strings.Contains(line, "/op") {
			results = append(results, line)
		}
	}
	require.Len(t, results, 2, "%s", out)
	for _, r := range results {
		assert.Contains(t, r, "2000", "the number of requests is the number of operations")
		for metric, byTheByte := range map[string]string{
			" req/s": " MB/s", " server-cpu-ns/op": " server-cpu-ns/KiB", " syscalls/op": " syscalls/MiB",
		} {
			assert.Equal(t, strings.Contains(r, metric), strings.Contains(r, byTheByte), "%s goes with%s: %s", byTheByte, metric, r)
		}
		for _, unit := range []string{"server-allocs/op", "server-B/op", "gen-cpu-ns/op"} {
			assert.Contains(t, r, unit)
		}
	}
}
