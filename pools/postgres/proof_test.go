//go:build proof

package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/cpu"
	"netbench/internal/proof"
	"netbench/pools"
	"netbench/pools/postgres"
	"netbench/testenv"
	"netbench/testenv/services"
)

var (
	proofRounds = flag.Int("rounds", 12, "rounds of each comparison")
	proofDocs   = flag.String("docs", filepath.Join("..", "..", "docs"), "where the tables go")
)

// Pools of different settings are driven in blocks, not in slices: a pool that
// keeps half of its connections idle opens the others anew whenever its callers
// come back, which slices of 100 ms would make a matter of every 100 ms. A pool
// and itself watched are driven in slices, with all of its connections kept.
const (
	block       = 2 * time.Second
	pairsARound = 15
	slice       = 100 * time.Millisecond
	watchRounds = 4 // times as many rounds, as they differ by less
)

// watchedAtMost is what watching may add to the CPU time of an operation.
const watchedAtMost = 0.01

// page is a document that grows section by section.
type page struct{ *proof.Page }

func (p page) f(format string, a ...any) { fmt.Fprintf(p, format, a...) }

// begin makes a document with what each says of the machine and the server.
func begin(t *testing.T, title string, server *services.Postgres, place testenv.Placement) page {
	t.Helper()
	p := page{proof.Begin(t, title, "./pools/postgres")}
	where := "client and server share the CPUs"
	if place.Disjoint {
		where = fmt.Sprintf("the server on CPU %s, the client on %s", cpu.Format(place.Server), cpu.Format(place.Generator))
	}
	info := server.Info()
	p.f("PostgreSQL %s, over TCP on loopback without TLS; %s. fsync=%s, synchronous_commit=%s, shared_buffers=%s, max_connections=%s.\n\n",
		info.Version, where, info.Settings["fsync"], info.Settings["synchronous_commit"], info.Settings["shared_buffers"], info.Settings["max_connections"])
	return p
}

// write puts the document in its place.
func (p page) write(t *testing.T, file string) {
	t.Helper()
	p.Save(t, filepath.Join(*proofDocs, file))
}

// mean of a metric over rounds, geometric as the ratios are.
func mean(metric func(*pools.Outcome) float64, rounds []*pools.Outcome) float64 {
	var sum float64
	for _, o := range rounds {
		sum += math.Log(metric(o))
	}
	return math.Exp(sum / float64(len(rounds)))
}

// micros shows the p-th percentile of a histogram of nanoseconds.
func micros(h *hdrhistogram.Histogram, p float64) string {
	v, enough := percentile(h, p)
	if !enough {
		return "too few"
	}
	return fmt.Sprintf("%.0f µs", v/1e3)
}

// TestProofPostgresPool compares pools of several settings, a pool that is watched
// with itself unwatched, and lib/pq with pgbench.
func TestProofPostgresPool(t *testing.T) {
	server, place := roomy(t)
	doc := begin(t, "PostgreSQL pools", server, place)
	dsn := template(t, server, manyRows).DSN()
	t.Run("Settings", func(t *testing.T) { proveSettings(t, doc, dsn) })
	t.Run("Monitor", func(t *testing.T) { proveMonitor(t, doc, dsn) })
	t.Run("Pgbench", func(t *testing.T) { provePgbench(t, doc, server, place) })
	doc.write(t, "pool-postgres.md")
}

