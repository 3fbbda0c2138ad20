// Package peers puts other people's network engines on the same start line: gnet,
// netpoll, nbio, evio and fasthttp serve netbench's services behind the contract
// of package models, each as a program of its own.
//
// The programs are a Go module of their own below this package (engines/), so
// that no foreign goroutine, init function or dependency is in our servers and
// tests. [Build] compiles one when it is asked for; testenv starts it over the
// same control channel as any other server:
//
//	program, err := peers.Build(ctx, "gnet")
//	server, err := testenv.StartServer(ctx, testenv.ServerSpec{
//		Model: "gnet", Program: program, Service: "echo",
//	})
//
// Each engine has two names. The plain one runs with the loops, buffers and socket
// options of all contenders. The one with the suffix "-recommended" is configured
// as the engine's own documentation advises; it informs, and decides nothing.
package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Recommended is the suffix of the row that is configured as the engine's
// documentation advises.
const Recommended = "-recommended"

// Engine is what there is to know about one of them.
type Engine struct {
	Name     string
	Module   string
	Version  string
	Services []string // base names of those that it runs, nil for all

	// Declared is what it cannot be given, or does otherwise than the contract
	// asks, one sentence each.
	Declared []string
}

var engines = []Engine{
	{Name: "gnet", Module: "github.com/panjf2000/gnet/v2", Version: "v2.9.8"},
	{Name: "netpoll", Module: "github.com/cloudwego/netpoll", Version: "v0.7.2"},
	{Name: "nbio", Module: "github.com/lesismal/nbio", Version: "v1.5.12"},
	{Name: "evio", Module: "github.com/tidwall/evio", Version: "v1.0.8"},
	{Name: "fasthttp", Module: "github.com/valyala/fasthttp", Version: "v1.62.0", Services: []string{"http"}},
}

// Names returns the names of all peers, each engine before its recommended row.
func Names() []string {
	var names []string
	for _, e := range engines {
		names = append(names, e.Name, e.Name+Recommended)
	}
	return names
}

// Lookup returns the engine of a name.
func Lookup(name string) (Engine, error) {
	base := strings.TrimSuffix(name, Recommended)
	if i := slices.IndexFunc(engines, func(e Engine) bool { return e.Name == base }); i >= 0 {
		return engines[i], nil
	}
	return Engine{}, fmt.Errorf("peer %q is unknown (use %s)", name, strings.Join(Names(), ", "))
}

// ErrUnavailable is wrapped by the error of [Build] where a peer cannot be built
// because the host lacks something: the go command, or the sources.
var ErrUnavailable = errors.New("cannot be built here")

// envSource names the directory of netbench's sources, for a netbench that runs
// elsewhere.
const envSource = "NETBENCH_SOURCE"

// buildTimeout bounds one build, which may have to fetch and compile a module.
const buildTimeout = 5 * time.Minute

var (
	building sync.Mutex
	built    = map[string]string{} // programs by engine, of this process
)

// Build returns the path of a peer's program, compiled from the sources of this
// checkout: that of the working directory, or of the environment variable
// NETBENCH_SOURCE. The go command decides whether anything has to be compiled, so
// a program is never older than its sources. It is kept below the user's cache
// directory, under a name that depends on the checkout. One process builds at a
// time.
func Build(ctx context.Context, name string) (program string, err error) {
	e, err := Lookup(name)
	if err != nil {
		return "", err
	}
	building.Lock()
	defer building.Unlock()
	if path, ok := built[e.Name]; ok {
		return path, nil
	}
	fail := func(err error) (string, error) { return "", fmt.Errorf("build peer %s: %w", e.Name, err) }
	command, err := exec.LookPath("go")
	if err != nil {
		return fail(fmt.Errorf("%w: there is no go command in PATH (install Go, as go.mod says which)", ErrUnavailable))
	}
	root, err := sourceRoot()
	if err != nil {
		return fail(err)
	}
	dir, err := cacheDir(root)
	if err != nil {
		return fail(err)
	}
	unlock, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return fail(err)
	}
	defer unlock()
	path := filepath.Join(dir, e.Name+executable)
	if err := compile(ctx, command, filepath.Join(root, "models", "peers", "engines"), e.Name, path); err != nil {
		return fail(err)
	}
	built[e.Name] = path
	return path, nil
}

// compile runs go build. It does nothing if path is what it would make.
func compile(ctx context.Context, command, module, engine, path string) error {
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, command, "build", "-trimpath", "-o", path, "./"+engine)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("go build: %w%s", err, excerpt(string(said)))
}

// excerpt is what a message of one line shows of the compiler's output.
func excerpt(said string) string {
	var lines []string
	for line := range strings.SplitSeq(said, "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	const most = 3
	more := ""
	if len(lines) > most {
		lines, more = lines[:most], " ..."
	}
	return ": " + strings.Join(lines, "; ") + more
}

// sourceRoot finds the root of netbench's sources.
func sourceRoot() (string, error) {
	if dir := os.Getenv(envSource); dir != "" {
		if isRoot(dir) {
			return filepath.Abs(dir)
		}
		return "", fmt.Errorf("%w: %s is %s, which does not hold the sources of netbench (give the directory of its go.mod)", ErrUnavailable, envSource, dir)
	}
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if isRoot(dir) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%w: neither %s nor a directory above it holds the sources of netbench (run in a checkout, or set %s)", ErrUnavailable, start, envSource)
		}
	}
}

// isRoot tells whether dir holds this module and the peers' one.
func isRoot(dir string) bool {
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	first, _, _ := strings.Cut(string(mod), "\n")
	_, err = os.Stat(filepath.Join(dir, "models", "peers", "engines", "go.mod"))
	return strings.TrimSpace(first) == "module netbench" && err == nil
}
