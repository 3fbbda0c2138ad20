package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

// connector opens connections of lib/pq, counts them, and ends the waits that the
// driver itself does not end.
type connector struct {
	config   pq.Config // its ConnectTimeout bounds the handshake too
	password func() string
	opened   atomic.Int64
}

// newConnector does not connect.
func newConnector(dsn string, s Settings) (*connector, error) {
	config, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, errDSN
	}
	if t := s.connectTimeout(); config.ConnectTimeout <= 0 || config.ConnectTimeout > t {
		config.ConnectTimeout = t
	}
	password := config.Password
	return &connector{config: config, password: func() string { return password }}, nil
}

// address is where the server is, for messages.
func (c *connector) address() string {
	if strings.HasPrefix(c.config.Host, "/") {
		return c.config.Host
	}
	return net.JoinHostPort(c.config.Host, fmt.Sprint(c.config.Port))
}

// Driver is lib/pq.
func (c *connector) Driver() driver.Driver { return &pq.Driver{} }

// Connect opens one connection, or fails when ctx ends or after ConnectTimeout
// for each host that the DSN names, whichever is first.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	one, err := pq.NewConnectorConfig(c.config)
	if err != nil {
		return nil, hide(err, c.password())
	}
	d := &dialer{connecting: ctx, patience: c.config.ConnectTimeout}
	one.Dialer(d)
	conn, err := one.Connect(ctx)
	if err == nil && !d.settle() {
		_ = conn.Close()
		err = ctx.Err()
	}
	if err != nil {
		d.abandon()
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer in time: %w", ctx.Err())
		} else if isTimeout(err) {
			err = fmt.Errorf("no answer within %v: %w", c.config.ConnectTimeout, err)
		}
		return nil, hide(fmt.Errorf("connect to %s: %w", c.address(), err), c.password())
	}
	c.opened.Add(1)
	return conn, nil
}

// dialer dials for one connection of the pool: first that one, later those over
// which the driver asks the server to cancel a query of it. It is used by one
// goroutine at a time, but for cancellations.
type dialer struct {
	connecting context.Context // ends the first one while its handshake lasts
	patience   time.Duration   // with the answer to a query that was cancelled
	main       atomic.Pointer[conn]
	release    func() bool
}

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(d.connecting, network, address)
}

func (d *dialer) DialTimeout(network, address string, within time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.connecting, within)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext dials; when connecting is over, it takes any further call as the
// driver's way to cancel what the connection does.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	settled := d.main.Load()
	if settled != nil && settled.settled.Load() {
		settled.expect(d.patience)
	}
	var plain net.Dialer
	c, err := plain.DialContext(ctx, network, address)
	if err != nil || settled != nil && settled.settled.Load() {
		return c, err
	}
	d.abandon() // the driver tries again, without TLS or at another host
	first := &conn{Conn: c}
	d.main.Store(first)
	d.release = context.AfterFunc(d.connecting, func() { c.Close() })
	return first, nil
}

// abandon lets go of a connection that did not come to be.
func (d *dialer) abandon() {
	if d.release != nil {
		d.release()
	}
}

// settle ends the time of connecting. It is false if the context ended first.
func (d *dialer) settle() bool {
	if d.release != nil && !d.release() {
		return false
	}
	d.connecting = context.Background() // the caller's is not to be kept
	if c := d.main.Load(); c != nil {
		c.settled.Store(true)
	}
	return true
}

// conn is a connection whose answers can be given a limit.
type conn struct {
	net.Conn
	settled  atomic.Bool // the handshake is over
	expected atomic.Bool // a limit is set
}

// expect gives the next answer a limit. The driver cancels a query when its
// context ends, but then waits for the server to say so, which a stalled link
// makes a wait without end.
func (c *conn) expect(within time.Duration) {
	c.expected.Store(true)
	_ = c.SetReadDeadline(time.Now().Add(within))
}

// relieve lifts the limit.
func (c *conn) relieve() {
	if c.expected.CompareAndSwap(true, false) {
		_ = c.SetReadDeadline(time.Time{})
	}
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.relieve()
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	c.relieve()
	return c.Conn.Write(b)
}
