package goroutine

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

// unsupported is an error of a configuration that is valid elsewhere.
type unsupported struct{ error }

func (unsupported) Is(target error) bool { return target == models.ErrUnsupported }
func (e unsupported) Unwrap() error      { return e.error }

// listen opens the listener that cfg, which is valid, asks for.
func listen(cfg models.Config) (listener, error) {
	if cfg.Listeners > 1 {
		return nil, unsupported{&models.ConfigError{
			Field: "Listeners", Value: cfg.Listeners,
			Want: "1: this model listens once, the reuseport model shares an address",
		}}
	}
	// Without KeepAlive and with Multipath TCP, each of which is on by default,
	// connections would have options that other models do not set.
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	if cfg.Network != "unix" {
		lc.Control = func(_, _ string, raw syscall.RawConn) error { return setBuffers(raw, cfg) }
	}
	l, err := lc.Listen(context.Background(), cfg.Network, cfg.Address)
	if err != nil && cfg.Network == "unix" && inUse(err) {
		if err = removeStale(cfg.Address); err == nil {
			l, err = lc.Listen(context.Background(), cfg.Network, cfg.Address)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("goroutine: %w", err)
	}
	if cfg.Backlog > 0 {
		if err := setBacklog(l, cfg.Backlog); err != nil {
			_ = l.Close()
			return nil, fmt.Errorf("goroutine: Config.Backlog is %d: %w", cfg.Backlog, err)
		}
	}
	return l.(listener), nil // TCP and Unix listeners are all that Validate lets pass
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

// control calls f with the descriptor of a connection or listener.
func control(c any, f func(fd uintptr) error) error {
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
