package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// server is what a pool has to know of its server.
type server struct {
	version string
	permits int // connections at a time, those reserved for superusers apart
}

// askLimits asks for what is left to an ordinary client: max_connections, less
// superuser_reserved_connections and, from PostgreSQL 16 on,
// reserved_connections. A superuser may take more, but a pool that has to is too
// large.
const askLimits = `SELECT current_setting('server_version'),
	current_setting('max_connections')::int
	- current_setting('superuser_reserved_connections')::int
	- coalesce(current_setting('reserved_connections', true), '0')::int`

// inspect asks the server, over a connection that is closed again.
func inspect(ctx context.Context, c *connector) (server, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.ConnectTimeout)
	defer cancel()
	db := sql.OpenDB(c)
	defer db.Close()
	var s server
	err := db.QueryRowContext(ctx, askLimits).Scan(&s.version, &s.permits)
	var said *reworded
	if err != nil && !errors.As(err, &said) {
		err = fmt.Errorf("ask %s for its limits: %w", c.address(), whenLate(ctx, err))
		err = hide(err, c.password())
	}
	return s, err
}

// admits returns an error if a pool of these settings is larger than the server.
func (s server) admits(settings Settings) error {
	if settings.MaxOpen > s.permits {
		return fmt.Errorf("MaxOpen is %d, but the server has only %d connections for its clients (max_connections less those reserved for superusers): lower the one or raise the other, and leave room for other clients", settings.MaxOpen, s.permits)
	}
	return nil
}

// whenLate is the context's error where that is the reason: drivers report what
// they saw of it, such as a query cancelled or a connection closed.
func whenLate(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w (%v)", ctx.Err(), err)
}

// isTimeout tells whether err says that time ran out.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
