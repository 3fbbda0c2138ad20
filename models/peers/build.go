package peers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"netbench/internal/proc"
	"netbench/models"
)

// ErrUnavailable is wrapped by the error of [Build] where a peer cannot be built
// because the host lacks something: the go command, or the sources.
var ErrUnavailable = errors.New("cannot be built here")

// SourceEnv names the environment variable that says where the sources are, if the
// working directory is not in them.
const SourceEnv = "NETBENCH_SOURCE"

// buildTimeout bounds a build, the first of which compiles all dependencies.
const buildTimeout = 10 * time.Minute

// Build returns the program of a peer, which serves both of its forms. The go
// command decides what has to be compiled, so what is returned is always of the
// source as it is now; if nothing has changed that takes a fraction of a second.
//
// Programs are kept in the user's cache directory by names that hold a hash of
// their content, and appear there whole. Processes that build the same peer at the
// same time wait for each other. When a new one is put there, those of the same
// peer and sources are removed that have not been asked for in a week, and what
// builds left behind that were killed.
//
// The error is one line, with what the compiler said in short.
func Build(ctx context.Context, name string) (program string, err error) {
	e, err := Lookup(name)
	if err != nil {
		return "", err
	}
	fail := func(err error) (string, error) { return "", fmt.Errorf("build peer %s: %w", name, err) }
	if runtime.GOOS != "linux" {
		return fail(fmt.Errorf("%w: the adapters of engines need Linux", models.ErrUnsupported))
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return fail(fmt.Errorf("%w: there is no go command in PATH (install Go, peers are compiled when they are needed)", ErrUnavailable))
	}
	root, err := sourceTree()
	if err != nil {
		return fail(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	// Each source tree has a place of its own, in which go finds what it has
	// linked the last time.
	dir := filepath.Join(cache, "netbench", "peers", fmt.Sprintf("%x", sha256.Sum256([]byte(root)))[:12])
	if err := os.MkdirAll(filepath.Join(dir, "work"), 0o700); err != nil {
		return fail(err)
	}
	unlock, err := lock(ctx, filepath.Join(dir, e.Name+".lock"))
	if err != nil {
		return fail(err)
	}
	defer unlock()
	work := filepath.Join(dir, "work", e.Name)
	if err := compile(ctx, goCommand, root, e, work); err != nil {
		return fail(err)
	}
	program, err = keep(work, dir, e.Name)
	if err != nil {
		return fail(err)
	}
	return program, nil
}

// sourceTree is the directory of this project's module.
func sourceTree() (string, error) {
	if dir := os.Getenv(SourceEnv); dir != "" {
		if !isModule(dir) {
			return "", fmt.Errorf("%w: %s is %q, which does not hold the sources of netbench (give the directory of its go.mod)", ErrUnavailable, SourceEnv, dir)
		}
		return filepath.Abs(dir)
	}
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if isModule(dir) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%w: neither %q nor a directory above it holds the sources of netbench (run in a checkout, or set %s)", ErrUnavailable, start, SourceEnv)
		}
	}
}

// isModule tells whether dir is the root of module netbench.
func isModule(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, is := strings.CutPrefix(strings.TrimSpace(lines.Text()), "module "); is {
			return strings.TrimSpace(name) == "netbench"
		}
	}
	return false
}

// compile has the go command make the program, or find that it is up to date.
func compile(ctx context.Context, goCommand, root string, e Engine, program string) (err error) {
	// It works in a directory that is removed whatever becomes of it.
	work, err := os.MkdirTemp(os.Getenv("GOTMPDIR"), "netbench-build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	cmd := exec.CommandContext(ctx, goCommand, "build", "-trimpath", "-buildvcs=false", "-o", program, "./"+e.Name)
	cmd.Dir = filepath.Join(root, "models", "peers", "engines")
	// GOFLAGS could make a peer another program than ours, for instance with the
	// race detector in it.
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, "GOTMPDIR="+work)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := proc.RunGroup(cmd); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("go build: %w%s", err, excerpt(said.String()))
	}
	return nil
}

// excerpt is what an error shows of what a compiler said, in one line.
func excerpt(said string) string {
	const most = 500
	var lines []string
	for line := range strings.Lines(said) {
		// Headings, and the progress of downloads, say nothing.
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go: downloading") {
			lines = append(lines, line)
		}
	}
	text := strings.Join(lines, "; ")
	if text == "" {
		return ""
	}
	if len(text) > most {
		text = text[:most] + " ..."
	}
	return ": " + text
}

// unused is how long a program is kept that nobody asks for.
const unused = 7 * 24 * time.Hour

// keep puts a copy of what was built where it is not changed any more.
func keep(built, dir, name string) (string, error) {
	f, err := os.Open(built)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	path := filepath.Join(dir, fmt.Sprintf("%s-%x", name, sum.Sum(nil)[:12]))
	now := time.Now()
	if err := os.Chtimes(path, now, now); err == nil {
		return path, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if err := copyWhole(f, dir, path); err != nil {
		return "", err
	}
	removeUnused(dir, name, now)
	return path, nil
}

// copyWhole copies an executable so that it appears at path complete.
func copyWhole(from io.Reader, dir, path string) error {
	to, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	err = errors.Join(err, to.Chmod(0o700), to.Close())
	if err == nil {
		err = os.Rename(to.Name(), path)
	}
	if err != nil {
		_ = os.Remove(to.Name())
	}
	return err
}

// removeUnused removes old programs of a peer. Failing to is no harm.
func removeUnused(dir, name string, now time.Time) {
	old, _ := filepath.Glob(filepath.Join(dir, name+"-*"))
	torsos, _ := filepath.Glob(filepath.Join(dir, ".new-*"))
	for _, path := range append(old, torsos...) {
		if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) > unused {
			_ = os.Remove(path)
		}
	}
}
