package reuseport

import (
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"syscall"
	"time"

	"netbench/internal/cpu"
	"netbench/internal/listen"
	"netbench/models"
	"netbench/testenv"
)

// Defaults of [PreforkOptions].
const (
	DefaultDeaths = 10
	DefaultWithin = 30 * time.Second
)

// PreforkOptions are variants of the model with several processes.
type PreforkOptions struct {
	Over Over

	// Steer pins the i-th worker to the i-th CPU of the process's set, beginning
	// anew after the last one, and makes the kernel prefer its listener for
	// connections whose packets that CPU handles. See Options.Steer.
	Steer bool

	// Deaths is the number of workers that may die within the time Within and
	// are restarted; one more ends Serve with an error. The defaults are 10 and
	// 30 s; a negative Deaths allows none.
	Deaths int
	Within time.Duration

	// Model is the name by which testenv.Main knows this factory, if it is not
	// the one in [Models].
	Model string
}

// envWorker marks the process of a worker.
const envWorker = "NETBENCH_PREFORK_WORKER"

// Prefork makes servers of several processes: see the package's documentation.
//
// Config.Listeners is the number of workers, 0 for as many as the process's set
// has CPUs. It needs Linux, TCP, and a program that called testenv.Main with this
// factory.
func Prefork(o PreforkOptions) models.Factory {
	if o.Deaths == 0 {
		o.Deaths = DefaultDeaths
	}
	if o.Within <= 0 {
		o.Within = DefaultWithin
	}
	if o.Model == "" {
		o.Model = nameOf("prefork", o.Over, o.Steer)
	}
	return func(cfg models.Config) (models.Server, error) {
		if os.Getenv(envWorker) != "" {
			return newWorker(cfg, o)
		}
		return newSupervisor(cfg, o)
	}
}

// newWorker makes the server of a worker's process. It joins those that share
// the address, which the supervisor holds. A service manager may send SIGTERM to
// all processes at once; the worker leaves it to the supervisor to drain it.
func newWorker(cfg models.Config, o PreforkOptions) (models.Server, error) {
	signal.Ignore(syscall.SIGTERM, os.Interrupt)
	cfg, err := o.Over.listeners(cfg, 1)
	if err != nil {
		return nil, err
	}
	inner, err := kinds[o.Over].factory(o.Steer)(cfg)
	if err != nil {
		return nil, err
	}
	return &server{Server: inner, name: nameOf("prefork", o.Over, false), variant: "worker"}, nil
}

// plan makes the specifications of the workers. held is the address that they
// share.
func plan(cfg models.Config, o PreforkOptions, held *listen.Held, cpus []int) ([]testenv.ServerSpec, error) {
	workers := cfg.Listeners
	if cfg.MaxConns != models.NoLimit && cfg.MaxConns < workers {
		return nil, &models.ConfigError{
			Field: "MaxConns", Value: cfg.MaxConns, Want: fmt.Sprintf("at least 1 for each of %d workers, or NoLimit", workers),
		}
	}
	service := cfg.Service.Name()
	parsed, err := models.ParseService(service)
	if err != nil {
		return nil, fmt.Errorf("%s: a service travels to the workers by its name: %w", o.Model, err)
	}
	if !reflect.DeepEqual(parsed, cfg.Service) {
		return nil, fmt.Errorf("%s: a service travels to the workers by its name: %q stands for %+v, which is not the %+v in Config.Service (use what ParseService makes)",
			o.Model, service, parsed, cfg.Service)
	}
	cfg = held.Config(cfg)
	cfg.Service = nil
	all := make([]testenv.ServerSpec, workers)
	for i := range all {
		c := cfg
		if c.Loops == 0 {
			c.Loops = runtime.GOMAXPROCS(0)
		}
		c.Loops = share(c.Loops, workers, i)
		c.Listeners = 1
		if kinds[o.Over].loops {
			c.Listeners = c.Loops
		}
		if c.MaxConns != models.NoLimit {
			c.MaxConns = share(c.MaxConns, workers, i)
		}
		all[i] = testenv.ServerSpec{
			Model: o.Model, Service: service, Config: c,
			GoMaxProcs: share(runtime.GOMAXPROCS(0), workers, i),
			Env:        []string{envWorker + "=1"},
			Log:        os.Stderr,
		}
		if o.Steer {
			all[i].CPUs = []int{cpus[i%len(cpus)]}
		}
	}
	return all, nil
}

// share is the i-th of n parts of a whole, 1 at least.
func share(whole, n, i int) int {
	part := whole / n
	if i < whole%n {
		part++
	}
	return max(1, part)
}

// affinity is the set of CPUs of this process, as of now.
func affinity() ([]int, error) { return cpu.Thread(os.Getpid()) }
