package cli

import (
	"context"
	"errors"
	"fmt"

	"netbench/pools/postgres"
	"netbench/testenv/services"
)

// poolRows is how many rows the table of a sweep has: those of pgbench at scale 1.
const poolRows = 100_000

// openPostgresPool is a pool of one of the drivers before a fresh database with
// the table of pgbench.
func openPostgresPool(kindOf func(dsn string, rows int) postgres.Kind) poolOpener {
	return func(ctx context.Context, o poolOptions) (*poolSubject, error) {
		server, err := services.StartPostgres(ctx, services.PostgresOptions{Given: o.addr, Permit: o.permit, CPUs: o.cpus})
		if err != nil {
			return nil, err
		}
		subject := newServiceSubject(server.Info(), server.Stop)
		db, err := server.Fresh(ctx)
		if err != nil {
			return nil, errors.Join(err, subject.close(context.WithoutCancel(ctx)))
		}
		subject.close = func(ctx context.Context) error {
			return errors.Join(db.Release(ctx), server.Stop(ctx))
		}
		if err := postgres.Fill(ctx, db.DSN(), poolRows); err != nil {
			return nil, errors.Join(fmt.Errorf("postgres at %s: %w", subject.addr, err), subject.close(context.WithoutCancel(ctx)))
		}
		subject.kind = kindOf(db.DSN(), poolRows)
		return subject, nil
	}
}
