package testenv

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"netbench/internal/keeper"
	"netbench/internal/proc"
	"netbench/models"
)

// roleServer is the role of a server's process.
const roleServer = "server"

// known holds the factories given to ServeRole, nil before.
var known atomic.Pointer[map[string]models.Factory]

// Main has to be the first call in main or TestMain: it is where the process of
// a server begins, and it does not return there. In any other process it notes
// which models [StartServer] can start, and returns. The keeper of [StartCommand]
// and of package testenv/services begins there too. more are further roles for child processes, such as those of
// load generators.
func Main(factories map[string]models.Factory, more ...proc.Role) {
	proc.Main(append([]proc.Role{ServeRole(factories), keeper.Role}, more...)...)
}

// ServeRole is the role that Main adds, for programs that call [proc.Main]
// themselves. The factories are those of the last call.
func ServeRole(factories map[string]models.Factory) proc.Role {
	factories = maps.Clone(factories)
	known.Store(&factories)
	return proc.Role{Name: roleServer, Run: serve}
}

// ServerSpec says which server to start, and where. It travels to the server's
// process as JSON.
type ServerSpec struct {
	// Model is a key of the factories given to Main, here or in Program.
	Model string `json:"model"`

	// Program is the executable of a server that is a program of its own: one
	// that calls Main with its own factories, or speaks the control channel in
	// another language. Empty executes this program again.
	Program string `json:"-"`

	// Carrier runs the server elsewhere than in a child process of this one, such as
	// in a container: package testenv/containers makes it. Models are those of the
	// program that runs there, and its files are not those of this process. nil for a
	// child process.
	Carrier *proc.Carrier `json:"-"`

	// Service is a service's name, as [models.ParseService] takes it.
	Service string `json:"service"`

	// Config is the server's configuration; its Service has to be nil, as a
	// service travels by name.
	Config models.Config `json:"config"`

	// CPUs is the set that the whole process runs on, from its first thread on;
	// empty does not pin it. Needs Linux.
	CPUs []int `json:"cpus,omitempty"`

	// GoMaxProcs is GOMAXPROCS in the server; 0 lets it follow CPUs.
	GoMaxProcs int `json:"gomaxprocs,omitempty"`

	// GOGC and GOMEMLIMIT are these variables of the server's environment, for
	// instance "200" or "off", and "512MiB"; "" inherits them.
	GOGC       string `json:"gogc,omitempty"`
	GOMEMLIMIT string `json:"gomemlimit,omitempty"`

	// Env are further variables, "NAME=value".
	Env []string `json:"env,omitempty"`

	// CPUProfile is a file that the server's first process writes a CPU profile
	// of its whole life to, when it is stopped; "" for none. Profiling costs CPU
	// time.
	CPUProfile string `json:"cpu_profile,omitempty"`

	// StartTimeout bounds the time until the server listens; 0 means 10 s.
	StartTimeout time.Duration `json:"-"`

	// Log gets a copy of what the server writes to standard error and output;
	// nil for none.
	Log io.Writer `json:"-"`
}

// check returns an error for a specification that no server can be made from,
// before a process is started for it.
func (s ServerSpec) check() error {
	if s.Config.Service != nil {
		return fmt.Errorf("Config.Service is set to %q (name the service in ServerSpec.Service, it travels by name)", s.Config.Service.Name())
	}
	if s.Carrier != nil && (s.CPUProfile != "" || s.Config.Network == "unix") {
		return errors.New("a server that is carried elsewhere has other files than this process (leave out CPUProfile, and a Network of unix)")
	}
	if s.Program != "" || s.Carrier != nil {
		_, err := s.config()
		return err
	}
	factories := known.Load()
	if factories == nil {
		return errors.New("this program cannot execute itself as a server (call testenv.Main first in main or TestMain)")
	}
	_, _, err := s.resolve(*factories)
	return err
}

// config returns the configuration with the service that its name stands for.
func (s ServerSpec) config() (models.Config, error) {
	config := s.Config
	var err error
	if config.Service, err = models.ParseService(s.Service); err != nil {
		return s.Config, err
	}
	if _, err := config.Validate(); err != nil {
		return s.Config, err
	}
	return config, nil
}

// resolve returns what the names stand for.
func (s ServerSpec) resolve(factories map[string]models.Factory) (models.Factory, models.Config, error) {
	factory := factories[s.Model]
	if factory == nil {
		names := slices.Sorted(maps.Keys(factories))
		return nil, s.Config, fmt.Errorf("unknown model %q (known: %s)", s.Model, strings.Join(names, ", "))
	}
	config, err := s.config()
	return factory, config, err
}

// env is what the specification adds to the server's environment.
func (s ServerSpec) env() []string {
	env := slices.Clone(s.Env)
	if s.GOGC != "" {
		env = append(env, "GOGC="+s.GOGC)
	}
	if s.GOMEMLIMIT != "" {
		env = append(env, "GOMEMLIMIT="+s.GOMEMLIMIT)
	}
	return env
}
