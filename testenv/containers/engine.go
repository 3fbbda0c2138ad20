package containers

import (
	"errors"
	"fmt"
	"math"
)

// Environment variables that name the images of services.
const (
	EnvPostgresImage = "NETBENCH_POSTGRES_IMAGE"
	EnvRedisImage    = "NETBENCH_REDIS_IMAGE"
)

// The official images that are taken if the variables are not set.
const (
	DefaultPostgresImage = "postgres:18"
	DefaultRedisImage    = "redis:8"
)

// ErrNoEngine is wrapped by errors that say that no engine answers.
var ErrNoEngine = errors.New("no engine of containers answers")

// EngineInfo is what is known of an engine that answers.
type EngineInfo struct {
	Host    string `json:"host"` // as in DOCKER_HOST, without a password
	Version string `json:"version"`
	Arch    string `json:"arch"`   // of the images, as GOARCH
	Cgroups string `json:"cgroup"` // version of the host's control groups, "1" or "2"

	// NoCPULimit and NoMemoryLimit say why containers cannot be limited; "" if they
	// can.
	NoCPULimit    string `json:"no_cpu_limit,omitempty"`
	NoMemoryLimit string `json:"no_memory_limit,omitempty"`

	raw string // DOCKER_HOST as it is
}

// Limits are what a container may use; 0 does not limit.
type Limits struct {
	// CPUs is the CPU time per time, 0.5 for half of one CPU. The kernel enforces it
	// in periods of 100 ms: what has used its share is stopped until the next one.
	CPUs float64 `json:"cpus,omitempty"`

	// Memory is in bytes. Beyond it the kernel kills.
	Memory int64 `json:"memory,omitempty"`
}

// minMemory is the least that engines grant.
const minMemory = 6 << 20

func (l Limits) check() error {
	if math.IsNaN(l.CPUs) || l.CPUs < 0 || l.CPUs > 0 && l.CPUs < 0.01 || math.IsInf(l.CPUs, 0) {
		return fmt.Errorf("Limits.CPUs is %v (want 0.01 or more, or 0 for no limit)", l.CPUs)
	}
	if l.Memory < 0 || l.Memory > 0 && l.Memory < minMemory {
		return fmt.Errorf("Limits.Memory is %d (want %d bytes or more, or 0 for no limit)", l.Memory, minMemory)
	}
	return nil
}

// grants is an error if an engine cannot enforce the limits.
func (e EngineInfo) grants(l Limits) error {
	switch {
	case l.CPUs > 0 && e.NoCPULimit != "":
		return fmt.Errorf("CPU cannot be limited to %v here: %s", l.CPUs, e.NoCPULimit)
	case l.Memory > 0 && e.NoMemoryLimit != "":
		return fmt.Errorf("memory cannot be limited to %d bytes here: %s", l.Memory, e.NoMemoryLimit)
	}
	return nil
}
