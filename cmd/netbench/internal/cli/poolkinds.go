package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"

	"netbench/pools"
	"netbench/pools/postgres"
	"netbench/testenv/services"
)

// poolOptions say before which server a kind of pool is wanted.
type poolOptions struct {
	addr        string // given by the user; "" starts a server, or finds one
	allowRemote bool
	cpus        []int // of a server that is started; empty does not pin it
}

// poolSubject is a kind of pool before a server that answers.
type poolSubject struct {
	kind    pools.Kind
	service string // what the server is, in one line
	standIn bool   // it is not the real service
	given   bool   // it is not ours, and on CPUs that nobody told
	addr    string // host:port, or the path of a socket

	close func(context.Context) error // ends what was started
}

// poolOpener starts or finds a server.
type poolOpener func(context.Context, poolOptions) (*poolSubject, error)

// poolKinds are the kinds of pools by name, each in a file of its own.
func poolKinds() map[string]poolOpener {
	return map[string]poolOpener{
		"http":           openHTTPPool,
		postgres.Name:    openPostgresPool(postgres.NewKind),
		postgres.NamePgx: openPostgresPool(postgres.NewPgxKind),
		"redis":          openRedisPool,
	}
}

func poolKindNames(kinds map[string]poolOpener) string {
	return strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
}

// withAddress has the ladder of services take a given address for its first rung,
// where it looks for one: in the environment.
func withAddress(variable, addr string, start func() error) error {
	if addr == "" {
		return start()
	}
	before, was := os.LookupEnv(variable)
	if err := os.Setenv(variable, addr); err != nil {
		return fmt.Errorf("take the given address: %w", err)
	}
	err := start()
	var restored error
	if was {
		restored = os.Setenv(variable, before)
	} else {
		restored = os.Unsetenv(variable)
	}
	return errors.Join(err, restored)
}

// newServiceSubject is that of a service that was started or found, which is
// stopped if it may not be loaded.
func newServiceSubject(info services.Info, o poolOptions, stop func(context.Context) error) (*poolSubject, error) {
	if err := permitPoolServer(info.Addr, o.allowRemote); err != nil {
		return nil, errors.Join(err, stop(context.Background()))
	}
	return &poolSubject{
		service: info.String(), standIn: !info.Real(), given: info.Rung == services.Given, addr: info.Addr, close: stop,
	}, nil
}

// permitPoolServer refuses a server on another host, unless that is allowed.
func permitPoolServer(addr string, allowRemote bool) error {
	if allowRemote || isThisHost(addr) {
		return nil
	}
	return fmt.Errorf("server %s is not on this host (netbench loads only loopback addresses; -allow-remote overrides, for hosts that are yours)", addr)
}

// isThisHost tells whether an address is a socket's path or a loopback address.
func isThisHost(addr string) bool {
	if strings.HasPrefix(addr, "/") {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
