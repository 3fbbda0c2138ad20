package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"netbench/internal/keeper"
)

// startLocal starts redis-server in a directory of its own.
func (o RedisOptions) startLocal(ctx context.Context) (*Redis, string, error) {
	binary := o.Binary
	if binary == "" {
		found, err := exec.LookPath("redis-server")
		if err != nil {
			return nil, "", absence("no redis-server in PATH")
		}
		binary = found
	} else if !executable(binary) {
		return nil, "", absence("no program " + binary)
	}
	owner, err := unprivileged("redis", "nobody")
	if err != nil {
		return nil, "", err
	}
	addr, err := keeper.FreeAddr()
	if err != nil {
		return nil, "", err
	}
	password := newPassword()
	r, err := newRedis(RedisURL(addr, password))
	if err != nil {
		return nil, "", err
	}
	k, err := keeper.Start(ctx, keeper.Spec{Dir: "netbench-redis-", Owner: owner, CPUs: o.CPUs, Log: o.Log})
	if err != nil {
		return nil, "", err
	}
	l := &local{keeper: k, timeout: o.StartTimeout, password: keep(password), ready: r.answers, save: r.save}
	// By file: other users see a command line.
	config, err := l.write("redis.conf", o.ConfigFile(k.Dir(), addr, password), owner)
	l.command = keeper.Command{Args: []string{binary, config}, Dir: k.Dir()}
	if err == nil { // both together within the start's time-out
		err = l.within(ctx, func(ctx context.Context) error {
			if err := l.launch(ctx); err != nil {
				return err
			}
			return r.inspect(ctx)
		})
	}
	if err != nil {
		return nil, "", l.discard(ctx, fmt.Errorf("%s: %w", binary, err))
	}
	r.body = l
	return r, binary + as(owner), nil
}

// RedisURL is the URL of a server at an address, host:port.
func RedisURL(addr, password string) string {
	return (&url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: addr}).String()
}

// ConfigFile is the configuration file of a server that listens on addr, host:port,
// and keeps its data in a directory.
func (o RedisOptions) ConfigFile(dir, addr, password string) string {
	host, port, _ := net.SplitHostPort(addr) // made by FreeAddr
	lines := []string{
		"bind " + host, "port " + port, "requirepass " + password,
		`save ""`, "appendonly no", "daemonize no", "dir " + strconv.Quote(dir),
	}
	if o.MaxClients > 0 {
		lines = append(lines, "maxclients "+strconv.Itoa(o.MaxClients))
	}
	return strings.Join(lines, "\n") + "\n"
}

// save makes the server write its data to a file, which it loads when it starts;
// it does not save of itself.
func (r *Redis) save(ctx context.Context) error {
	return r.ask(func(c *redis.Client) error { return c.Save(ctx).Err() })
}

// standIn starts miniredis in this process.
func (o RedisOptions) standIn(context.Context) (*Redis, string, error) {
	if o.RealOnly {
		return nil, "", absence("the real one is wanted")
	}
	password := newPassword()
	m := miniredis.NewMiniRedis()
	m.RequireAuth(password)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, "", hide(err, password)
	}
	r, err := newRedis(RedisURL(m.Addr(), password))
	if err != nil {
		m.Close()
		return nil, "", err
	}
	r.body = &mini{m}
	r.info.Version = miniVersion()
	return r, "miniredis in this process, which is no Redis", nil
}

// miniVersion is the stand-in's name, with its version where this program knows
// what it was built from.
func miniVersion() string {
	const name = "miniredis"
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, m := range build.Deps {
			if m.Path == "github.com/alicebob/miniredis/v2" {
				return name + " " + m.Version
			}
		}
	}
	return name
}

// mini is the body of the stand-in.
type mini struct{ *miniredis.Miniredis }

func (m *mini) Stop(context.Context) error {
	m.Close()
	return nil
}

func (m *mini) Restart(context.Context) error {
	m.Close()
	if err := m.Miniredis.Restart(); err != nil {
		return fmt.Errorf("restart the stand-in: %w", err)
	}
	return nil
}

func (m *mini) CPU() (time.Duration, error) {
	return 0, errors.New("CPU time: the stand-in is part of this process")
}
