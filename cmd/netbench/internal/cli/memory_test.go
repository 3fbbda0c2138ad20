package cli

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models/memory"
	"netbench/results"
)

func TestMemoryRefusesBadInputInOneLine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory needs Linux, and says that first")
	}
	unpinned(t)
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"model":       {[]string{"-models", "goroutine,hamster"}, `model "hamster" is unknown (use `},
		"no model":    {[]string{"-models", ""}, `model "" is unknown`},
		"twice":       {[]string{"-models", "goroutine,goroutine"}, "goroutine is listed twice"},
		"service":     {[]string{"-service", "gopher"}, `unknown service "gopher"`},
		"number":      {[]string{"-conns", "5000,many"}, `-conns: "many" is not a number`},
		"one number":  {[]string{"-conns", "5000"}, "conns is 5000 alone"},
		"descending":  {[]string{"-conns", "5000,1000"}, "conns has 1000 behind 5000"},
		"repeat":      {[]string{"-repeat", "0"}, "-repeat is 0"},
		"negative":    {[]string{"-repeat", "-1"}, "repetitions is -1"},
		"descriptors": {[]string{"-conns", "10,1000000000"}, "raise ulimit -n"},
		"argument":    {[]string{"now"}, `unexpected argument "now"`},
		"directory":   {[]string{"-conns", "10,20", "-dir", filepath.Join("/dev/null", "runs")}, "directory"},
	} {
		exit, out, stderr := netbench(t, t.Context(), append([]string{"memory"}, tc.args...)...)
		assert.Equal(t, results.ExitBadInput, exit, name)
		assert.Contains(t, stderr, tc.want, name)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), "%s: one line: %s", name, stderr)
		assert.Empty(t, out, name)
	}
}

func TestMemoryPrintsATableAndKeepsARun(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory needs Linux")
	}
	unpinned(t)
	dir := t.TempDir()
	exit, out, stderr := netbench(t, t.Context(), "memory", "-models", "goroutine,goroutine-lean", "-conns", "100,300,500", "-repeat", "2", "-service", "http", "-dir", dir)
	require.Equal(t, results.ExitGood, exit, stderr)
	assert.Contains(t, out, "bytes per idle connection, http, slope over 100, 300, 500 connections, 2 repetitions")
	assert.Regexp(t, `(?m)^ *goroutine +\d+ ± \d+ +\d+ ± \d+ `, out)
	assert.Regexp(t, `(?m)^ *goroutine-lean +\d+ ± \d+ `, out)
	assert.Equal(t, 12, strings.Count(stderr, "of user memory"), stderr)
	runs, err := results.Latest(dir, 1)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.NoError(t, runs[0].Complete())
	assert.Len(t, runs[0].Results, 4)
}

func TestMemoryPrintsJSONAndAPage(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory needs Linux")
	}
	unpinned(t)
	page := filepath.Join(t.TempDir(), "memory.md")
	exit, out, stderr := netbench(t, t.Context(), "memory", "-models", "goroutine", "-conns", "100,200", "-repeat", "1", "-json", "-markdown", page)
	require.Equal(t, results.ExitGood, exit, stderr)
	var got struct{ Results []memory.Result }
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Len(t, got.Results, 1)
	r := got.Results[0]
	assert.Equal(t, "goroutine", r.Model)
	assert.Positive(t, r.User.PerConn)
	assert.Nil(t, r.User.Lo, "two points of one process have no error")
	require.Len(t, r.Points, 2)
	assert.Equal(t, 200, r.Points[1].Conns)
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.Contains(t, string(text), "netbench memory -conns=100,200 -json=true -markdown="+page+" -models=goroutine -repeat=1")
	assert.Contains(t, string(text), "slope over 100, 200 connections")
}

func TestMemoryThatIsInterruptedCouldNotDecide(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory needs Linux")
	}
	unpinned(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	exit, _, stderr := netbench(t, ctx, "memory", "-conns", "10,20", "-dir", dir)
	assert.Equal(t, results.ExitUndecided, exit)
	assert.Contains(t, stderr, "interrupted")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "there was nothing to keep")
}

func TestMemoryKeepsWhatWasMeasuredBeforeAFailure(t *testing.T) {
	dir := t.TempDir()
	run, err := createRun(t.Context(), dir)
	require.NoError(t, err)
	r := &memory.Result{Model: "goroutine", Service: "echo", Conns: []int{1, 2}}
	r.User.ByRepetition, r.KernelPerEnd.ByRepetition = []float64{1}, []float64{2}
	path, err := keepMemory(run, []*memory.Result{r}, errors.New("the next one crashed"))
	require.NoError(t, err)
	kept, err := results.Read(path)
	require.NoError(t, err)
	assert.ErrorContains(t, kept.Complete(), "the next one crashed")
	assert.Len(t, kept.Results, 1)
}
