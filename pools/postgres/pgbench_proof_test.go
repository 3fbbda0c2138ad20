//go:build proof

package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"netbench/internal/proof"
	"netbench/pools"
	"netbench/pools/postgres"
	"netbench/testenv"
	"netbench/testenv/services"
)

const (
	pgbenchScale       = 10
	pgbenchRows        = pgbenchScale * 100_000
	pgbenchConnections = 25
	pgbenchSeconds     = 2 // of each run; whole seconds
)

// pgbench is the program, before one database.
type pgbench struct {
	path    string
	where   []string // words that say where the database is
	env     []string
	threads int
	idle    time.Duration // CPU time of a run that does next to nothing
}

// findPgbench looks where Debian has it too.
func findPgbench() (string, error) {
	path, err := exec.LookPath("pgbench")
	if err == nil {
		return path, nil
	}
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench"); len(found) > 0 {
		return found[len(found)-1], nil
	}
	return "", err
}

func newPgbench(path, dsn string, threads int) (*pgbench, error) {
	c, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("the DSN does not parse")
	}
	return &pgbench{
		path: path, threads: max(1, threads),
		where: []string{"-h", c.Host, "-p", strconv.Itoa(int(c.Port)), "-U", c.User, c.Database},
		// Not among the words, which other users can see.
		env: append(os.Environ(), "PGPASSWORD="+c.Password, "PGSSLMODE="+string(c.SSLMode)),
	}, nil
}

// run starts it with these words, and returns what it wrote and the CPU time that
// it took.
func (p *pgbench) run(ctx context.Context, words ...string) (string, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, p.path, append(words, p.where...)...)
	c.Env = p.env
	var wrote, complained bytes.Buffer
	c.Stdout, c.Stderr = &wrote, &complained
	if err := c.Run(); err != nil {
		return "", 0, fmt.Errorf("pgbench %s: %w: %s", strings.Join(words, " "), err, strings.TrimSpace(complained.String()))
	}
	return wrote.String(), c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
}

// selectOnly are the words of a run of select statements only.
func (p *pgbench) selectOnly(protocol string, more ...string) []string {
	return append([]string{"-S", "-n", "-M", protocol, "-c", strconv.Itoa(pgbenchConnections), "-j", strconv.Itoa(p.threads)}, more...)
}

var (
	processed = regexp.MustCompile(`number of transactions actually processed: (\d+)`)
	tps       = regexp.MustCompile(`tps = ([0-9.]+) \(without initial connection time\)`)
)

// drive is a run as pools see one.
func (p *pgbench) drive(ctx context.Context, protocol string) (*pools.Outcome, error) {
	wrote, used, err := p.run(ctx, p.selectOnly(protocol, "-T", strconv.Itoa(pgbenchSeconds))...)
	if err != nil {
		return nil, err
	}
	n, rate := processed.FindStringSubmatch(wrote), tps.FindStringSubmatch(wrote)
	if n == nil || rate == nil {
		return nil, fmt.Errorf("pgbench wrote no count and rate: %q", wrote)
	}
	done, err := strconv.ParseInt(n[1], 10, 64)
	if err != nil {
		return nil, err
	}
	perSecond, err := strconv.ParseFloat(rate[1], 64)
	if err != nil || perSecond <= 0 {
		return nil, fmt.Errorf("pgbench wrote the rate %q", rate[1])
	}
	return &pools.Outcome{Done: done, Elapsed: time.Duration(float64(done) / perSecond * float64(time.Second)), CPU: used - p.idle}, nil
}

// provePgbench sets lib/pq and pgx beside pgbench.
func provePgbench(t *testing.T, doc page, server *services.Postgres, place testenv.Placement) {
	doc.f("## Beside pgbench\n\n")
	path, err := findPgbench()
	require.NoError(t, err, "the proof needs pgbench")
	db, err := server.Fresh(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, db.Release(ctx))
	})
	bench, err := newPgbench(path, db.DSN(), len(place.Generator))
	require.NoError(t, err)
	_, _, err = bench.run(t.Context(), "-i", "-q", "-s", strconv.Itoa(pgbenchScale))
	require.NoError(t, err)
	_, bench.idle, err = bench.run(t.Context(), bench.selectOnly("simple", "-t", "1")...)
	require.NoError(t, err)

	all := postgres.Settings{MaxOpen: pgbenchConnections, MaxIdle: pgbenchConnections}
	libpq, ours := open(t, db.DSN(), all), openPgx(t, db.DSN(), all)
	for _, p := range []pools.Pool{libpq.Lookups(pgbenchRows), ours.Lookups(pgbenchRows)} {
		require.NoError(t, p.Warm(t.Context(), pgbenchConnections))
	}
	l := pools.Load{Workers: pgbenchConnections, For: pgbenchSeconds * time.Second}
	pooled := func(do func(context.Context) error) func(context.Context) (*pools.Outcome, error) {
		return func(ctx context.Context) (*pools.Outcome, error) {
			o, err := pools.Drive(ctx, l, do)
			if err == nil {
				err = o.First
			}
			return o, err
		}
	}
	arms := []struct {
		name string
		run  func(context.Context) (*pools.Outcome, error)
	}{
		{"pgbench -M simple", func(ctx context.Context) (*pools.Outcome, error) { return bench.drive(ctx, "simple") }},
		{"lib/pq, simple protocol", pooled(libpq.Lookups(pgbenchRows).Do)},
		{"pgx, simple protocol", pooled(ours.Lookups(pgbenchRows).Do)},
		{"pgbench -M prepared", func(ctx context.Context) (*pools.Outcome, error) { return bench.drive(ctx, "prepared") }},
	}
	random := rand.New(rand.NewPCG(3, 5))
	out, err := oneByOne(t.Context(), *proofRounds, random.Perm, len(arms), func(ctx context.Context, arm int) (*pools.Outcome, error) {
		return arms[arm].run(ctx)
	})
	require.NoError(t, err)
	doc.f("`pgbench -S` with %d clients and %d threads, on tables of scale %d, and the same statement by %d workers over\nas many connections that stay open; %d rounds of one run of %d s each in an order shuffled anew. Rates of\npgbench are those without its initial connection time, and its CPU time is less that of a run of one\ntransaction per client. Ratios are to pgbench with the simple protocol, which the pools use too.\n\n",
		pgbenchConnections, bench.threads, pgbenchScale, pgbenchConnections, *proofRounds, pgbenchSeconds)
	doc.f("| client | req/s | ratio | client CPU/req | ratio |\n|---|---|---|---|---|\n")
	for i, arm := range arms {
		doc.f("| %s | %.0f | %s | %.1f µs | %s |\n", arm.name,
			mean((*pools.Outcome).Rate, out[i]), proof.Interval(pools.RatioOf((*pools.Outcome).Rate, out[0], out[i])),
			mean((*pools.Outcome).CPUPerOp, out[i])/1e3, proof.Interval(pools.RatioOf((*pools.Outcome).CPUPerOp, out[0], out[i])))
	}
}
