package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/profiles"
	"netbench/internal/ptree"
	"netbench/results"
)

func TestProfileLeavesAllKindsBesideARunThatIsNotComparable(t *testing.T) {
	unpinned(t)
	dir := filepath.Join(t.TempDir(), "runs")
	exit, out, stderr := netbench(t, t.Context(), "profile", "-bench", "Echo/model=goroutine$/conns=10$/size=1024$",
		"-time", "300ms", "-trace-time", "50ms", "-top", "3", "-dir", dir)
	require.Equal(t, results.ExitGood, exit, stderr)
	runs, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	require.NoError(t, err)
	require.Len(t, runs, 1)
	run, err := results.Read(runs[0])
	require.NoError(t, err)
	assert.Equal(t, profiles.List(profiles.Kinds), run.Profiled())
	require.Len(t, run.Results, 1)

	kept := filepath.Join(strings.TrimSuffix(runs[0], ".txt")+".profiles", "Echo_model=goroutine_conns=10_size=1024")
	entries, err := os.ReadDir(kept)
	require.NoError(t, err)
	assert.Len(t, entries, len(profiles.Kinds), "whole files only")
	for _, k := range profiles.Kinds {
		file := filepath.Join(kept, k.FileName())
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		begin := "\x1f\x8b"
		if k == profiles.Trace {
			begin = "go 1."
		}
		assert.True(t, strings.HasPrefix(string(data), begin), k)
		assert.Contains(t, out, file+"\n")
	}
	for _, text := range []string{"Type: cpu", "Type: inuse_space", "Type: alloc_space", "Type: goroutine", "Syscall6"} {
		assert.Contains(t, out, text)
	}
	assert.Equal(t, 3, strings.Count(out, "Type: delay"), "of locks, of waits, and of the trace")
	assert.True(t, bytes.HasSuffix([]byte(out), []byte(".profiles\n")))

	exit, _, stderr = netbench(t, t.Context(), "compare", runs[0], runs[0])
	assert.Equal(t, results.ExitBadInput, exit, stderr)
}

func TestAnInterruptedProfileLeavesNeitherServerNorRun(t *testing.T) {
	unpinned(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer cancel()
		for {
			if begun, _ := filepath.Glob(filepath.Join(dir, "*.profiles", "*", "*")); len(begun) > 0 {
				return
			}
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	exit, _, stderr := netbench(t, ctx, "profile", "-bench", "Echo/model=goroutine$/conns=10$/size=1024$",
		"-time", "1h", "-kinds", "cpu", "-dir", dir)
	close(ended)
	assert.Equal(t, results.ExitUndecided, exit)
	assert.Contains(t, stderr, "netbench profile: interrupted\n")
	runs, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	require.NoError(t, err)
	assert.Empty(t, runs)
	if tree, err := ptree.Processes(os.Getpid()); err == nil {
		assert.Len(t, tree, 1, "this process alone")
	}
}

func TestProfileHasTheServersOfAllRoomsThatItLists(t *testing.T) {
	unpinned(t)
	exit, list, stderr := netbench(t, t.Context(), "profile", "-list")
	require.Equal(t, results.ExitGood, exit, stderr)
	dir := t.TempDir()
	for _, name := range []string{
		"Heap/live=64MiB/objects=small/alloc=1KiB", "Read/owner=conn/buffer=16KiB/conns=100/size=64",
		"Vectored/way=join/cork=off/size=64",
	} {
		assert.Contains(t, list, "Benchmark"+name+"\n")
		exit, out, stderr := netbench(t, t.Context(), "profile", "-bench", strings.ReplaceAll(name, "/", "$/")+"$",
			"-time", "100ms", "-kinds", "heap", "-dir", dir)
		require.Equal(t, results.ExitGood, exit, stderr)
		assert.Contains(t, out, "Type: inuse_space", name)
	}
	runs, err := filepath.Glob(filepath.Join(dir, "*.profiles", "*", profiles.Heap.FileName()))
	require.NoError(t, err)
	assert.Len(t, runs, 3)
}

func TestBadInputOfProfilesIsOneLineBeforeAnythingRuns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"profile"}, "no -bench is given"},
		{[]string{"profile", "-bench", "Nothing"}, "matches no benchmark"},
		{[]string{"profile", "-bench", "Idle"}, "matches no benchmark with requests"},
		{[]string{"profile", "-bench", "("}, "-bench: error parsing"},
		{[]string{"profile", "-bench", "Echo", "-dir", file}, "-dir " + file + ": mkdir " + file + ": not a directory"},
		{[]string{"profile", "-bench", "Echo", "-dir", filepath.Join(file, "runs")}, "not a directory"},
		{[]string{"profile", "-bench", "Echo", "-kinds", "cpu,disk"}, `"disk" is unknown (use cpu,heap`},
		{[]string{"profile", "-bench", "Echo", "-kinds", "cpu,cpu"}, "cpu is given twice"},
		{[]string{"profile", "-bench", "Echo", "-time", "0s"}, "-time is 0s"},
		{[]string{"profile", "-bench", "Echo", "-trace-time", "1h"}, "-trace-time is 1h"},
		{[]string{"profile", "-bench", "Echo", "-top", "-1"}, "-top is -1"},
		{[]string{"pgo"}, "no -profile is given"},
		{[]string{"pgo", "-profile", file + "x"}, "no such file"},
		{[]string{"pgo", "-profile", filepath.Dir(file)}, "is a directory"},
		{[]string{"pgo", "-profile", file, "-rows", "Nothing"}, `row "Nothing" is unknown`},
		{[]string{"pgo", "-profile", file, "-rounds", "1"}, "-rounds is 1"},
	} {
		exit, out, stderr := netbench(t, t.Context(), c.args...)
		assert.Equal(t, results.ExitBadInput, exit, c.args)
		assert.Empty(t, out)
		assert.Contains(t, stderr, c.says)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
}
