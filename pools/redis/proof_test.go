//go:build proof

package redis_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/proof"
	"netbench/load"
	"netbench/pools"
	"netbench/pools/redis"
	"netbench/testenv/services"
)

// The sizes of this proof. NETBENCH_PROOF_ROUNDS sets another number of rounds.
const (
	proofRounds = 12
	proofBlock  = 2 * time.Second        // of one contender in a round
	proofPairs  = 15                     // of slices in a round, monitor off and on
	proofSlice  = 100 * time.Millisecond // of them
	proofWatch  = 4                      // times as many rounds, as they differ by less
	proofConns  = 20                     // of go-redis and of redis-benchmark

	mostMonitorCost = 0.01 // of the CPU time of an operation
)

// TestProofRedisPool sets the recommended pool beside others, pipelines beside
// single commands, the monitor on beside off, and go-redis beside
// redis-benchmark, and writes what it found into docs.
func TestProofRedisPool(t *testing.T) {
	rounds := proofRounds
	if s := os.Getenv("NETBENCH_PROOF_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		rounds = n
	}
	r := benchServer(t)
	if !r.Info().Real() {
		t.Skip("only a stand-in for Redis is here, whose figures say nothing of Redis")
	}
	doc := head(t, r, rounds)
	standard(t, doc, r)
	sizes(t, doc, r, rounds)
	depths(t, doc, r, rounds)
	watched(t, doc, r, rounds)
	beside(t, doc, r, rounds)
	doc.Save(t, filepath.Join("..", "..", "docs", "pool-redis.md"))
}

// head begins a page that says what was measured where.
func head(t *testing.T, r *services.Redis, rounds int) *proof.Page {
	doc := proof.Begin(t, "Redis: pool sizes, pipelines, the monitor, and redis-benchmark", "./pools/redis")
	fmt.Fprintf(doc, `Redis %s by %s (appendonly %s, save %q, io-threads %s), pinned to CPUs of its own
where there are two or more; go-redis 9.23.

%d goroutines use one pool. Contenders take turns in blocks of %v in an order that
is shuffled for each of %d rounds. They are long because a pool that keeps a part of
its connections opens the others anew whenever its callers come back. An operation is a SET with
an expiry of a minute and a GET of the same key, 64 bytes, verified. Ratios are
geometric means over rounds with their 95 %% intervals. CPU is that of the whole
client process, the loop that drives it included.
`, r.Info().Version, r.Info().Rung, r.Info().Settings["appendonly"], r.Info().Settings["save"], r.Info().Settings["io-threads"],
		benchWorkers, proofBlock, rounds)
	return doc
}

// take interleaves contenders; none of their calls may fail.
func take(t *testing.T, rounds int, contenders []pools.Contender) [][]*pools.Outcome {
	out, err := pools.Interleave(t.Context(), rounds, 1, pools.Load{Workers: benchWorkers, For: proofBlock, Seed: 1}, contenders...)
	require.NoError(t, err)
	for c, outcomes := range out {
		for _, o := range outcomes {
			require.Zero(t, o.Failed, "%s: %v", contenders[c].Name, o.First)
		}
	}
	return out
}

func p99(o *pools.Outcome) float64 { return float64(o.P(99)) }

// mean is the mean of a metric over rounds.
func mean(metric func(*pools.Outcome) float64, os []*pools.Outcome) float64 {
	var sum float64
	for _, o := range os {
		sum += metric(o)
	}
	return sum / float64(len(os))
}

// standard runs the standard workload once at each depth.
func standard(t *testing.T, doc *proof.Page, r *services.Redis) {
	fmt.Fprint(doc, `
## The workload once

100 goroutines x 1000 x (SET + GET) by the recommended pool, each value verified.

| depth | commands/s | round trip p50 | p99 | failed SET / GET | time-outs | missing | wrong | hits / misses / waits, main | hits / misses, pipelines |
|---|---|---|---|---|---|---|---|---|---|
`)
	for _, depth := range []int{0, 1, 10, 100} {
		p := open(t, r.Options(), redis.Recommended())
		w := redis.StandardWorkload()
		w.Depth = depth
		tally, err := p.Run(t.Context(), w)
		require.NoError(t, err)
		assert.Zero(t, tally.Failed(), "%v: %v", tally, tally.First)
		assert.Equal(t, int64(2*w.Pairs), tally.Commands())
		d := p.Detail()
		name := strconv.Itoa(depth)
		if depth == 0 {
			name = "no pipeline"
		}
		fmt.Fprintf(doc, "| %s | %.0f | %v | %v | %d / %d | %d | %d | %d | %d / %d / %d | %d / %d |\n", name, tally.Rate(),
			time.Duration(tally.RoundTrips.ValueAtPercentile(50)).Round(time.Microsecond),
			time.Duration(tally.RoundTrips.ValueAtPercentile(99)).Round(time.Microsecond),
			tally.SetErrors, tally.GetErrors, tally.PoolTimeouts, tally.Missing, tally.Wrong,
			d.Main.Hits, d.Main.Misses, d.Main.Waits, d.Pipeline.Hits, d.Pipeline.Misses)
	}
}

