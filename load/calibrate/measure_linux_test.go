package calibrate

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/cc"
	"netbench/internal/needs"
)

// need skips without a program, unless it is required.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		needs.Skip(t, program, err)
	}
}

// buildClient compiles the C client.
func buildClient(t *testing.T) string {
	t.Helper()
	need(t, "cc")
	b, err := cc.Build(t.Context(), reference)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Remove()) })
	return b.Path
}

func TestCClientCountsWhatTheServerCounts(t *testing.T) {
	path := buildClient(t)
	for _, w := range []Workload{{1, 1}, {10, 64}, {20, 65_521}} {
		t.Run(w.String(), func(t *testing.T) {
			s := startServer(t, "echo")
			c, err := startClient(t.Context(), path, s.Addr(), w.Conns, w.Size, nil)
			require.NoError(t, err)
			total := int64(0)
			for _, requests := range []int64{1, 137, 1200} {
				a, err := c.run(t.Context(), requests, 20*time.Second)
				require.NoError(t, err)
				total += requests
				assert.Equal(t, requests, a.requests)
				assert.Equal(t, total*int64(w.Size), s.received.Load())
				assert.Positive(t, a.elapsed)
				assert.Positive(t, a.cpu)
				// One thread; the CPU clock is read just outside the other one.
				assert.LessOrEqual(t, a.cpu, a.elapsed+int64(time.Millisecond))
				assert.Positive(t, a.p50)
				assert.LessOrEqual(t, a.p50, a.p99)
			}
			assert.EqualValues(t, w.Conns, s.accepted.Load())
			require.NoError(t, c.close())
		})
	}
}

func TestCClientStopsSendingInTime(t *testing.T) {
	s := startServer(t, "echo")
	c, err := startClient(t.Context(), buildClient(t), s.Addr(), 4, 64, nil)
	require.NoError(t, err)
	_, err = c.run(t.Context(), 1e9, 50*time.Millisecond)
	require.ErrorContains(t, err, "of the 1000000000 requests of a slice within 50ms")
	assert.Positive(t, s.received.Load())
	require.NoError(t, c.close(), "it drained and waits for the next command")
}

func TestCClientNoticesAWrongByte(t *testing.T) {
	s := startServer(t, "echo")
	s.broken.Store(64 * 500)
	c, err := startClient(t.Context(), buildClient(t), s.Addr(), 3, 64, nil)
	require.NoError(t, err)
	_, err = c.run(t.Context(), 1000, 20*time.Second)
	assert.ErrorContains(t, err, "the C client: exit status 1: reference client: the reply differs from the request")
}

func TestCClientSaysWhyItCannotConnect(t *testing.T) {
	s := startServer(t, "echo")
	require.NoError(t, s.stop(t.Context()))
	_, err := startClient(t.Context(), buildClient(t), s.Addr(), 3, 64, nil)
	assert.ErrorContains(t, err, "Connection refused")
}

func TestCClientEndsWithItsInputAndWithTheContext(t *testing.T) {
	path := buildClient(t)
	s := startServer(t, "echo")
	ctx, cancel := context.WithCancel(t.Context())
	c, err := startClient(ctx, path, s.Addr(), 2, 64, nil)
	require.NoError(t, err)
	go func() {
		for s.received.Load() == 0 && t.Context().Err() == nil {
			runtime.Gosched()
		}
		cancel()
	}()
	_, err = c.run(ctx, 1e9, time.Minute)
	require.ErrorContains(t, err, "killed")
	assert.NotNil(t, c.cmd.ProcessState, "it is reaped")

	c, err = startClient(t.Context(), path, s.Addr(), 2, 64, nil)
	require.NoError(t, err)
	require.NoError(t, c.to.Close())
	require.NoError(t, c.cmd.Wait())
	assert.Equal(t, 0, c.cmd.ProcessState.ExitCode())
	c.end()
}

// short is a calibration that takes a fraction of a second.
func short(t *testing.T) Options {
	return Options{
		Start:     func(_ context.Context, service string) (Server, error) { return startServer(t, service), nil },
		Workloads: []Workload{{5, 64}, {10, 1024}}, Rounds: 2, Slice: 5 * time.Millisecond, Round: 40 * time.Millisecond,
		Ceiling: 250 * time.Millisecond, WithoutWrk: true,
	}
}

func TestCalibrateMeasuresBothClientsOnOneServer(t *testing.T) {
	need(t, "cc")
	o := short(t)
	var servers []*testServer
	o.Start = func(_ context.Context, service string) (Server, error) {
		assert.Equal(t, "echo", service)
		servers = append(servers, startServer(t, service))
		return servers[len(servers)-1], nil
	}
	var lines []string
	o.Progress = func(line string) { lines = append(lines, line) }
	r, err := Calibrate(t.Context(), o)
	require.NoError(t, err)
	require.Len(t, r.Cells, 2)
	assert.Nil(t, r.Wrk)
	assert.NotEmpty(t, r.Compiler)
	require.Len(t, servers, 2, "one server for each cell")
	assert.Len(t, lines, 4, "one for each round")
	for i, c := range r.Cells {
		require.Len(t, c.Rounds, 2, "%v", c.Reasons)
		for n, round := range c.Rounds {
			assert.Equal(t, n == 0, round.OursFirst)
			for _, s := range []Sample{round.Ours, round.Theirs} {
				assert.Positive(t, s.CPU)
				assert.Positive(t, s.Elapsed)
				assert.InEpsilon(t, float64(s.CPU)/float64(s.Requests), s.PerOp, 1e-9)
				assert.InEpsilon(t, float64(s.Requests)/float64(s.Elapsed)*1e9, s.Rate, 1e-9)
				assert.Positive(t, s.P50)
				assert.LessOrEqual(t, s.P50, s.P99)
			}
			assert.Equal(t, round.Ours.Requests, round.Theirs.Requests, "all slices do the same work")
		}
		assert.Positive(t, c.Yield)
		assert.Positive(t, c.HighestRate)
		assert.NotEmpty(t, c.Limit)
		require.NotNil(t, c.Ratio)
		assert.Equal(t, 2, c.Ratio.N)
		// In each round: our session, the client, and the session of the ceiling.
		assert.EqualValues(t, 2*3*c.Conns, servers[i].accepted.Load())
	}
	assertFit(t, r.Cells[0])
}

