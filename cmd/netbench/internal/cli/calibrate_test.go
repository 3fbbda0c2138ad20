package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/cpu"
	"netbench/internal/needs"
	"netbench/load/calibrate"
	"netbench/results"
)

// unpinned undoes at the end of a test what a command that pins this process does.
func unpinned(t *testing.T) {
	t.Helper()
	procs := runtime.GOMAXPROCS(0)
	t.Cleanup(func() {
		cpus, err := cpu.Initial()
		if err != nil {
			return // nothing is ever pinned here
		}
		assert.NoError(t, cpu.PinProcess(cpus))
		runtime.GOMAXPROCS(procs)
	})
}

func TestCalibrateRefusesBadInputInOneLine(t *testing.T) {
	unpinned(t)
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"model":     {[]string{"-model", "hamster"}, `model "hamster" is unknown (use goroutine`},
		"no round":  {[]string{"-rounds", "0"}, "have to be above zero"},
		"one round": {[]string{"-rounds", "1"}, "rounds is 1 (want 2 to 10000"},
		"slice":     {[]string{"-slice", "1ms"}, "slice is 1ms (want 5ms to 10s)"},
		"block":     {[]string{"-block", "1500ms"}, "want whole seconds"},
		"argument":  {[]string{"now"}, `unexpected argument "now"`},
		"directory": {[]string{"-markdown", filepath.Join(t.TempDir(), "missing", "page.md")}, "-markdown: no file can be made in directory"},
	} {
		exit, out, stderr := netbench(t, t.Context(), append([]string{"calibrate"}, tc.args...)...)
		assert.Equal(t, results.ExitBadInput, exit, name)
		assert.Contains(t, stderr, tc.want, name)
		assert.Empty(t, out, name)
	}
}

func TestCalibrateCannotDecideWithoutACompiler(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("calibrate needs Linux")
	}
	unpinned(t)
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	page := filepath.Join(dir, "page.md")
	exit, _, stderr := netbench(t, t.Context(), "calibrate", "-markdown", page)
	assert.Equal(t, results.ExitUndecided, exit)
	assert.Contains(t, stderr, "there is no cc in PATH (install gcc or clang")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "no page, and nothing half-written")
}

func TestCalibrateMeasuresAServerInItsOwnProcess(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		needs.Skip(t, needs.CC, err)
	}
	if runtime.GOOS != "linux" {
		t.Skip("calibrate needs Linux")
	}
	unpinned(t)
	page := filepath.Join(t.TempDir(), "page.md")
	exit, out, stderr := netbench(t, t.Context(), "calibrate", "-rounds", "2", "-round", "200ms", "-slice", "20ms", "-wrk=false", "-json", "-markdown", page)
	var r calibrate.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r), stderr)
	require.Len(t, r.Cells, 2)
	for _, c := range r.Cells {
		require.Len(t, c.Rounds, 2, "%v", c.Reasons)
		assert.Positive(t, c.Rounds[1].Ours.Requests)
		assert.Equal(t, c.Rounds[1].Ours.Requests, c.Rounds[1].Theirs.Requests)
		assert.NotNil(t, c.Ratio)
	}
	assert.Equal(t, 2, strings.Count(stderr, "round 2 of 2"), stderr)
	// Whether the bound is met is not for a short run on a busy host to say.
	verdict := r.Verdict()
	assert.Equal(t, calibrationExit[verdict], exit)
	text, err := os.ReadFile(page)
	if verdict == calibrate.Unfit {
		assert.ErrorIs(t, err, os.ErrNotExist)
		return
	}
	require.NoError(t, err)
	assert.Contains(t, string(text), "| 1000 x 1 KiB | C client | 2 |")
}
