package testenv

import (
	"errors"
	"fmt"
	"runtime"

	"netbench/internal/cpu"
)

// Placement says where a server and its load generator run.
type Placement struct {
	Server    []int `json:"server"`    // CPUs of the server; empty does not pin it
	Generator []int `json:"generator"` // CPUs of the generator; empty does not pin it

	// Disjoint tells whether the sets share no CPU. Where they do, both sides'
	// work is in every figure but the server's CPU time.
	Disjoint bool `json:"disjoint"`

	// Reason explains the choice.
	Reason string `json:"reason"`
}

// Place divides the CPUs that this process was started on, whatever PinSelf did
// since. Two or more are divided into disjoint sets of whole cores, of which the
// generator's is the larger where they cannot be equal; a single CPU is shared;
// where the platform cannot pin, both sets are empty. Reason tells which.
func Place() (Placement, error) {
	cpus, err := cpu.Initial()
	if errors.Is(err, errors.ErrUnsupported) {
		return Placement{Reason: fmt.Sprintf("nothing is pinned: %v", err)}, nil
	}
	if err != nil {
		return Placement{}, err
	}
	server, generator, reason := cpu.Split(cpus, cpu.Core)
	return Placement{Server: server, Generator: generator, Disjoint: len(cpus) > 1, Reason: reason}, nil
}

// PinSelf moves every thread of this process to cpus and sets GOMAXPROCS to
// their number, but to 2 at least: a generator holds one processor of the Go
// scheduler with a loop that does not give way, and needs another for everything
// else. Children started from now on without CPUs of their own inherit the set.
// With no cpus it does nothing. Needs Linux.
func PinSelf(cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	if err := cpu.PinProcess(cpus); err != nil {
		return err
	}
	runtime.GOMAXPROCS(max(2, len(cpus)))
	return nil
}
