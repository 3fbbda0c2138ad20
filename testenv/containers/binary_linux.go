package containers

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"netbench/internal/keeper"
)

// EnvSource names the environment variable that says where the sources are, if the
// working directory is not in them.
const EnvSource = "NETBENCH_SOURCE"

// buildTimeout bounds the building of the static binary, the first of which compiles
// all that it depends on.
const buildTimeout = 5 * time.Minute

// build compiles netbench as a static binary for an architecture and returns it. A
// keeper has the compiler and its directory end with this process, however it ends.
func build(ctx context.Context, arch string) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("build the static binary: %w", err) }
	compiler, err := exec.LookPath("go")
	if err != nil {
		return fail(errors.New("there is no go command in PATH (install Go, or give the server as ServerSpec.Program)"))
	}
	root, err := sources()
	if err != nil {
		return fail(err)
	}
	bounded, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	var said bytes.Buffer
	k, err := keeper.Start(bounded, keeper.Spec{Dir: "netbench-image-", Log: &said})
	if err != nil {
		return fail(err)
	}
	file := filepath.Join(k.Dir(), "netbench")
	failed := k.Run(bounded, keeper.Command{
		Args: []string{compiler, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, "./cmd/netbench"},
		Dir:  root,
		// GOFLAGS could make it another program, for instance with the race detector.
		Env: []string{"CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS=linux", "GOARCH=" + arch, "GOTMPDIR=" + k.Dir()},
	})
	var binary []byte
	if failed == nil {
		binary, failed = os.ReadFile(file)
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), keeper.DefaultGrace)
	defer cancel()
	err = k.Stop(ending) // and nothing is said any more
	if failed != nil {
		return fail(errors.Join(fmt.Errorf("go build: %w: %.500s", failed, strings.Join(strings.Fields(said.String()), " ")), err))
	}
	if err != nil {
		return fail(err)
	}
	return binary, nil
}

// sources is the directory of this project's module.
func sources() (string, error) {
	dir := os.Getenv(EnvSource)
	if dir != "" {
		return dir, nil
	}
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir = start; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module netbench\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("neither %q nor a directory above it holds the sources of netbench (run in a checkout, or set %s)", start, EnvSource)
		}
	}
}

// static is an error for a binary that an image without any library cannot run.
func static(binary []byte) error {
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("it is no executable of Linux: %w", err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("it needs a dynamic loader, and an image from scratch has none (build it with CGO_ENABLED=0)")
		}
	}
	return nil
}
