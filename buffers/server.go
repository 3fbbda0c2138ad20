package buffers

import (
	"fmt"
	"net"
	"strings"

	"netbench/internal/tcpserver"
	"netbench/models"
)

// design is one of this package's servers. They are all the same but for what is
// between a connection's two ends: a goroutine for each connection, on one listener.
type design struct {
	name    string // in Models
	service string // the service that it speaks, by its name without options

	// open returns what serves a connection until its end. It is called once
	// for each server.
	open func(cfg models.Config) (func(*conn) error, error)
}

// factory makes servers of a design. Beside [models.Config.Validate]'s, its errors
// are about what these servers leave to others: work of the service's own, socket
// buffers (a [Stream] has them), and what package tcpserver does not support.
func (d design) factory(cfg models.Config) (models.Server, error) {
	cfg, err := cfg.Validate()
	if err != nil {
		return nil, err
	}
	name, option, _ := strings.Cut(cfg.Service.Name(), "+")
	if name != d.service || option != "" && (!strings.HasPrefix(option, "max=") || strings.Contains(option, "+")) {
		return nil, fmt.Errorf("%s: Config.Service is %q (want %q, without work of its own)", d.name, cfg.Service.Name(), d.service)
	}
	for field, size := range map[string]int{"RecvBuffer": cfg.RecvBuffer, "SendBuffer": cfg.SendBuffer} {
		if size > 0 {
			return nil, fmt.Errorf("%s: %w: %w", d.name, models.ErrUnsupported,
				&models.ConfigError{Field: field, Value: size, Want: "0, as the kernel chooses"})
		}
	}
	serve, err := d.open(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	s, err := tcpserver.New(cfg, models.Stats{Model: d.name}, func(c *net.TCPConn) tcpserver.Session {
		return &conn{tcp: c, serve: serve}
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Models returns the servers of this package by name, those that this platform has.
func Models() map[string]models.Factory {
	all := map[string]models.Factory{}
	for _, designs := range [][]design{readers(), liners(), smalls()} {
		for _, d := range designs {
			all[d.name] = d.factory
		}
	}
	return all
}