// sizes sets pools of several sizes beside each other.
func sizes(t *testing.T, doc *proof.Page, r *services.Redis, rounds int) {
	var all []pools.Contender
	var opened []*redis.Pool
	var before []int64
	for _, c := range contenders() {
		p := open(t, r.Options(), c.settings)
		_, err := pools.Drive(t.Context(), pools.Load{Workers: benchWorkers, For: 300 * time.Millisecond}, p.Do)
		require.NoError(t, err)
		opened, before = append(opened, p), append(before, p.Detail().Dials)
		all = append(all, pools.Contender{Name: c.name, Do: p.Do})
	}
	out := take(t, rounds, all)
	for i, c := range all {
		for _, o := range out[i] {
			require.GreaterOrEqual(t, o.Done, int64(1000), "%s: too few for a p99 by round", c.Name)
		}
	}
	fmt.Fprint(doc, `
## Sizes

Each against size 2. Waits are those of the pool's own count. Where MaxIdle is below
the size, connections are closed at the end of every block, when all are idle, and now
and then in between, and dialled anew.

| pool | size | operations/s | p99 | rate / size 2 | p99 / size 2 | CPU / size 2 | mean wait | time-outs | dials per 1000 |
|---|---|---|---|---|---|---|---|---|---|
`)
	small := out[1]
	for i, c := range all {
		d, whole := opened[i].Detail(), pools.Merge(out[i])
		ratios := "1 | 1 | 1"
		if i != 1 {
			ratios = proof.Interval(pools.RatioOf((*pools.Outcome).Rate, small, out[i])) + " | " +
				proof.Interval(pools.RatioOf(p99, small, out[i])) + " | " + proof.Interval(pools.RatioOf((*pools.Outcome).CPUPerOp, small, out[i]))
		}
		fmt.Fprintf(doc, "| %s | %d | %.0f | %v | %s | %v | %d | %.3f |\n", c.Name, d.Main.Size, mean((*pools.Outcome).Rate, out[i]),
			whole.P(99).Round(time.Microsecond), ratios, d.Main.MeanWait().Round(time.Microsecond), d.Main.Timeouts,
			1000*float64(d.Dials-before[i])/float64(whole.Done))
	}
}

// depths sets pipelines beside single commands.
func depths(t *testing.T, doc *proof.Page, r *services.Redis, rounds int) {
	single := open(t, r.Options(), redis.Recommended())
	all := []pools.Contender{{Name: "single commands", Do: single.Do}}
	perCall := []float64{2} // commands
	for _, depth := range []int{1, 10, 100} {
		p := open(t, r.Options(), redis.Recommended())
		all = append(all, pools.Contender{Name: fmt.Sprintf("pipelines of %d", depth), Do: p.Pipelined(depth)})
		perCall = append(perCall, float64(2*depth))
	}
	out := take(t, rounds, all)
	fmt.Fprint(doc, `
## Pipelines

By the recommended pool: 20 connections, and 10 more that only pipelines use. p99 is
that of two round trips, with all the commands that are in them.

| | commands/s | p99 of two round trips | commands/s against single ones | CPU per command against single ones |
|---|---|---|---|---|
`)
	for i, c := range all {
		per := perCall[i]
		rates := ratio(out[0], out[i], func(o *pools.Outcome) float64 { return 2 * o.Rate() }, func(o *pools.Outcome) float64 { return per * o.Rate() })
		cpus := ratio(out[0], out[i], func(o *pools.Outcome) float64 { return o.CPUPerOp() / 2 }, func(o *pools.Outcome) float64 { return o.CPUPerOp() / per })
		against := "1 | 1"
		if i > 0 {
			against = proof.Interval(rates) + " | " + proof.Interval(cpus)
		}
		fmt.Fprintf(doc, "| %s | %.0f | %v | %s |\n", c.Name, per*mean((*pools.Outcome).Rate, out[i]),
			pools.Merge(out[i]).P(99).Round(time.Microsecond), against)
	}
}

// ratio compares b with a by metrics of their own.
func ratio(a, b []*pools.Outcome, ofA, ofB func(*pools.Outcome) float64) load.Ratio {
	var va, vb []float64
	for i := range a {
		va, vb = append(va, ofA(a[i])), append(vb, ofB(b[i]))
	}
	return load.RatioOf(va, vb)
}

