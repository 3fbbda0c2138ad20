package postgres

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"netbench/pools"
)

// Pgx is a pool of pgx. Its methods may be called from several goroutines.
type Pgx struct {
	pool     *pgxpool.Pool
	address  string
	settings Settings
	server   server
	opened   *atomic.Int64
	acquires *acquires
}

// Limits of pgxpool.
const (
	pgxMost = math.MaxInt32
	ever    = time.Duration(math.MaxInt64)
)

// OpenPgx is Open for pgxpool. What it cannot be given of the settings is in
// Remarks, but for MaxOpen without a limit, which is an error.
func OpenPgx(ctx context.Context, dsn string, s Settings) (*Pgx, error) {
	p, err := openPgx(ctx, dsn, s)
	if err != nil {
		return nil, fmt.Errorf("open a pgx pool: %w", err)
	}
	return p, nil
}

func openPgx(ctx context.Context, dsn string, s Settings) (*Pgx, error) {
	if s.MaxOpen == 0 || s.MaxOpen > pgxMost {
		return nil, fmt.Errorf("MaxOpen is %d (want 1 to %d: pgxpool always has a limit)", s.MaxOpen, pgxMost)
	}
	c, srv, err := prepare(ctx, dsn, s)
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errDSN // pgx knows other words than lib/pq
	}
	p := &Pgx{address: c.address(), settings: s, server: srv, opened: new(atomic.Int64), acquires: &acquires{waits: newWaits()}}
	config.MaxConns = int32(s.MaxOpen)
	config.MinConns, config.MinIdleConns = 0, 0
	config.MaxConnLifetime = s.Lifetime // 0 means no limit there too
	config.MaxConnLifetimeJitter = 0
	config.MaxConnIdleTime = s.IdleTime
	if s.IdleTime == 0 {
		config.MaxConnIdleTime = ever // where 0 means at the next look
	}
	config.ConnConfig.ConnectTimeout = c.config.ConnectTimeout
	config.ConnConfig.Tracer = p.acquires
	config.AfterConnect = func(context.Context, *pgx.Conn) error {
		p.opened.Add(1)
		return nil
	}
	if p.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, hide(err, c.password())
	}
	return p, nil
}

// acquires is told by pgxpool of each acquisition, those of its queries included.
type acquires struct {
	waits *waits
}

// askedKey is the context's key for when a connection was asked for.
type askedKey struct{}

// TraceAcquireStart implements [pgxpool.AcquireTracer].
func (a *acquires) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	if ctx.Value(warmKey{}) != nil {
		return ctx
	}
	return context.WithValue(ctx, askedKey{}, time.Now())
}

// TraceAcquireEnd implements [pgxpool.AcquireTracer].
func (a *acquires) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	if asked, ok := ctx.Value(askedKey{}).(time.Time); ok {
		a.waits.record(time.Since(asked))
	}
}

// TraceQueryStart implements [pgx.QueryTracer], which every tracer has to.
func (a *acquires) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (a *acquires) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Pool is the pool as pgx has it.
func (p *Pgx) Pool() *pgxpool.Pool { return p.pool }

// Settings are those that it was opened with.
func (p *Pgx) Settings() Settings { return p.settings }

// Remarks are those on its settings, and what of them pgxpool has not.
func (p *Pgx) Remarks() []string {
	r := p.settings.Remarks()
	if p.settings.MaxIdle < p.settings.MaxOpen {
		r = append(r, fmt.Sprintf("MaxIdle %d is not heeded: pgxpool keeps every connection until its idle time or lifetime is over", p.settings.MaxIdle))
	}
	return append(r, "pgxpool looks for idle connections that are too old once a minute, and asks one that was idle for more than 1 s whether it still lives before it gives it away")
}

// String tells the driver, the server's version and address, and the settings.
func (p *Pgx) String() string {
	return fmt.Sprintf("pgx before PostgreSQL %s at %s: %v", p.server.version, p.address, p.settings)
}

// GoString is String's text, as the pool's parts hold a password.
func (p *Pgx) GoString() string { return p.String() }

// Waits is a copy of the histogram of how long acquisitions took, in nanoseconds.
func (p *Pgx) Waits() *hdrhistogram.Histogram { return p.acquires.waits.snapshot() }

// ForgetWaits empties that histogram.
func (p *Pgx) ForgetWaits() { p.acquires.waits.reset() }

// Sample is the pool's state.
func (p *Pgx) Sample() Sample {
	st := p.pool.Stat()
	s := Sample{Dials: p.opened.Load(), GaveUp: st.CanceledAcquireCount(), Acquired: st.AcquireCount(), AcquireTime: st.AcquireDuration()}
	s.MaxOpenConnections, s.OpenConnections = int(st.MaxConns()), int(st.TotalConns())
	s.InUse, s.Idle = int(st.AcquiredConns()), int(st.IdleConns())
	// Those who waited for a connection to be opened are among them.
	s.WaitCount, s.WaitDuration = st.EmptyAcquireCount(), st.EmptyAcquireWaitTime()
	s.MaxIdleClosed = pools.Absent
	s.MaxIdleTimeClosed, s.MaxLifetimeClosed = st.MaxIdleDestroyCount(), st.MaxLifetimeDestroyCount()
	return s
}

// Stats is the part of Sample that all kinds of pools have.
func (p *Pgx) Stats() pools.Stats { return p.Sample().stats() }

// warmKey marks the contexts of Warm, whose acquisitions are no caller's.
type warmKey struct{}

// Warm opens connections until n are idle.
func (p *Pgx) Warm(ctx context.Context, n int) error {
	if n < 0 || n > p.settings.MaxOpen {
		return fmt.Errorf("warm %d connections: 0 to %d can be idle (ask for that, or raise MaxOpen)", n, p.settings.MaxOpen)
	}
	err := hold(context.WithValue(ctx, warmKey{}, true), n, func(ctx context.Context) (func(), error) {
		c, err := p.pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		return c.Release, nil
	})
	if err != nil {
		return hide(fmt.Errorf("warm %d connections: %w", n, err), p.pool.Config().ConnConfig.Password)
	}
	return nil
}

// Close waits for connections in use and ends all. A second Close does nothing.
func (p *Pgx) Close() error {
	p.pool.Close()
	return nil
}
