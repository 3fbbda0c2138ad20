package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"netbench/internal/proc"
)

// DefaultStopTimeout bounds [Server.Stop] if its context has no deadline.
const DefaultStopTimeout = 10 * time.Second

// Server is a server in a process of its own. Its methods may be called from
// several goroutines, and also after it ended.
type Server struct {
	child   *proc.Child
	pid     int // of the root of its process tree
	info    ServerInfo
	foreign bool // started by StartCommand: there is no Go runtime of ours to ask

	mu     sync.Mutex
	cpu    time.Duration // the most that CPU has returned
	frozen bool
}

// StartServer starts a server and returns when it listens and serves. A bad
// specification is an error before a process is started ([*models.ConfigError]
// for its Config); a server that fails to start is a [*proc.ExitError].
func StartServer(ctx context.Context, spec ServerSpec) (*Server, error) {
	if err := spec.check(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	child, err := proc.Start(ctx, proc.Options{
		Role: roleServer, Spec: spec, Program: spec.Program, CPUs: spec.CPUs, GoMaxProcs: spec.GoMaxProcs,
		Env: spec.env(), StartTimeout: spec.StartTimeout, Log: spec.Log, Carrier: spec.Carrier,
	})
	if err != nil {
		return nil, fmt.Errorf("start server %s/%s: %w", spec.Model, spec.Service, err)
	}
	s := &Server{child: child, pid: child.PID()}
	if err := json.Unmarshal(child.Info(), &s.info); err != nil {
		return nil, errors.Join(fmt.Errorf("start server %s/%s: what it said when ready: %w", spec.Model, spec.Service, err), child.Kill())
	}
	if spec.Carrier != nil {
		s.pid = s.info.PID
	}
	return s, nil
}

// Info is what the server said about itself when it was ready.
func (s *Server) Info() ServerInfo { return s.info }

// Addr is the address listened on, host:port or a path.
func (s *Server) Addr() string { return s.info.Addr }

// Network is "tcp" or "unix".
func (s *Server) Network() string { return s.info.Network }

// PID is the id of the server's process, its first one if it has several.
func (s *Server) PID() int { return s.pid }

// Done is closed when the server's process has ended.
func (s *Server) Done() <-chan struct{} { return s.child.Done() }

// Err is nil while the server runs and after it was stopped in order; otherwise
// it is a [*proc.ExitError].
func (s *Server) Err() error { return s.child.Err() }

// Stats asks the server what it has done and used so far. That costs it a few
// hundred allocations and some system calls, most of them before it reads its
// own counters of allocations, so the second of two Stats in succession shows
// how much one costs. It is about all processes of a server that has several and
// says so ([Family]); of others, about the first process.
func (s *Server) Stats(ctx context.Context) (Snapshot, error) {
	var snap Snapshot
	err := s.child.Call(ctx, opStats, nil, &snap)
	return snap, err
}

// Runtime asks the server's Go runtime only, which costs less than Stats.
func (s *Server) Runtime(ctx context.Context) (Runtime, error) {
	if s.foreign {
		return Runtime{}, s.alive("ask its runtime")
	}
	var r Runtime
	err := s.child.Call(ctx, opRuntime, nil, &r)
	return r, err
}

// Collect makes the server collect its garbage, also what its pools hold, and
// give free memory back to the operating system.
func (s *Server) Collect(ctx context.Context) error {
	return s.child.Call(ctx, opCollect, nil, nil)
}

// Shutdown lets the server drain, as [models.Server.Shutdown] does: when ctx ends
// first, connections are cut, and the error wraps ctx's. The process goes on and
// can be asked for its Stats until Stop.
func (s *Server) Shutdown(ctx context.Context) error {
	within := time.Duration(math.MaxInt64)
	if deadline, bounded := ctx.Deadline(); bounded {
		within = max(0, time.Until(deadline))
	}
	return s.child.Call(ctx, opShutdown, within, nil)
}

// Stop lets the server drain, then ends its process. Draining may take four
// fifths of the time until ctx ends (10 s if it has no deadline); connections
// that are not done by then are cut, which is an error, and a process that has
// not ended when ctx ends is killed, which is one too. A frozen server is thawed
// first. Stopping one that has ended returns what [Server.Err] does.
func (s *Server) Stop(ctx context.Context) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultStopTimeout)
		defer cancel()
	}
	if err := s.thawIfFrozen(); err != nil {
		return errors.Join(err, s.child.Kill())
	}
	select {
	case <-s.Done():
		return s.Err()
	default:
	}
	deadline, _ := ctx.Deadline()
	drained := s.child.Call(ctx, opShutdown, time.Until(deadline)*4/5, nil)
	if err := s.child.Stop(ctx); err != nil {
		return err
	}
	var failed *proc.CallError
	if errors.As(drained, &failed) {
		return fmt.Errorf("stop server (pid %d): it could not drain: %w", s.PID(), drained)
	}
	return nil
}

// Kill ends the server's process with SIGKILL and returns when it is gone.
func (s *Server) Kill() error { return s.child.Kill() }
