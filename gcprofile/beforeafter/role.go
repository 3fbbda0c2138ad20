package beforeafter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"netbench/internal/proc"
	"netbench/internal/ptree"
)

// Styles of the service.
const (
	naiveStyle = "naive"
	tunedStyle = "tuned"
)

// Operations of the role.
const (
	opBegin = "begin"
	opEnd   = "end"
)

const roleName = "orders-server"

// Role is what a server process is. Give it to testenv.Main or proc.Main of programs
// that call [Measure].
func Role() proc.Role { return proc.Role{Name: roleName, Run: serve} }

// serverSpec says what a process serves.
type serverSpec struct {
	Style    string `json:"style"`
	Products int    `json:"products"`
}

// serverInfo is what it says when it is ready.
type serverInfo struct {
	Addr string `json:"addr"`
}

// serve runs a service on a free loopback port until the parent asks to stop. The log
// goes to the null device, by one system call a line, as to a file, but for the disk.
func serve(ctx context.Context, ch *proc.Channel, raw json.RawMessage) error {
	var spec serverSpec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return fmt.Errorf("what to serve: %w", err)
	}
	log, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer log.Close()
	var service http.Handler
	switch spec.Style {
	case naiveStyle:
		service = NewNaive(spec.Products, log)
	case tunedStyle:
		service = NewTuned(spec.Products, log)
	default:
		return fmt.Errorf("serve orders in style %q (want %s or %s)", spec.Style, naiveStyle, tunedStyle)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	w := &window{}
	ch.Handle(opBegin, func(context.Context, json.RawMessage) (any, error) { return nil, w.begin() })
	ch.Handle(opEnd, func(context.Context, json.RawMessage) (any, error) { return w.end() })
	s := &http.Server{Handler: routes(service), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	if err := ch.Ready(serverInfo{l.Addr().String()}); err != nil {
		return errors.Join(err, s.Close())
	}
	select {
	case err = <-served:
	case <-ctx.Done():
		err = s.Close()
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	w.stop()
	return err
}

// server is a service in a process of its own.
type server struct {
	child *proc.Child
	info  serverInfo
}

// startLimit bounds the start, which makes the products.
const startLimit = time.Minute

func startServer(ctx context.Context, spec serverSpec, c Collector, cpus []int) (*server, error) {
	child, err := proc.Start(ctx, proc.Options{
		Role: roleName, Spec: spec, CPUs: cpus, StartTimeout: startLimit,
		Env: []string{"GOGC=" + c.GOGC, "GOMEMLIMIT=" + c.GOMEMLIMIT},
	})
	if err != nil {
		return nil, fmt.Errorf("start the %s service: %w", spec.Style, err)
	}
	s := &server{child: child}
	if err := json.Unmarshal(child.Info(), &s.info); err != nil {
		return nil, errors.Join(fmt.Errorf("start the %s service: what it said when ready: %w", spec.Style, err), child.Kill())
	}
	return s, nil
}

// begin has the server collect, and read its counters.
func (s *server) begin(ctx context.Context) error { return s.child.Call(ctx, opBegin, nil, nil) }

// end returns what was counted since begin.
func (s *server) end(ctx context.Context) (*Reading, error) {
	var r Reading
	if err := s.child.Call(ctx, opEnd, nil, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// blockedLimit bounds the wait for the server to be blocked, behind a collection of
// its whole heap at most.
const blockedLimit = 5 * time.Second

// cpu waits until the server is blocked, and returns the CPU time that it has used
// since its start: the clock of a process that runs lags by up to a tick. Needs
// Linux.
func (s *server) cpu() (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), blockedLimit)
	defer cancel()
	for {
		blocked, err := ptree.Blocked(s.child.PID())
		if err != nil {
			return 0, fmt.Errorf("CPU time of the service: %w", err)
		}
		if blocked {
			return ptree.CPUTime(s.child.PID())
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("CPU time of the service (pid %d): it still ran after %v", s.child.PID(), blockedLimit)
		case <-time.After(500 * time.Microsecond):
		}
	}
}

// stopLimit bounds the end of a server.
const stopLimit = 10 * time.Second

func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	return s.child.Stop(ctx)
}
