package peers_test

import (
	"context"
	"debug/buildinfo"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/needs"
	"netbench/models/peers"
)

// sources makes a tree with one engine that prints a word, and a cache for it.
func sources(t *testing.T) (print func(word string)) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		needs.Skip(t, needs.Peers, err)
	}
	root := t.TempDir()
	// The go command keeps what it compiles there too, unless told otherwise.
	compiled, err := exec.Command("go", "env", "GOCACHE").Output()
	require.NoError(t, err)
	t.Setenv("GOCACHE", string(compiled[:len(compiled)-1]))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("NETBENCH_SOURCE", root)
	write := func(file, text string) {
		path := filepath.Join(root, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	write("go.mod", "module netbench\n")
	write("models/peers/engines/go.mod", "module netbench/models/peers/engines\n\ngo 1.26\n")
	return func(word string) {
		write("models/peers/engines/gnet/main.go", "package main\n\nfunc main() { print(\""+word+"\") }\n")
	}
}

func TestAProgramIsNeverOlderThanItsSource(t *testing.T) {
	print := sources(t)
	var programs []string
	for _, word := range []string{"first", "second", "first"} {
		print(word)
		program, err := peers.Build(t.Context(), "gnet")
		require.NoError(t, err)
		said, err := exec.CommandContext(t.Context(), program).CombinedOutput()
		require.NoError(t, err)
		assert.Equal(t, word, string(said))
		programs = append(programs, program)
	}
	assert.NotEqual(t, programs[0], programs[1], "what somebody is about to start is not replaced")
	assert.Equal(t, programs[0], programs[2])
}

func TestBothRowsOfAnEngineAreOneProgramThatManyMayBuildAtOnce(t *testing.T) {
	sources(t)("word")
	var all sync.WaitGroup
	programs := make([]string, 6)
	errs := make([]error, len(programs))
	for i := range programs {
		all.Go(func() {
			programs[i], errs[i] = peers.Build(t.Context(), []string{"gnet", "gnet-recommended"}[i%2])
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	for _, p := range programs {
		assert.Equal(t, programs[0], p)
	}
	files, err := os.ReadDir(filepath.Dir(programs[0]))
	require.NoError(t, err)
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	assert.ElementsMatch(t, []string{"gnet.lock", "work", filepath.Base(programs[0])}, names, "nothing half made is left")
}

// running lists the processes that were started with a variable in their
// environment, wherever they are in the tree.
func running(t *testing.T, variable string) (pids []string) {
	t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, file := range environments {
		env, _ := os.ReadFile(file) // empty if it has ended
		if slices.Contains(strings.Split(string(env), "\x00"), variable) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

func TestABuildThatIsGivenUpLeavesNothingRunning(t *testing.T) {
	sources(t)("word")
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Setenv("GOCACHE", t.TempDir()) // empty, so that all there is has to be compiled
	halfMade := func() (files []string) {
		for _, pattern := range []string{"*", "*/go-build*"} {
			found, err := filepath.Glob(filepath.Join(temporary, pattern))
			require.NoError(t, err)
			files = append(files, found...)
		}
		return files
	}
	compiling := func() bool {
		return slices.ContainsFunc(halfMade(), func(file string) bool { return strings.Contains(file, "go-build") }) &&
			len(running(t, "TMPDIR="+temporary)) >= 2 // the go command and a compiler
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	built := make(chan error, 1)
	go func() {
		_, err := peers.Build(ctx, "gnet")
		built <- err
	}()
	for deadline := time.After(time.Minute); !compiling(); {
		select {
		case err := <-built:
			require.Fail(t, "it ended before it was given up", "%v", err)
		case <-deadline:
			require.Fail(t, "nothing is being compiled")
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	require.ErrorIs(t, <-built, context.Canceled)
	assert.Empty(t, running(t, "TMPDIR="+temporary))
	assert.Empty(t, halfMade())
}

func TestAPeerSaysWhatItIsWhenItIsStartedByHand(t *testing.T) {
	for _, name := range peers.Names() {
		e, err := peers.Lookup(name)
		require.NoError(t, err)
		if e.Name != name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			program := build(t, name)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			said, err := exec.CommandContext(ctx, program).CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			assert.Equal(t, 2, exit.ExitCode())
			assert.Regexp(t, `^[^\n]*started by netbench[^\n]*\n$`, string(said))

			info, err := buildinfo.ReadFile(program)
			require.NoError(t, err)
			var versions []string
			for _, m := range info.Deps {
				versions = append(versions, m.Path+" "+m.Version)
			}
			assert.Contains(t, versions, peers.Versions(name), "the program holds what it is said to")
		})
	}
}

// build builds a peer, or skips the test on a host that cannot.
func build(t *testing.T, name string) string {
	t.Helper()
	program, err := peers.Build(t.Context(), name)
	if errors.Is(err, peers.ErrUnavailable) {
		needs.Skip(t, needs.Peers, err)
	}
	require.NoError(t, err)
	return program
}
