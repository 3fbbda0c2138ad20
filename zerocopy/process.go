package zerocopy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"netbench/internal/counters"
	"netbench/internal/proc"
	"netbench/internal/ptree"
	"netbench/models"
)

// Operations of the role.
const (
	opServerStats = "stats"
	opAllocations = "allocations"
)

// FileServerRole is what [StartFileServer] starts. Give it to testenv.Main or
// proc.Main.
var FileServerRole = proc.Role{Name: "zerocopy-file-server", Run: runFileServer}

// fileServerInfo is what the process says when it is ready.
type fileServerInfo struct {
	Addr string `json:"addr"`
}

// Allocations are those of a process since its start.
type Allocations struct {
	Objects uint64 `json:"objects"`
	Bytes   uint64 `json:"bytes"`
}

// runFileServer serves on a free loopback port until the parent asks to stop.
func runFileServer(ctx context.Context, ch *proc.Channel, spec json.RawMessage) error {
	var config ServerConfig
	if err := json.Unmarshal(spec, &config); err != nil {
		return fmt.Errorf("what to serve: %w", err)
	}
	server, err := NewFileServer(config)
	if err != nil {
		return err
	}
	ch.Handle(opServerStats, func(context.Context, json.RawMessage) (any, error) { return server.Stats(), nil })
	ch.Handle(opAllocations, func(context.Context, json.RawMessage) (any, error) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return Allocations{m.Mallocs, m.TotalAlloc}, nil
	})
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	if err := ch.Ready(fileServerInfo{server.Addr().String()}); err != nil {
		return errors.Join(err, server.Close())
	}
	select {
	case err = <-served:
		return errors.Join(err, server.Close())
	case <-ctx.Done():
	}
	err = server.Close()
	if e := <-served; !errors.Is(e, models.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// ServerProcess is a [FileServer] in a process of its own.
type ServerProcess struct {
	child *proc.Child
	info  fileServerInfo
}

// ProcessConfig says which server to start, and where.
type ProcessConfig struct {
	Server ServerConfig
	CPUs   []int     // the set that the process runs on; empty does not pin it
	Log    io.Writer // gets what it writes to standard error; nil for none
}

// StartFileServer starts a server in a process of its own, which ends with this one.
func StartFileServer(ctx context.Context, config ProcessConfig) (*ServerProcess, error) {
	child, err := proc.Start(ctx, proc.Options{
		Role: FileServerRole.Name, Spec: config.Server, CPUs: config.CPUs, Log: config.Log, StartTimeout: time.Minute,
	})
	if err != nil {
		return nil, fmt.Errorf("start the file server: %w", err)
	}
	p := &ServerProcess{child: child}
	if err := json.Unmarshal(child.Info(), &p.info); err != nil {
		return nil, errors.Join(fmt.Errorf("start the file server: what it said when ready: %w", err), child.Kill())
	}
	return p, nil
}

// Addr is the address that the server listens on.
func (p *ServerProcess) Addr() string { return p.info.Addr }

// blockedLimit bounds the wait for a server to be blocked after its last answer.
const blockedLimit = 2 * time.Second

// ErrStillRunning is wrapped by the error of a [ServerProcess.CPU] that saw no moment
// at which the server was blocked.
var ErrStillRunning = errors.New("still running")

// CPU waits until the server is blocked, and returns the CPU time, user and system,
// that it has used since its start. The clock of a process that runs lags by up to a
// tick of the scheduler. Needs Linux.
func (p *ServerProcess) CPU(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, blockedLimit)
	defer cancel()
	pid := p.child.PID()
	for {
		blocked, err := ptree.Blocked(pid)
		if err != nil {
			return 0, fmt.Errorf("CPU time of the file server: %w", err)
		}
		if blocked {
			break
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("CPU time of the file server (pid %d): %w", pid, ErrStillRunning)
		case <-time.After(200 * time.Microsecond):
		}
	}
	used, err := ptree.CPUTime(pid)
	if err != nil {
		return 0, fmt.Errorf("CPU time of the file server: %w", err)
	}
	return used, nil
}

// Counters starts to count the system calls and context switches of the server. It
// costs the server some of its time. Needs Linux, and mostly root.
func (p *ServerProcess) Counters() (*counters.Set, error) { return counters.Open(p.child.PID()) }

// Allocations asks the server for its heap allocations so far.
func (p *ServerProcess) Allocations(ctx context.Context) (Allocations, error) {
	var a Allocations
	err := p.child.Call(ctx, opAllocations, nil, &a)
	return a, err
}

// Stats asks the server what it did so far.
func (p *ServerProcess) Stats(ctx context.Context) (models.Stats, error) {
	var s models.Stats
	err := p.child.Call(ctx, opServerStats, nil, &s)
	return s, err
}

// Stop closes the server's connections and ends its process, at the latest when ctx
// ends.
func (p *ServerProcess) Stop(ctx context.Context) error { return p.child.Stop(ctx) }

// Kill ends the process at once.
func (p *ServerProcess) Kill() error { return p.child.Kill() }
