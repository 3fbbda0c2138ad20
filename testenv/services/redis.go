package services

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// EnvRedis is the environment variable with the address of a Redis server to use:
// host:port, or a redis:// or rediss:// URL.
const EnvRedis = "NETBENCH_REDIS_ADDR"

// RedisOptions say which Redis server is wanted. They bind a server that is
// started, not one at a given address; what [Info] reports is true of either.
type RedisOptions struct {
	// MaxClients is the most connections at a time; 0 for the server's default,
	// 10,000. The stand-in knows no limit.
	MaxClients int

	// RealOnly leaves out the rung of the stand-in.
	RealOnly bool

	// Binary is the path of redis-server; "" looks for it in PATH.
	Binary string

	// StartTimeout bounds the start; 0 means DefaultStartTimeout.
	StartTimeout time.Duration

	// Given is the address of a server to use, in the form that EnvRedis has,
	// which it goes before; "" for none. Permit, unless it is nil, is asked before a
	// given server is connected to, with host:port or the path of a socket, and its
	// error ends the start.
	Given  string
	Permit func(addr string) error

	// CPUs is the set that the server runs on, where it is ours; empty does not
	// pin it.
	CPUs []int

	// Log gets a copy of the server's log, where that is ours; nil for none.
	Log io.Writer
}

// Redis is a Redis server that answers, or a stand-in. Its methods may be called
// from several goroutines.
type Redis struct {
	server
	options func() *redis.Options // a new copy; a function as secret is one
}

// redisSettings are those that Info reports.
var redisSettings = []string{"save", "appendonly", "maxclients", "io-threads"}

// StartRedis climbs the ladder for Redis. The error is an [*AbsentError] if no rung
// is there, and tells of one that broke.
func StartRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	if o.MaxClients < 0 {
		return nil, fmt.Errorf("start redis: MaxClients is %d (want 1 or more, or 0 for the default)", o.MaxClients)
	}
	if o.StartTimeout <= 0 {
		o.StartTimeout = DefaultStartTimeout
	}
	r, rung, reason, err := climb(ctx, "redis", []step[*Redis]{
		{Given, o.given},
		{LocalBinary, o.startLocal},
		{Container, o.startContained},
		{StandIn, o.standIn},
	})
	if err != nil {
		return nil, err
	}
	r.info.Service, r.info.Rung, r.info.Reason = "redis", rung, reason
	return r, nil
}

// given is the first rung.
func (o RedisOptions) given(ctx context.Context) (*Redis, string, error) {
	return askedFor(ctx, o.Given, EnvRedis, o.Permit, newRedis)
}

func (o RedisOptions) startContained(ctx context.Context) (*Redis, string, error) {
	return inContainer(ctx, func(c Containers) (Contained, error) { return c.Redis(ctx, o) }, newRedis)
}

// newRedis is a server known by its address. The error does not quote it: in one
// that cannot be read nobody knows where the password is.
func newRedis(address string) (*Redis, error) {
	if !strings.Contains(address, "://") {
		host, port, err := net.SplitHostPort(address)
		if err != nil || host == "" || port == "" || strings.ContainsAny(host, "@/") {
			return nil, errors.New("the address does not parse (want HOST:PORT or redis://USER:PASSWORD@HOST:PORT/DATABASE; it is not shown, as it may hold a password)")
		}
		address = (&url.URL{Scheme: "redis", Host: address}).String()
	}
	if _, err := redis.ParseURL(address); err != nil {
		return nil, errors.New("the URL does not parse (want redis://USER:PASSWORD@HOST:PORT/DATABASE; it is not shown, as it may hold a password)")
	}
	r := &Redis{options: func() *redis.Options {
		o, _ := redis.ParseURL(address) // it did a moment ago
		return o
	}}
	r.info.Addr = r.options().Addr
	return r, nil
}

// client is one for a few questions, over one connection and without repetitions.
func (r *Redis) client() *redis.Client {
	o := r.options()
	o.PoolSize, o.MinIdleConns, o.MaxRetries = 1, 0, -1
	o.DialerRetries = 1
	o.ContextTimeoutEnabled = true
	return redis.NewClient(o)
}

// ask runs do with a client that is closed afterwards.
func (r *Redis) ask(do func(*redis.Client) error) error {
	c := r.client()
	defer c.Close()
	return hide(do(c), r.options().Password)
}

// answers tells whether the server lets us in and answers a command.
func (r *Redis) answers(ctx context.Context) error {
	// A go-redis client that cannot connect logs it and tries again for a second
	// after it was closed, so it gets no address that nobody listens on.
	var dialer net.Dialer
	probe, err := dialer.DialContext(ctx, r.options().Network, r.options().Addr)
	if err != nil {
		return err
	}
	if err := probe.Close(); err != nil {
		return err
	}
	return r.ask(func(c *redis.Client) error { return c.Ping(ctx).Err() })
}

// RedisAnswers is nil if the server at a redis:// URL lets us in and answers a
// command. Its error is one line and shows no password.
func RedisAnswers(ctx context.Context, url string) error {
	r, err := newRedis(url)
	if err != nil {
		return err
	}
	return r.answers(ctx)
}

// SaveRedis makes a server started with [RedisOptions.ConfigFile] write its data to
// the file that it loads when it starts; it does not save of itself.
func SaveRedis(ctx context.Context, url string) error {
	r, err := newRedis(url)
	if err != nil {
		return err
	}
	return r.save(ctx)
}

// inspect asks for the version and the settings of a server that answers.
func (r *Redis) inspect(ctx context.Context) error {
	if err := r.answers(ctx); err != nil {
		return err
	}
	return r.ask(func(c *redis.Client) error {
		// A server may deny these to a user; it serves nevertheless.
		if text, err := c.Info(ctx, "server").Result(); err == nil {
			r.info.Version = versionIn(text)
		}
		settings := map[string]string{}
		for _, name := range redisSettings {
			if values, err := c.ConfigGet(ctx, name).Result(); err == nil {
				if value, found := values[name]; found {
					settings[name] = value
				}
			}
		}
		r.info.Settings = settings
		return ctx.Err()
	})
}

// versionIn is the version in the answer to INFO.
func versionIn(text string) string {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if version, found := strings.CutPrefix(lines.Text(), "redis_version:"); found {
			return strings.TrimSpace(version)
		}
	}
	return ""
}

// Info tells what this server is.
func (r *Redis) Info() Info { return r.info }

// String is Info's: without the password.
func (r *Redis) String() string { return r.info.String() }

// GoString is String's text.
func (r *Redis) GoString() string { return r.String() }

// Options are those of a client of this server, with the password; the caller may
// change them.
func (r *Redis) Options() *redis.Options { return r.options() }

// Restart ends the server in order, cutting its connections, and starts it again on
// the same port with the same data, which it saves before. It returns when it
// answers. A server at a given address is not restarted: that is an error.
func (r *Redis) Restart(ctx context.Context) error { return r.body.Restart(ctx) }

// CPU is the CPU time that the server's processes have used since it was first
// started, that of the few milliseconds of their keeper included. It is an error
// for a stand-in, which shares this process.
func (r *Redis) CPU() (time.Duration, error) { return r.body.CPU() }

// Stop ends the server and removes all its data, if it is ours; one at a given
// address goes on. If ctx has no deadline it takes 10 s at most.
func (r *Redis) Stop(ctx context.Context) error { return r.body.Stop(ctx) }
