package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"netbench/internal/cpu"
	"netbench/internal/proc"
	"netbench/models"
)

// Operations of a server's process.
const (
	opStats    = "stats"
	opRuntime  = "runtime"
	opCollect  = "collect"
	opShutdown = "shutdown"
)

// ServerInfo is what a server says about itself when it is ready.
type ServerInfo struct {
	PID        int          `json:"pid"`     // of its first process
	Network    string       `json:"network"` // "tcp" or "unix"
	Addr       string       `json:"addr"`    // host:port or path
	Stats      models.Stats `json:"stats"`   // with the model's name, variant and fallback
	GoVersion  string       `json:"go_version"`
	GoMaxProcs int          `json:"gomaxprocs"`
	CPUs       []int        `json:"cpus,omitempty"` // the set that it runs on, nil where the OS does not tell
}

// serve is the life of a server's process.
func serve(ctx context.Context, ch *proc.Channel, raw json.RawMessage) (err error) {
	var spec ServerSpec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return fmt.Errorf("server specification: %w", err)
	}
	factory, config, err := spec.resolve(*known.Load())
	if err != nil {
		return err
	}
	server, err := factory(config)
	if err != nil {
		return err
	}
	defer server.Close()
	finish, err := profile(spec.CPUProfile)
	if err != nil {
		return err
	}

	// A family's workers are servers of their own, and each prepares its service.
	if _, family := server.(Family); !family {
		if err := models.Prepare(config.Service); err != nil {
			return err
		}
	}

	served := make(chan error, 1)
	go func() { served <- server.Serve() }()

	ch.Handle(opStats, func(ctx context.Context, _ json.RawMessage) (any, error) { return takeFamilySnapshot(ctx, server) })
	ch.Handle(opRuntime, func(ctx context.Context, _ json.RawMessage) (any, error) { return readFamilyRuntime(ctx, server) })
	ch.Handle(opCollect, func(ctx context.Context, _ json.RawMessage) (any, error) {
		if family, ok := server.(Family); ok {
			if err := family.CollectWorkers(ctx); err != nil {
				return nil, err
			}
		}
		// Two collections in all: a sync.Pool gives its content up in the second.
		runtime.GC()
		debug.FreeOSMemory()
		return nil, nil
	})
	dropProfiles := handleProfiles(ch, server)
	defer func() { err = errors.Join(err, dropProfiles()) }()
	ch.Handle(opShutdown, func(ctx context.Context, arg json.RawMessage) (any, error) {
		var within time.Duration
		if err := json.Unmarshal(arg, &within); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		return nil, server.Shutdown(ctx)
	})

	addr := server.Addr()
	cpus, _ := cpu.Thread(0) // nil where the OS does not tell
	err = ch.Ready(ServerInfo{
		PID: os.Getpid(), Network: addr.Network(), Addr: addr.String(), Stats: server.Stats(),
		GoVersion: runtime.Version(), GoMaxProcs: runtime.GOMAXPROCS(0), CPUs: cpus,
	})
	if err != nil {
		return err
	}

	select {
	case err = <-served:
		if errors.Is(err, models.ErrServerClosed) {
			<-ctx.Done() // shut down on request; it can still be asked for its stats
		} else {
			return fmt.Errorf("serve: %w", err)
		}
	case <-ctx.Done():
		err = errors.Join(server.Close(), closed(<-served))
		if err != nil {
			return err
		}
	}
	return finish()
}

// closed is nil for the error by which Serve says that it ended as asked.
func closed(err error) error {
	if errors.Is(err, models.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve, when closed: %w", err)
}

// profile starts to write a CPU profile; finish completes it.
func profile(file string) (finish func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("CPU profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
