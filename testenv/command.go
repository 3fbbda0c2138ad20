package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"netbench/internal/keeper"
	"netbench/internal/proc"
)

// CommandSpec says how to start a server that knows nothing of netbench.
type CommandSpec struct {
	// Line is a command line for the shell, /bin/sh -c. In it {addr} stands for
	// the address to listen on, a loopback address and a port that is free,
	// {host} and {port} for its parts; {addr} or {port} has to be there.
	Line string `json:"line"`

	// CPUs is the set that all its processes run on; empty does not pin them.
	CPUs []int `json:"-"`

	// Env are further variables, "NAME=value".
	Env []string `json:"-"`

	// StartTimeout bounds the time until it listens; 0 means 10 s.
	StartTimeout time.Duration `json:"-"`

	// Log gets a copy of what it writes to standard error and output; nil for
	// none.
	Log io.Writer `json:"-"`
}

// Check returns an error for a line that cannot be started.
func (s CommandSpec) Check() error {
	if strings.TrimSpace(s.Line) == "" {
		return errors.New("the command is empty")
	}
	if !strings.Contains(s.Line, "{addr}") && !strings.Contains(s.Line, "{port}") {
		return fmt.Errorf("the command %q has no {addr} and no {port} (write one where it takes the address to listen on: several servers run at the same time)", s.Line)
	}
	return nil
}

// on is the line for an address.
func (s CommandSpec) on(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	return strings.NewReplacer("{addr}", addr, "{host}", host, "{port}", port).Replace(s.Line), nil
}

// StartCommand starts a server of any make, in any language, and returns when it
// accepts connections. It is held by a keeper (package internal/keeper), which
// adopts whatever the command leaves behind, so that its whole tree is measured and
// stopped: first all of it is sent SIGTERM, as from a terminal, and what has not
// ended within three seconds is killed. What a [Server] asks of a Go runtime of
// ours is not to be had of it: Stats and Collect are errors, Runtime is empty.
//
// The error says what the command wrote last, if it ended or did not listen in
// time; nothing is left of it then. Needs Linux.
func StartCommand(ctx context.Context, spec CommandSpec) (*Server, error) {
	fail := func(err error) (*Server, error) { return nil, fmt.Errorf("start command: %w", err) }
	if err := spec.Check(); err != nil {
		return fail(err)
	}
	addr, err := keeper.FreeAddr()
	if err != nil {
		return fail(err)
	}
	line, err := spec.on(addr)
	if err != nil {
		return fail(err)
	}
	within := spec.StartTimeout
	if within <= 0 {
		within = proc.DefaultStartTimeout
	}
	k, err := keeper.Start(ctx, keeper.Spec{CPUs: spec.CPUs, Env: spec.Env, Log: spec.Log})
	if err != nil {
		return fail(err)
	}
	waiting, cancel := context.WithTimeout(ctx, within)
	err = k.Launch(waiting, keeper.Command{Args: []string{"/bin/sh", "-c", line}}, listens(addr))
	cancel()
	if err == nil {
		return &Server{child: k.Child(), pid: k.Child().PID(), foreign: true, info: ServerInfo{Network: "tcp", Addr: addr, CPUs: spec.CPUs}}, nil
	}
	var ended *keeper.EndedError
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("it did not listen on %s within %v", addr, within)
	case errors.As(err, &ended):
		err = fmt.Errorf("it ended before it listened on %s: %s", addr, ended.Status)
	}
	// In order, so that nothing is left; what it wrote last is known afterwards.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), DefaultStopTimeout)
	defer cancel()
	if e := k.Stop(stop); e != nil {
		err = fmt.Errorf("%w; when it was stopped: %w", err, e)
	}
	if said := k.Child().Said(); said != "" {
		err = fmt.Errorf("%w; it wrote: %s", err, said)
	}
	return fail(fmt.Errorf("%q: %w", line, err))
}

// listens returns a function that tells whether somebody accepts connections.
func listens(addr string) func(context.Context) error {
	var dialer net.Dialer
	return func(ctx context.Context) error {
		c, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
}
