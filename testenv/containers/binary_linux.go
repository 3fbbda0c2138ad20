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

	"netbench/internal/proc"
)

// EnvSource names the environment variable that says where the sources are, if the
// working directory is not in them.
const EnvSource = "NETBENCH_SOURCE"

// buildTimeout bounds the building of the static binary, the first of which compiles
// all that it depends on.
const buildTimeout = 5 * time.Minute

// workName is how the names of directories begin that builds work in.
const workName = "netbench-image-"

// build compiles netbench as a static binary for an architecture and returns it.
func build(ctx context.Context, arch string) (_ []byte, err error) {
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("build the static binary: %w", err) }
	compiler, err := exec.LookPath("go")
	if err != nil {
		return fail(errors.New("there is no go command in PATH (install Go, or give the server as ServerSpec.Program)"))
	}
	root, err := sources()
	if err != nil {
		return fail(err)
	}
	removeLeft()
	work, err := os.MkdirTemp("", workName)
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	file := filepath.Join(work, "netbench")
	cmd := exec.CommandContext(ctx, compiler, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, "./cmd/netbench")
	cmd.Dir = root
	// GOFLAGS could make it another program, for instance with the race detector.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS=linux", "GOARCH="+arch, "GOTMPDIR="+work)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := proc.RunGroup(cmd); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fail(fmt.Errorf("go build: %w: %.500s", err, strings.Join(strings.Fields(said.String()), " ")))
	}
	return os.ReadFile(file)
}

// removeLeft removes what builds left behind that were killed. Failing to is no harm.
func removeLeft() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), workName+"*"))
	for _, dir := range left {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > 2*buildTimeout {
			_ = os.RemoveAll(dir)
		}
	}
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
