package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	"netbench/models"
	"netbench/models/goroutine"
	httppool "netbench/pools/http"
	"netbench/testenv"
)

// openHTTPPool is the pool of net/http, before a server of this program that
// answers with a short text.
func openHTTPPool(ctx context.Context, o poolOptions) (*poolSubject, error) {
	if o.addr != "" {
		return givenHTTPPool(o)
	}
	server, err := testenv.StartServer(ctx, testenv.ServerSpec{
		Model: goroutine.Name, Service: "http", CPUs: o.cpus,
		Config: models.Config{IdleTimeout: models.NoLimit}, // a pool that waits for its turn stays whole
	})
	if err != nil {
		return nil, err
	}
	addr := server.Addr()
	kind, err := httppool.NewKind("http://"+addr+"/plaintext", httppool.Recommended())
	if err != nil {
		return nil, errors.Join(err, server.Kill())
	}
	return &poolSubject{
		kind: kind, service: "http of model goroutine at " + addr + ", in a process of its own", addr: addr,
		close: server.Stop,
	}, nil
}

func givenHTTPPool(o poolOptions) (*poolSubject, error) {
	kind, err := httppool.NewKind(o.addr, httppool.Recommended())
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(o.addr)
	if err != nil {
		return nil, errors.New("the URL does not parse (it is not shown, as it may hold a password)")
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), u.Scheme)
	}
	if err := permitPoolServer(addr, o.allowRemote); err != nil {
		return nil, err
	}
	return &poolSubject{
		kind: kind, service: fmt.Sprintf("%s at %s, given", u.Scheme, addr), given: true, addr: addr,
		close: func(context.Context) error { return nil },
	}, nil
}
