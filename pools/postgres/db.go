package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"netbench/pools"
)

// DB is a pool of lib/pq's connections, kept by database/sql. Its methods may be
// called from several goroutines.
type DB struct {
	sql       *sql.DB
	connector *connector
	settings  Settings
	server    server
	waits     *waits
	gaveUp    atomic.Int64
}

// Open checks the settings against themselves and against the server, over one
// connection that is closed again, and returns a pool that has none yet. It takes
// no longer than the settings' ConnectTimeout, for each host that the DSN names.
func Open(ctx context.Context, dsn string, s Settings) (*DB, error) {
	c, srv, err := prepare(ctx, dsn, s)
	if err != nil {
		return nil, fmt.Errorf("open a postgres pool: %w", err)
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(s.MaxOpen)
	db.SetMaxIdleConns(s.MaxIdle)
	db.SetConnMaxLifetime(s.Lifetime)
	db.SetConnMaxIdleTime(s.IdleTime)
	return &DB{sql: db, connector: c, settings: s, server: srv, waits: newWaits()}, nil
}

// prepare is what both sorts of pools check first.
func prepare(ctx context.Context, dsn string, s Settings) (*connector, server, error) {
	if err := s.Validate(); err != nil {
		return nil, server{}, err
	}
	c, err := newConnector(dsn, s)
	if err != nil {
		return nil, server{}, err
	}
	srv, err := inspect(ctx, c)
	if err == nil {
		err = srv.admits(s)
	}
	c.opened.Store(0) // that one was none of the pool's
	return c, srv, err
}

// SQL is the pool as database/sql has it. Connections that are taken from it
// directly are not in Waits, nor are callers who gave up.
func (db *DB) SQL() *sql.DB { return db.sql }

// Settings are those that it was opened with.
func (db *DB) Settings() Settings { return db.settings }

// Remarks are those on its settings.
func (db *DB) Remarks() []string { return db.settings.Remarks() }

// String tells the driver, the server's version and address, and the settings.
func (db *DB) String() string {
	return fmt.Sprintf("lib/pq before PostgreSQL %s at %s: %v", db.server.version, db.connector.address(), db.settings)
}

// GoString is String's text, as the pool's parts hold a password.
func (db *DB) GoString() string { return db.String() }

// Conn takes a connection, and records how long that took. The caller closes it,
// which gives it back.
func (db *DB) Conn(ctx context.Context) (*sql.Conn, error) {
	asked := time.Now()
	c, err := db.sql.Conn(ctx)
	db.waits.record(time.Since(asked))
	if err != nil && ctx.Err() != nil {
		db.gaveUp.Add(1)
	}
	return c, err
}

// Waits is a copy of the histogram of how long Conn took, in nanoseconds.
func (db *DB) Waits() *hdrhistogram.Histogram { return db.waits.snapshot() }

// ForgetWaits empties that histogram.
func (db *DB) ForgetWaits() { db.waits.reset() }

// Sample is the pool's state.
func (db *DB) Sample() Sample {
	return Sample{
		DBStats: db.sql.Stats(), Dials: db.connector.opened.Load(), GaveUp: db.gaveUp.Load(),
		Acquired: pools.Absent, AcquireTime: pools.Absent,
	}
}

// Stats is the part of Sample that all kinds of pools have.
func (db *DB) Stats() pools.Stats { return db.Sample().stats() }

// Warm opens connections until n are idle. It fails if n is more than the
// settings' MaxIdle, as those above would be closed at once.
func (db *DB) Warm(ctx context.Context, n int) error {
	if n < 0 || n > db.settings.MaxIdle {
		return fmt.Errorf("warm %d connections: 0 to %d can be idle (ask for that, or raise MaxIdle)", n, db.settings.MaxIdle)
	}
	err := hold(ctx, n, func(ctx context.Context) (func(), error) {
		c, err := db.sql.Conn(ctx)
		if err != nil {
			return nil, err
		}
		return func() { _ = c.Close() }, nil // which puts it back
	})
	if err != nil {
		return fmt.Errorf("warm %d connections: %w", n, err)
	}
	return nil
}

// hold takes n connections at once and then gives them all back.
func hold(ctx context.Context, n int, take func(context.Context) (giveBack func(), err error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		taking sync.WaitGroup
		mu     sync.Mutex
		held   []func()
		first  error
	)
	for range n {
		taking.Go(func() {
			giveBack, err := take(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				held = append(held, giveBack)
			} else if first == nil {
				first = err
				cancel()
			}
		})
	}
	taking.Wait()
	for _, giveBack := range held {
		giveBack()
	}
	return first
}

// Close ends all connections, those in use when they are given back. A second
// Close does nothing. A connection that the other side has ended already cannot be
// told so, which is no error.
func (db *DB) Close() error {
	err := db.sql.Close()
	if err == nil || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return hide(fmt.Errorf("close a postgres pool: %w", err), db.connector.password())
}
