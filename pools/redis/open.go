package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Open makes a pool for the server of base, of which it takes address, database,
// credentials, TLS and the like; whatever Settings has comes from s. Before, it
// connects once to see that the server answers, lets us in and permits so many
// connections, all within s.DialTimeout and ctx. The errors have one line and
// hold no password.
//
// ctx bounds the opening only.
func Open(ctx context.Context, base *goredis.Options, s Settings) (*Pool, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if base == nil || base.Addr == "" {
		return nil, errors.New("redis pool: no address (want Options.Addr, host:port)")
	}
	o := s.on(base)
	if o.Network == "" {
		o.Network = "tcp"
		if strings.HasPrefix(o.Addr, "/") {
			o.Network = "unix"
		}
	}
	if o.Dialer == nil {
		o.Dialer = goredis.NewDialer(o)
	}
	if err := check(ctx, o, s); err != nil {
		return nil, fmt.Errorf("redis pool: %s: %w", o.Addr, hide(err, o.Password))
	}
	p := &Pool{settings: s, addr: o.Addr, key: "netbench:" + rand.Text() + ":"}
	o.Dialer = counted(o.Dialer, &p.dials)
	p.client = goredis.NewClient(o)
	return p, nil
}

// OpenURL is Open for a URL, redis://user:password@host:port/database, or
// rediss:// for TLS, or unix://. The URL's parameters that are settings of the
// pool have no effect.
func OpenURL(ctx context.Context, address string, s Settings) (*Pool, error) {
	base, err := ParseURL(address)
	if err != nil {
		return nil, err
	}
	return Open(ctx, base, s)
}

// ParseURL is that of the driver, with an error that does not quote the URL: in
// one that cannot be read nobody knows where the password is.
func ParseURL(address string) (*goredis.Options, error) {
	base, err := goredis.ParseURL(address)
	if err != nil {
		return nil, errors.New("redis pool: the URL does not parse (want redis://USER:PASSWORD@HOST:PORT/DATABASE; it is not shown, as it may hold a password)")
	}
	return base, nil
}

// dialer is what the driver calls to connect.
type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// counted counts the connections that dial opens.
func counted(dial dialer, opened *atomic.Int64) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err == nil {
			opened.Add(1)
		}
		return c, err
	}
}

// check asks the server over one connection whether a pool would do.
func check(ctx context.Context, o *goredis.Options, s Settings) error {
	ctx, cancel := context.WithTimeout(ctx, s.DialTimeout)
	defer cancel()
	conn, err := o.Dialer(ctx, o.Network, o.Addr)
	if err != nil {
		return advise(err, s)
	}
	// A driver that cannot connect logs it and tries again in the background
	// for a while after it was closed. So it gets this one connection, and is
	// asked no more once something failed.
	one := *o
	one.Dialer = func(context.Context, string, string) (net.Conn, error) {
		if c := conn; c != nil {
			conn = nil
			return c, nil
		}
		return nil, errors.New("the connection was lost")
	}
	one.PoolSize, one.MinIdleConns, one.MaxIdleConns, one.PipelinePoolSize = 1, 0, 0, -1
	one.MaxRetries, one.DialerRetries = -1, 1
	one.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	defer func() {
		if conn != nil { // the driver never asked for it
			_ = conn.Close()
		}
	}()
	client := goredis.NewClient(&one)
	defer client.Close()
	if err := client.Ping(ctx).Err(); err != nil {
		return advise(err, s)
	}
	// Many hosted servers do not tell; then nobody knows.
	values, err := client.ConfigGet(ctx, "maxclients").Result()
	if err != nil {
		return nil
	}
	most, err := strconv.Atoi(values["maxclients"])
	if err != nil || s.connections() <= most {
		return nil
	}
	pool := fmt.Sprintf("Size %d", s.Size)
	if s.PipelineSize > 0 {
		pool += fmt.Sprintf(" and PipelineSize %d", s.PipelineSize)
	}
	return fmt.Errorf("%s are more connections than the server permits to all its clients, maxclients %d (make them smaller, or raise maxclients)", pool, most)
}

// advise adds what to do to an error of the first contact.
func advise(err error, s Settings) error {
	var timeout interface{ Timeout() bool }
	text := err.Error()
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("no answer within DialTimeout %v, ReadTimeout %v or the caller's deadline (is it a Redis server, and is it stuck?): %w", s.DialTimeout, s.ReadTimeout, err)
	case strings.Contains(text, "NOAUTH"):
		return fmt.Errorf("%w (give a password)", err)
	case strings.Contains(text, "WRONGPASS"), strings.Contains(text, "invalid password"):
		return fmt.Errorf("%w (the user or the password is wrong)", err)
	case strings.Contains(text, "connection refused"):
		return fmt.Errorf("%w (does the server run, and at this address?)", err)
	}
	return err
}

// reworded is an error with another text; what it is of can be recognised.
type reworded struct {
	text string
	of   error
}

func (e *reworded) Error() string        { return e.text }
func (e *reworded) GoString() string     { return e.text }
func (e *reworded) Is(target error) bool { return errors.Is(e.of, target) }

// hide makes the text of an error one line without the password, as it is and as
// it is in a URL.
func hide(err error, password string) error {
	text := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\r' || r == '\n' }), "; ")
	if password != "" {
		for _, form := range []string{password, url.QueryEscape(password), url.PathEscape(password)} {
			text = strings.ReplaceAll(text, form, "(hidden)")
		}
	}
	if text == err.Error() {
		return err
	}
	return &reworded{text: text, of: err}
}
