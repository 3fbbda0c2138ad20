package containers

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"netbench/internal/proc"
	"netbench/testenv"
)

// StartServer starts a server in a container with limits and returns when it serves.
// Its Program, if it has one, has to be a static executable that speaks the control
// channel; otherwise it is this project's own binary, built from the sources, with
// the models that netbench has. CPUs is the container's set; its environment is what
// the specification asks for, and nothing of this process's. Stopping the server
// removes the container. A limit that the engine cannot enforce is an error that says
// why, before anything is started.
func StartServer(ctx context.Context, spec testenv.ServerSpec, l Limits) (*testenv.Server, error) {
	carrier, err := Carrier(ctx, spec.Program, l)
	if err != nil {
		return nil, fmt.Errorf("start server %s/%s in a container: %w", spec.Model, spec.Service, err)
	}
	spec.Carrier, spec.Program = carrier, ""
	return testenv.StartServer(ctx, spec)
}

// Carrier makes the image of a server, if it is not there, and returns what lets any
// [testenv.ServerSpec] start servers of it in containers with these limits. program
// is a static executable, "" for this project's own.
func Carrier(ctx context.Context, program string, l Limits) (*proc.Carrier, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	c, err := connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	engine, err := ask(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := engine.grants(l); err != nil {
		return nil, err
	}
	image, err := scratch(ctx, c, engine.Arch, program)
	if err != nil {
		return nil, err
	}
	return &proc.Carrier{Role: roleCarrier, Spec: plan{
		Owner: os.Getpid(), Image: image, Command: []string{inImage}, Limits: l, HostPIDs: true, Files: descriptors(),
		// As a child process would be.
		User: strconv.Itoa(os.Getuid()) + ":" + strconv.Itoa(os.Getgid()),
	}}, nil
}

// descriptors is how many a process may have here, which one in a container may too.
func descriptors() uint64 {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return min(r.Max, 1<<20) // what a kernel permits by default
}
