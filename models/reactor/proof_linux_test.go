//go:build proof

package reactor_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/proof"
	"netbench/internal/scenario"
	"netbench/load"
	"netbench/models"
	"netbench/models/floor"
	"netbench/models/reactor"
	"netbench/testenv"
)

const (
	idleRounds  = 12
	allowedMore = 0.10 // of the CPU time of a request, with 10,000 connections
	idleSize    = 64   // bytes of a request
	pacedRate   = 30_000
)

// crowd is a server under a number of connections, of which some are idle.
type crowd struct {
	model         string
	conns, silent int
}

func (c crowd) String() string {
	if c.silent == 0 {
		return fmt.Sprintf("%s, %d", c.model, c.conns)
	}
	return fmt.Sprintf("%s, %d, %d idle", c.model, c.conns, c.silent)
}

// The first is what the second is held against. The third tells apart what idle
// connections cost from what active ones do, and the rest what of it is the
// kernel's, as the floor is little else.
var crowds = []crowd{
	{reactor.Name, 100, 0},
	{reactor.Name, 10_000, 8_000},
	{reactor.Name, 2_000, 0},
	{reactor.Name, 8_100, 8_000},
	{floor.Epoll, 100, 0},
	{floor.Epoll, 10_000, 8_000},
}

// TestProofIdleConnections shows what many connections, most of them idle, add to
// the cost of a request.
func TestProofIdleConnections(t *testing.T) {
	program, err := floor.Build(t.Context(), floor.Epoll)
	require.NoError(t, err)
	var contenders []load.Contender
	var plan load.Plan
	for _, c := range crowds {
		s := scenario.Scenario{
			Server: testenv.ServerSpec{
				Model: c.model, Service: "echo", StartTimeout: 30 * time.Second,
				Config: models.Config{IdleTimeout: models.NoLimit},
			},
			Plan: load.Plan{Conns: c.conns, Silent: c.silent, Size: idleSize, Apart: true},
		}
		if c.model == floor.Epoll {
			s.Server.Program = program
		}
		plan, err = s.ComparingPlan()
		require.NoError(t, err)
		x := s.Contender(c.String())
		x.Conns, x.Silent = c.conns, c.silent
		contenders = append(contenders, x)
	}
	require.NoError(t, testenv.PinSelf(plan.CPUs))
	doc := proof.Begin(t, "What idle connections cost", "./models/reactor")
	fmt.Fprintf(doc, `Echo of %d B, %d interleaved rounds. Ratios are to the first row, with 95 %% intervals.
`, idleSize, idleRounds)
	for _, state := range []struct {
		name string
		mode load.Mode
		rate float64
	}{{"saturated", load.Closed, 0}, {fmt.Sprintf("paced at %d requests a second", pacedRate), load.Open, pacedRate}} {
		plan.Mode, plan.Rate = state.mode, state.rate
		c, err := load.Interleave(t.Context(), load.Comparing{
			Plan: plan, Rounds: idleRounds, Slices: 12,
			Progress: func(round, rounds int, took time.Duration, r *load.Round) {
				t.Logf("%s: round %d of %d, %.1f s %s", state.name, round, rounds, took.Seconds(), r.Invalid)
			},
		}, contenders...)
		require.NoError(t, err)
		fmt.Fprintf(doc, "\n## %s\n\n| server, connections | rounds | server CPU/req | ratio | 95 %% interval | syscalls/req | p99 |\n|---|---|---|---|---|---|---|\n", state.name)
		for i := range crowds {
			r := c.Ratio(0, i, load.ServerCPUPerOp)
			fmt.Fprintf(doc, "| %s | %d | %s | %.3f | %.3f to %.3f | %s | %s |\n", c.Names[i], r.N,
				mean("%.0f ns", c.Values(i, load.ServerCPUPerOp)), r.Mean, r.Lo, r.Hi,
				mean("%.2f", c.Values(i, load.SyscallsPerOp)), p99(t, c, i))
		}
		for _, row := range []int{1, 3} {
			r := c.Ratio(0, row, load.ServerCPUPerOp)
			verdict := "met"
			if r.Mean > 1+allowedMore {
				verdict = "missed"
			}
			fmt.Fprintf(doc, "\n%s: at most %.2f times the first row: %s (%.3f).\n", crowds[row], 1+allowedMore, verdict, r.Mean)
			assert.Equal(t, idleRounds, r.N, "every round counts")
		}
	}
	doc.Save(t, filepath.Join("..", "..", "docs", "reactor-idle.md"))
}

// mean prints the mean of values, or that there are none.
func mean(format string, values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	var sum float64
	for _, v := range values {
		sum += v
	}
	return fmt.Sprintf(format, sum/float64(len(values)))
}

// p99 prints a contender's 99th percentile over all rounds.
func p99(t *testing.T, c *load.Comparison, i int) string {
	q, err := c.Latency(i)
	require.NoError(t, err)
	if q == nil || q.P99 == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f µs", float64(*q.P99)/1e3)
}
