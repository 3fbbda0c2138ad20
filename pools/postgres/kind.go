package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"netbench/pools"
)

// Names of the kinds.
const (
	Name    = "postgres"     // lib/pq through database/sql
	NamePgx = "postgres-pgx" // pgxpool
)

// table has the name and the shape that pgbench gives its own, so that the same
// statement does on either.
const table = "pgbench_accounts"

// Fill makes the table that Do looks into, with rows 1 to n, in a database that
// has none of that name.
func Fill(ctx context.Context, dsn string, n int) error {
	if n < 1 {
		return fmt.Errorf("fill table %s with %d rows: at least 1 is needed", table, n)
	}
	s := Settings{MaxOpen: 1, MaxIdle: 1}
	db, err := Open(ctx, dsn, s)
	if err != nil {
		return fmt.Errorf("fill table %s: %w", table, err)
	}
	defer db.Close()
	for _, statement := range []string{
		"CREATE TABLE " + table + " (aid int NOT NULL, bid int, abalance int, filler char(84))",
		"INSERT INTO " + table + " SELECT aid, 1, 0, '' FROM generate_series(1, " + strconv.Itoa(n) + ") AS aid",
		"ALTER TABLE " + table + " ADD PRIMARY KEY (aid)",
		"VACUUM ANALYZE " + table,
	} {
		if _, err := db.sql.ExecContext(ctx, statement); err != nil {
			return hide(fmt.Errorf("fill table %s: %w", table, whenLate(ctx, err)), db.connector.password())
		}
	}
	return nil
}

// lookup is the statement of `pgbench -S`, for a random row of n.
func lookup(n int) string {
	return "SELECT abalance FROM " + table + " WHERE aid = " + strconv.Itoa(1+rand.IntN(n))
}

// Kind is a sort of pool before a database that has the table.
type Kind struct {
	name string
	dsn  func() string
	rows int
	open func(ctx context.Context, dsn string, s Settings, rows int) (pools.Pool, error)
}

// NewKind is lib/pq before a database whose table has as many rows.
func NewKind(dsn string, rows int) Kind {
	return Kind{Name, func() string { return dsn }, rows, func(ctx context.Context, dsn string, s Settings, rows int) (pools.Pool, error) {
		db, err := Open(ctx, dsn, s)
		if err != nil {
			return nil, err
		}
		return db.Lookups(rows), nil
	}}
}

// NewPgxKind is pgx before a database whose table has as many rows.
func NewPgxKind(dsn string, rows int) Kind {
	return Kind{NamePgx, func() string { return dsn }, rows, func(ctx context.Context, dsn string, s Settings, rows int) (pools.Pool, error) {
		p, err := OpenPgx(ctx, dsn, s)
		if err != nil {
			return nil, err
		}
		return p.Lookups(rows), nil
	}}
}

// Name is Name or NamePgx.
func (k Kind) Name() string { return k.name }

// Open makes a pool of the recommended settings with size connections, all of which
// may be idle: with half of them, a pool would open the other half anew whenever its
// callers pause, the more the larger it is, and a comparison of sizes by turns would
// see nothing else.
func (k Kind) Open(ctx context.Context, size int) (pools.Pool, error) {
	if size < 1 {
		return nil, fmt.Errorf("open a %s pool of %d connections: at least 1 is needed", k.name, size)
	}
	s := Sized(size)
	s.MaxIdle = s.MaxOpen
	return k.open(ctx, k.dsn(), s, k.rows)
}

// Lookups is the pool with an operation: a random row of as many is found by its
// primary key, in one round trip of the simple protocol, as `pgbench -S` does.
func (db *DB) Lookups(rows int) *Lookups { return &Lookups{db, rows} }

// Lookups is a DB that looks rows up.
type Lookups struct {
	*DB
	rows int
}

// Do looks up one row.
func (l *Lookups) Do(ctx context.Context) error {
	return l.Query(ctx, lookup(l.rows))
}

// Query takes a connection, which is timed, and reads the one number that a query
// answers with. A connection that the server has closed meanwhile is noticed only
// then; the query is handed to database/sql in that case, which tries others, and
// a new one at last.
func (db *DB) Query(ctx context.Context, query string) error {
	var answer sql.NullInt64
	c, err := db.Conn(ctx)
	if err == nil {
		err = c.QueryRowContext(ctx, query).Scan(&answer)
		_ = c.Close() // gives it back; one that is broken is closed
	}
	if errors.Is(err, driver.ErrBadConn) && ctx.Err() == nil {
		err = db.sql.QueryRowContext(ctx, query).Scan(&answer)
	}
	return whenLate(ctx, err)
}

// Lookups is DB's.
func (p *Pgx) Lookups(rows int) *PgxLookups { return &PgxLookups{p, rows} }

// PgxLookups is a Pgx that looks rows up.
type PgxLookups struct {
	*Pgx
	rows int
}

// Do looks up one row.
func (l *PgxLookups) Do(ctx context.Context) error {
	return l.Query(ctx, lookup(l.rows))
}

// Query reads the one number that a query answers with, by the simple protocol as
// DB's.
func (p *Pgx) Query(ctx context.Context, query string) error {
	var answer *int64
	err := p.pool.QueryRow(ctx, query, pgx.QueryExecModeSimpleProtocol).Scan(&answer)
	var refused *pgconn.ConnectError // which has the whole configuration in it
	if errors.As(err, &refused) {
		err = hide(err, refused.Config.Password)
	}
	return whenLate(ctx, err)
}
