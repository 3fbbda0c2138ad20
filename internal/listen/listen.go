// Package listen opens the sockets that models listen on, so that all of them
// listen alike: the same options, backlog, buffer sizes and errors.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"netbench/models"
)

// Options say what a model needs beyond its configuration.
type Options struct {
	// Model is the model's name, the first word of errors.
	Model string

	// NoDelay sets TCP_NODELAY on the listener, which its connections inherit;
	// package net sets it on the connections that it accepts itself. Unix
	// sockets have no such option.
	NoDelay bool

	// Share lets other sockets listen on the same address, by SO_REUSEPORT; the
	// kernel then spreads connections over them by a hash of both addresses.
	// Needs Linux, or FreeBSD 12 and later.
	Share bool

	// Steer makes the kernel prefer the socket for connections whose packets
	// are handled by the CPU number IncomingCPU (SO_INCOMING_CPU), among those
	// that share the address. Needs Linux.
	Steer       bool
	IncomingCPU int
}

// longAgo is a deadline that wakes whoever waits.
var longAgo = time.Unix(1, 0)

// Listener is what is open: a *net.TCPListener or *net.UnixListener.
type Listener interface {
	net.Listener
	SetDeadline(time.Time) error
}

// unsupported is an error of a configuration that is valid elsewhere.
type unsupported struct{ error }

func (unsupported) Is(target error) bool { return target == models.ErrUnsupported }
func (e unsupported) Unwrap() error      { return e.error }

// Unsupported wraps err so that it is [models.ErrUnsupported] too.
func Unsupported(err error) error { return unsupported{err} }

// Open opens the listener that cfg, which is valid, asks for. Config.Listeners is
// not looked at. A socket file at a Unix address is replaced if nobody listens on
// it any more, and is an error otherwise.
func Open(cfg models.Config, o Options) (Listener, error) {
	if (o.Share || o.Steer) && cfg.Network == "unix" {
		return nil, errUnix(cfg)
	}
	// Without KeepAlive and with Multipath TCP, each of which is on by default,
	// connections would have options that other models do not set.
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	if cfg.Network != "unix" {
		lc.Control = func(_, _ string, raw syscall.RawConn) error {
			if err := setBuffers(raw, cfg); err != nil {
				return err
			}
			if err := setNoDelay(raw, o); err != nil {
				return err
			}
			return share(raw, o)
		}
	}
	l, err := lc.Listen(context.Background(), cfg.Network, cfg.Address)
	if err != nil && cfg.Network == "unix" && inUse(err) {
		if err = removeStale(cfg.Address); err == nil {
			l, err = lc.Listen(context.Background(), cfg.Network, cfg.Address)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Model, err)
	}
	if cfg.Backlog > 0 {
		if err := setBacklog(l, cfg.Backlog); err != nil {
			_ = l.Close()
			return nil, fmt.Errorf("%s: Config.Backlog is %d: %w", o.Model, cfg.Backlog, err)
		}
	}
	return l.(Listener), nil // TCP and Unix listeners are all that Validate lets pass
}

// removeStale removes a socket file that nobody listens on, as a server that was
// killed leaves it. Anything else at that path is an error.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("listen unix %s: there is a file that is no socket (choose another path)", path)
	}
	nc, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = nc.Close()
	}
	if err == nil || !refused(err) {
		return fmt.Errorf("listen unix %s: somebody listens there already (stop them, or choose another path)", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Control calls f with the descriptor of a connection or listener.
func Control(c any, f func(fd uintptr) error) error {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(fd) }); err != nil {
		return err
	}
	return inner
}
