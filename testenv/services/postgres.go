package services

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
)

// EnvPostgres is the environment variable with the DSN of a PostgreSQL server to
// use: a URL or words of the form key=value. Databases named netbench_... are made
// there and dropped; of a program that is killed, its last ones stay.
const EnvPostgres = "NETBENCH_POSTGRES_DSN"

// PostgresOptions say which PostgreSQL server is wanted. They bind a server that
// is started, not one at a given address; what [Info] reports is true of either.
type PostgresOptions struct {
	// MaxConnections is the most clients at a time, 0 for the server's default of
	// 100, of which three are kept for superusers; least 4.
	MaxConnections int

	// SharedBuffers is the size of the server's own cache, as PostgreSQL writes
	// sizes ("64MB"); "" for the server's default, 128 MiB as a rule.
	SharedBuffers string

	// Durable keeps fsync, synchronous_commit and full_page_writes on. They are
	// off otherwise: a database for one test does not survive a power cut anyway,
	// and what a disk makes of commits is not what is measured here.
	Durable bool

	// Binaries is the directory with postgres and initdb; "" looks for them.
	Binaries string

	// StartTimeout bounds the start; 0 means DefaultStartTimeout.
	StartTimeout time.Duration

	// Given is the address of a server to use, in the form that EnvPostgres has,
	// which it goes before; "" for none. Permit, unless it is nil, is asked before a
	// given server is connected to, with host:port or the path of a socket, and its
	// error ends the start.
	Given  string
	Permit func(addr string) error

	// CPUs is the set that the server's processes run on, where they are ours;
	// empty does not pin them.
	CPUs []int

	// Log gets a copy of the server's log, where that is ours; nil for none.
	Log io.Writer
}

func (o PostgresOptions) check() error {
	if o.MaxConnections != 0 && o.MaxConnections < 4 {
		return fmt.Errorf("MaxConnections is %d (want 4 or more, or 0 for the default: three are kept for superusers)", o.MaxConnections)
	}
	if strings.ContainsAny(o.SharedBuffers, "\x00\n") {
		return fmt.Errorf("SharedBuffers is %q (want a size such as 64MB)", o.SharedBuffers)
	}
	return nil
}

// Postgres is a PostgreSQL server that answers. Its methods may be called from
// several goroutines.
type Postgres struct {
	server
	dsn      secret
	password secret
}

// postgresSettings are those that Info reports.
var postgresSettings = []string{"fsync", "synchronous_commit", "full_page_writes", "max_connections", "shared_buffers"}

// StartPostgres climbs the ladder for PostgreSQL. The error is an [*AbsentError] if
// no rung is there, and tells of one that broke.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	if o.StartTimeout <= 0 {
		o.StartTimeout = DefaultStartTimeout
	}
	p, rung, reason, err := climb(ctx, "postgres", []step[*Postgres]{
		{Given, o.given},
		{LocalBinary, o.startLocal},
		{Container, o.startContained},
		{StandIn, func(context.Context) (*Postgres, string, error) {
			return nil, "", absence("there is no honest one for PostgreSQL")
		}},
	})
	if err != nil {
		return nil, err
	}
	p.info.Service, p.info.Rung, p.info.Reason = "postgres", rung, reason
	return p, nil
}

// given is the first rung.
func (o PostgresOptions) given(ctx context.Context) (*Postgres, string, error) {
	return askedFor(ctx, o.Given, EnvPostgres, o.Permit, newPostgres)
}

func (o PostgresOptions) startContained(ctx context.Context) (*Postgres, string, error) {
	return inContainer(ctx, func(c Containers) (Contained, error) { return c.Postgres(ctx, o) }, newPostgres)
}