// assertFit allows for a host that took our CPU time away, which is no fault of
// what is tested.
func assertFit(t *testing.T, c *Cell) {
	t.Helper()
	for _, reason := range c.Reasons {
		assert.Contains(t, reason, "the host took")
	}
}

func TestCalibrateIsUnfitWhenBytesAreWrong(t *testing.T) {
	need(t, "cc")
	o := short(t)
	o.Workloads = o.Workloads[:1]
	o.Start = func(_ context.Context, service string) (Server, error) {
		s := startServer(t, service)
		s.broken.Store(64 * 100)
		return s, nil
	}
	r, err := Calibrate(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, Unfit, r.Verdict())
	assert.Contains(t, strings.Join(r.Cells[0].Reasons, "; "), "errors of kind mismatch")
}

func TestCalibrateKeepsWhatWasMeasuredWhenInterrupted(t *testing.T) {
	need(t, "cc")
	o := short(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(string) { cancel() } // after the first round
	r, err := Calibrate(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, r.Cells, 1)
	assert.Len(t, r.Cells[0].Rounds, 1)
	assert.Equal(t, Unfit, r.Verdict())
	assert.Contains(t, r.Cells[0].Reasons, "interrupted after 1 of 2 rounds")
}

func TestCalibrateSaysWhenNoServerStarts(t *testing.T) {
	need(t, "cc")
	o := short(t)
	o.Start = noServer
	_, err := Calibrate(t.Context(), o)
	assert.ErrorContains(t, err, "5 x 64 B: start the echo server: no server today")
}

func TestCalibrateSaysWhenNoCompilerIsThere(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Calibrate(t.Context(), short(t))
	require.ErrorIs(t, err, cc.ErrNoCompiler)
	assert.ErrorContains(t, err, "compile reference-client: no C compiler: there is no cc in PATH")
}

func TestCalibrateLeavesWrkOutWhereThereIsNone(t *testing.T) {
	compiler, err := exec.LookPath("cc")
	if err != nil {
		need(t, "cc")
	}
	bin := t.TempDir()
	require.NoError(t, os.Symlink(compiler, bin+"/cc"))
	buildClient(t) // while the compiler finds its parts
	t.Setenv("PATH", bin)
	o := short(t)
	o.Workloads, o.WithoutWrk = o.Workloads[:1], false
	r, err := Calibrate(t.Context(), o)
	require.NoError(t, err)
	require.NotNil(t, r.Wrk)
	assert.Equal(t, Absent, r.Wrk.Verdict)
	assert.Contains(t, r.Wrk.Reasons[0], "wrk is not in PATH")
	assertFit(t, r.Cells[0])
	assert.NotEqual(t, Absent, r.Verdict(), "what is absent does not count")
}

func TestCalibrateMeasuresBesideWrk(t *testing.T) {
	need(t, "cc")
	need(t, "wrk")
	o := short(t)
	o.Workloads, o.WithoutWrk, o.Block = o.Workloads[:1], false, time.Second
	r, err := Calibrate(t.Context(), o)
	require.NoError(t, err)
	require.Len(t, r.Wrk.Rounds, 2, "%v", r.Wrk.Reasons)
	for _, round := range r.Wrk.Rounds {
		assert.Positive(t, round.Ours.Requests)
		assert.Positive(t, round.Theirs.Requests)
		assert.Positive(t, round.Theirs.CPU)
	}
	assert.NotNil(t, r.Wrk.Ratio)
}

func TestParseWrkReadsTotalsAndRefusesFailures(t *testing.T) {
	const good = `Running 2s test @ http://127.0.0.1:1/
  1 threads and 100 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.10ms  100.00us   3.00ms   90.00%
    Req/Sec    90.00k     1.00k   92.00k    70.00%
  181234 requests in 2.05s, 20.00MB read
Requests/sec:  88406.82
`
	n, d, err := parseWrk(good)
	require.NoError(t, err)
	assert.EqualValues(t, 181234, n)
	assert.Equal(t, 2050*time.Millisecond, d)
	for name, said := range map[string]string{
		"socket errors": good + "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
		"bad status":    good + "  Non-2xx or 3xx responses: 12\n",
		"nothing":       "unable to connect to 127.0.0.1:1 Connection refused\n",
		"no request":    strings.Replace(good, "181234 requests", "0 requests", 1),
	} {
		_, _, err := parseWrk(said)
		assert.Error(t, err, name)
	}
}
