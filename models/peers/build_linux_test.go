package peers_test

import (
	"context"
	"debug/buildinfo"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
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

func TestABuildThatIsGivenUpLeavesNothingRunning(t *testing.T) {
	sources(t)("word")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := peers.Build(ctx, "gnet")
	require.ErrorIs(t, err, context.Canceled)
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