// newPostgres is a server known by its DSN. The error does not quote the DSN: in
// one that cannot be read nobody knows where the password is.
func newPostgres(dsn string) (*Postgres, error) {
	config, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, errors.New("the DSN does not parse (want postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=disable, or key=value words; it is not shown, as it may hold a password)")
	}
	p := &Postgres{dsn: keep(dsn), password: keep(config.Password)}
	if len(config.Multi) > 0 {
		return nil, errors.New("the DSN names several hosts (want one: figures are of one server)")
	}
	host := config.Host
	if config.Hostaddr.IsValid() { // which is dialled, whatever the name
		host = config.Hostaddr.String()
	}
	p.info.Addr = host
	if !strings.HasPrefix(host, "/") {
		p.info.Addr = net.JoinHostPort(host, strconv.Itoa(int(config.Port)))
	}
	return p, nil
}

// answers tells whether the server lets us in and answers a query.
func (p *Postgres) answers(ctx context.Context) error {
	return p.query(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, "SELECT 1")
		return err
	})
}

// PostgresAnswers is nil if the server lets us in and answers a query. Its error is
// one line and shows no password.
func PostgresAnswers(ctx context.Context, dsn string) error {
	p, err := newPostgres(dsn)
	if err != nil {
		return err
	}
	return p.answers(ctx)
}

// inspect asks for the version and the settings.
func (p *Postgres) inspect(ctx context.Context) error {
	return p.query(ctx, func(c *sql.Conn) error {
		if err := c.QueryRowContext(ctx, "SELECT current_setting('server_version')").Scan(&p.info.Version); err != nil {
			return err
		}
		settings := map[string]string{}
		for _, name := range postgresSettings {
			var value string
			if err := c.QueryRowContext(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
				return err
			}
			settings[name] = value
		}
		p.info.Settings = settings
		return nil
	})
}

// query runs do with a connection of its own, which is closed afterwards, so that
// none is taken from what the server has for its clients.
func (p *Postgres) query(ctx context.Context, do func(*sql.Conn) error) error {
	connector, err := pq.NewConnector(p.dsn())
	if err != nil {
		return hide(err, p.dsn(), p.password())
	}
	connector.Dialer(bounded{ctx})
	db := sql.OpenDB(connector)
	defer db.Close()
	c, err := db.Conn(ctx)
	if err == nil {
		defer c.Close()
		err = do(c)
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("no answer in time: %w", ctx.Err())
	}
	return hide(err, p.dsn(), p.password())
}

// bounded dials connections that are closed when a context ends. The driver heeds
// one while it dials, but not while it waits for a server's first answer.
type bounded struct{ ctx context.Context }

func (b bounded) Dial(network, address string) (net.Conn, error) {
	return b.DialContext(b.ctx, network, address)
}

func (b bounded) DialTimeout(network, address string, within time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	return b.DialContext(ctx, network, address)
}

func (b bounded) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &boundedConn{c, context.AfterFunc(b.ctx, func() { c.Close() })}, nil
}

type boundedConn struct {
	net.Conn
	release func() bool
}

func (c *boundedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// Info tells what this server is.
func (p *Postgres) Info() Info { return p.info }

// String is Info's: without the password.
func (p *Postgres) String() string { return p.info.String() }

// GoString is String's text.
func (p *Postgres) GoString() string { return p.String() }

// DSN is the data source name of the server's own database, with the password.
func (p *Postgres) DSN() string { return p.dsn() }

// Restart ends the server in order, cutting its connections, and starts it again on
// the same port with the same data. It returns when it answers. A server at a
// given address is not restarted: that is an error.
func (p *Postgres) Restart(ctx context.Context) error { return p.body.Restart(ctx) }

// CPU is the CPU time that the server's processes have used since it was first
// started, that of the few milliseconds of their keeper included.
func (p *Postgres) CPU() (time.Duration, error) { return p.body.CPU() }

// Stop ends the server and removes all its data, if it is ours; one at a given
// address goes on. If ctx has no deadline it takes 10 s at most.
func (p *Postgres) Stop(ctx context.Context) error { return p.body.Stop(ctx) }

// onDatabase is a DSN for another database of the same server.
func onDatabase(dsn, name string) (string, error) {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return dsn + " dbname='" + name + "'", nil // the last word wins
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", errors.New("the DSN does not parse")
	}
	u.Path, u.RawPath = "/"+name, ""
	q := u.Query()
	q.Del("dbname")
	u.RawQuery = q.Encode()
	return u.String(), nil
}