// watched sets the monitor on beside off.
func watched(t *testing.T, doc *proof.Page, r *services.Redis, rounds int) {
	c := monitorCost(t, r, proofWatch*rounds, proofPairs, proofSlice)
	sample := testing.Benchmark(func(b *testing.B) { benchmarkSample(b, r) })
	fmt.Fprintf(doc, `
## The monitor

On and off in turns on one pool, sampling each %v, which is 1500 times as often as
recommended: CPU per operation on / off %s, in %d rounds of %d pairs of
slices of %v. Required: the whole interval shows less than %.0f %%: %s. A sample and its
judgement take %v; to start and stop the monitor, which the ratio does not have in it, %v of CPU time.
`, monitorEvery, proof.Interval(c.Ratio), c.N, proofPairs, proofSlice, 100*mostMonitorCost, c.Below(mostMonitorCost), time.Duration(sample.NsPerOp()), c.Switching.Round(time.Microsecond))
	t.Cleanup(func() { assert.Equal(t, pools.Met, c.Below(mostMonitorCost), "%v", c.Ratio) })
}

// beside sets go-redis beside redis-benchmark, with the same connections and the
// same depth.
func beside(t *testing.T, doc *proof.Page, r *services.Redis, rounds int) {
	fmt.Fprint(doc, "\n## go-redis beside redis-benchmark\n\n")
	run, err := cBenchmark(t, r)
	require.NoError(t, err, "the proof needs redis-benchmark, and a server of its own")
	fmt.Fprintf(doc, `In turns, about a second each, %d connections: go-redis with %d goroutines and no pool
of its own for pipelines, redis-benchmark with one thread. Both on the same CPUs.
SET with an expiry and GET in equal numbers; redis-benchmark does one after the other.

| depth | go-redis, commands/s | redis-benchmark, commands/s | go-redis / redis-benchmark |
|---|---|---|---|
`, proofConns, benchWorkers)
	settings := redis.Recommended().Sized(proofConns)
	settings.PipelineSize, settings.MaxIdle = 0, 0
	for _, depth := range []int{1, 10, 100} {
		p := open(t, r.Options(), settings)
		do := p.Do
		if depth > 1 {
			do = p.Pipelined(depth)
		}
		ours := func() float64 {
			o, err := pools.Drive(t.Context(), pools.Load{Workers: benchWorkers, For: time.Second}, do)
			require.NoError(t, err)
			require.Zero(t, o.Failed, "%v", o.First)
			return o.Rate() * 2 * float64(depth)
		}
		commands := 20_000
		theirs := func() float64 {
			rate := run(depth, commands)
			commands = int(rate / 2) // half a second of SET, and of GET
			return rate
		}
		ours() // both warm up
		theirs()
		var a, b []float64
		for round := range rounds {
			if round%2 == 0 {
				a = append(a, ours())
				b = append(b, theirs())
			} else {
				b = append(b, theirs())
				a = append(a, ours())
			}
		}
		fmt.Fprintf(doc, "| %d | %.0f | %.0f | %s |\n", depth, average(a), average(b), proof.Interval(load.RatioOf(b, a)))
	}
}

func average(v []float64) (sum float64) {
	for _, x := range v {
		sum += x / float64(len(v))
	}
	return sum
}

// cBenchmark prepares redis-benchmark: run returns the rate of so many SETs, then
// GETs. The program takes its password from the command line, which other users
// see, so it gets a user of its own without one, which goes with the test.
func cBenchmark(t *testing.T, r *services.Redis) (run func(depth, commands int) float64, err error) {
	program, err := exec.LookPath("redis-benchmark")
	if err != nil {
		return nil, fmt.Errorf("no redis-benchmark in PATH")
	}
	if r.Info().Rung == services.Given {
		return nil, fmt.Errorf("the server is a given one, whose users are not ours to change")
	}
	const user = "netbench-benchmark"
	admin := goredis.NewClient(r.Options())
	defer admin.Close()
	require.NoError(t, admin.Do(t.Context(), "ACL", "SETUSER", user, "on", "nopass", "~netbench:*", "+set", "+get", "+ping", "+config|get").Err())
	t.Cleanup(func() {
		c := goredis.NewClient(r.Options())
		defer c.Close()
		assert.NoError(t, c.Do(context.Background(), "ACL", "DELUSER", user).Err())
	})
	host, port, err := net.SplitHostPort(r.Options().Addr)
	require.NoError(t, err)
	one := func(depth, commands int, command ...string) float64 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		args := []string{"-h", host, "-p", port, "--user", user, "-a", "none", "-c", strconv.Itoa(proofConns),
			"-P", strconv.Itoa(depth), "-n", strconv.Itoa(commands), "-r", "10000", "--csv"}
		out, err := exec.CommandContext(ctx, program, append(args, command...)...).Output()
		require.NoError(t, err, "%s", out)
		rows, err := csv.NewReader(strings.NewReader(string(out))).ReadAll()
		require.NoError(t, err, "%s", out)
		require.Len(t, rows, 2, "a head and a row")
		require.Equal(t, "rps", rows[0][1])
		rate, err := strconv.ParseFloat(rows[1][1], 64)
		require.NoError(t, err)
		return rate
	}
	const key = "netbench:__rand_int__"
	return func(depth, commands int) float64 {
		set := one(depth, commands, "SET", key, strings.Repeat("x", 64), "EX", "60")
		get := one(depth, commands, "GET", key)
		return 2 / (1/set + 1/get)
	}, nil
}
