package cli

import (
	"context"
	"fmt"
	"maps"
	"net"
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

// newServiceSubject is that of a service that was started or found.
func newServiceSubject(info services.Info, stop func(context.Context) error) *poolSubject {
	return &poolSubject{
		service: info.String(), standIn: !info.Real(), given: info.Rung == services.Given, addr: info.Addr, close: stop,
	}
}

// permit refuses a server on another host, unless that is allowed. It is asked before
// the server is connected to.
func (o poolOptions) permit(addr string) error { return permitPoolServer(addr, o.allowRemote) }

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
