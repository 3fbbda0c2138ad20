package services

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/lib/pq"
)

// Database is a database that one caller has for itself.
type Database struct {
	server *Postgres
	name   string
	dsn    secret
}

// Fresh makes an empty database for the caller, who releases it.
func (p *Postgres) Fresh(ctx context.Context) (*Database, error) {
	return p.create(ctx, "template0")
}

// FreshFrom makes a database with the content of another, which nobody may be
// connected to meanwhile: copying files is faster than filling tables again.
func (p *Postgres) FreshFrom(ctx context.Context, template *Database) (*Database, error) {
	return p.create(ctx, template.name)
}

// Template makes a database and fills it, for FreshFrom. The connections of fill
// are closed when it returns; if it fails nothing is left.
func (p *Postgres) Template(ctx context.Context, fill func(context.Context, *sql.DB) error) (*Database, error) {
	d, err := p.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	connector, err := pq.NewConnector(d.dsn())
	if err == nil {
		db := sql.OpenDB(connector)
		err = errors.Join(fill(ctx, db), db.Close())
	}
	if err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = fmt.Errorf("fill a template: %w", errors.Join(err, d.Release(stop)))
		return nil, hide(err, p.dsn(), p.password())
	}
	return d, nil
}

func (p *Postgres) create(ctx context.Context, template string) (*Database, error) {
	// A name that no other caller and no other run against the same server has.
	name := "netbench_" + strings.ToLower(rand.Text())
	dsn, err := onDatabase(p.dsn(), name)
	if err != nil {
		return nil, err
	}
	err = p.query(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(name)+" TEMPLATE "+pq.QuoteIdentifier(template))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a database from template %s: %w", template, err)
	}
	return &Database{server: p, name: name, dsn: keep(dsn)}, nil
}

// Name is the database's name.
func (d *Database) Name() string { return d.name }

// DSN is the database's data source name, with the password.
func (d *Database) DSN() string { return d.dsn() }

// String is the name and the address of the server.
func (d *Database) String() string { return d.name + " at " + d.server.info.Addr }

// GoString is String's text.
func (d *Database) GoString() string { return d.String() }

// Release drops the database, cutting the connections to it. To release it again
// does nothing.
func (d *Database) Release(ctx context.Context) error {
	err := d.server.query(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, "DROP DATABASE IF EXISTS "+pq.QuoteIdentifier(d.name)+" WITH (FORCE)")
		return err
	})
	if err != nil {
		return fmt.Errorf("drop database %s: %w", d.name, err)
	}
	return nil
}