// proveSettings sets pools of several settings beside each other.
func proveSettings(t *testing.T, doc page, dsn string) {
	var run []running
	var names []contender
	var arms []pools.Contender
	for _, c := range contenders {
		if c.absent != "" {
			continue
		}
		p := c.start(t, dsn, manyRows)
		_, err := pools.Drive(t.Context(), pools.Load{Workers: manyWorkers, For: 300 * time.Millisecond}, p.Do)
		require.NoError(t, err)
		p.ForgetWaits()
		run, names, arms = append(run, p), append(names, c), append(arms, pools.Contender{Name: c.name, Do: p.Do})
	}
	dials := make([]int64, len(run))
	for i, p := range run {
		dials[i] = p.Stats().Dials
	}
	out, err := pools.Interleave(t.Context(), *proofRounds, 1, pools.Load{Workers: manyWorkers, For: block, Seed: 1}, arms...)
	require.NoError(t, err)

	doc.f("## Settings\n\nOne row of %d found by its primary key (the statement of `pgbench -S`, simple protocol), by %d\nworkers in a closed loop; %d rounds of a block of %v for each pool, in an order shuffled anew. Ratios\nare to the pool of two connections of the same driver, with 95 %% intervals. All kept is the recommended\npool with MaxIdle raised to MaxOpen. Library defaults are database/sql's: any number open, two kept idle.\nA wait is the time to get a connection. Between blocks a pool keeps MaxIdle connections, and opens the\nothers anew in the next.\n\n",
		manyRows, manyWorkers, *proofRounds, block)
	doc.f("| pool | req/s | ratio | client CPU/req | ratio | p50 | p99 | wait p50 | wait p99 | opened per 1000 |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for i, c := range names {
		small := 0
		for j, other := range names {
			if other.pgx == c.pgx && other.settings == postgres.Sized(2) {
				small = j
			}
		}
		var done int64
		latency := hdrhistogram.New(1, int64(10*time.Minute), 3)
		for _, o := range out[i] {
			require.NoError(t, o.First, c.name)
			done += o.Done
			require.Zero(t, latency.Merge(o.Latency), "samples were dropped")
		}
		waits := run[i].Waits()
		doc.f("| %s | %.0f | %s | %.1f µs | %s | %s | %s | %s | %s | %.2f |\n",
			strings.NewReplacer("driver=", "", "/pool=", ", ").Replace(c.name),
			mean((*pools.Outcome).Rate, out[i]), proof.Interval(pools.RatioOf((*pools.Outcome).Rate, out[small], out[i])),
			mean((*pools.Outcome).CPUPerOp, out[i])/1e3, proof.Interval(pools.RatioOf((*pools.Outcome).CPUPerOp, out[small], out[i])),
			micros(latency, 50), micros(latency, 99), micros(waits, 50), micros(waits, 99),
			1000*float64(run[i].Stats().Dials-dials[i])/float64(done))
	}
	doc.f("\nWhat is to be known of the settings:\n\n")
	for i, p := range run {
		for _, remark := range p.(interface{ Remarks() []string }).Remarks() {
			doc.f("- %s: %s.\n", strings.NewReplacer("driver=", "", "/pool=", ", ").Replace(names[i].name), remark)
		}
	}
	doc.f("\n")
}

// proveMonitor sets a pool beside itself watched.
func proveMonitor(t *testing.T, doc page, dsn string) {
	c := monitorCost(t, dsn, watchRounds**proofRounds, pairsARound, slice)
	// A sample alone, as the difference between the arms may be too small to see.
	p := open(t, dsn, keepAll())
	const samples = 100_000
	before := cpu.Used()
	for range samples {
		_ = p.Sample()
	}
	each := float64(cpu.Used()-before) / samples
	doc.f("## Watching\n\nThe recommended pool of lib/pq, all its connections kept idle, its monitor off and on in turn, %d rounds of %d pairs of slices of %v. It looks\nevery %v here, %.0f times as often as by default.\n\n", c.N, pairsARound, slice, often, postgres.DefaultLimits().Every.Seconds()/often.Seconds())
	doc.f("| monitor | client CPU/req | req/s |\n|---|---|---|\n")
	for _, arm := range []struct {
		name   string
		rounds []*pools.Outcome
	}{{"off", c.Off}, {"on", c.On}} {
		doc.f("| %s | %.1f µs | %.0f |\n", arm.name, mean((*pools.Outcome).CPUPerOp, arm.rounds)/1e3, mean((*pools.Outcome).Rate, arm.rounds))
	}
	doc.f("| ratio | %s | %s |\n\n", proof.Interval(c.Ratio), proof.Interval(pools.RatioOf((*pools.Outcome).Rate, c.Off, c.On)))
	doc.f("Required: the whole interval shows less than %.0f %% of client CPU: %s. A sample alone takes %.2f µs, so one every %v is %.1g of a CPU; to\nstart and stop the monitor, which the ratio does not have in it, takes %v.\n\n",
		100*watchedAtMost, c.Below(watchedAtMost), each/1e3, postgres.DefaultLimits().Every, each/float64(postgres.DefaultLimits().Every), c.Switching.Round(time.Microsecond))
	assert.Equal(t, pools.Met, c.Below(watchedAtMost), "%v", c.Ratio)
}

// oneByOne drives arms in a shuffled order, once each in a round.
func oneByOne(ctx context.Context, rounds int, shuffle func(int) []int, arms int, drive func(context.Context, int) (*pools.Outcome, error)) ([][]*pools.Outcome, error) {
	out := make([][]*pools.Outcome, arms)
	for range rounds {
		for _, arm := range shuffle(arms) {
			o, err := drive(ctx, arm)
			if err != nil {
				return nil, err
			}
			out[arm] = append(out[arm], o)
		}
	}
	return out, nil
}
