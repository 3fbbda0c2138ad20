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

	"netbench/gate"
	"netbench/results"
)

func TestRowsOfTheGateAreScenariosAndAtMostTenJudge(t *testing.T) {
	cells, err := gateCells(gateRows)
	require.NoError(t, err)
	judging, quick := 0, 0
	for _, c := range cells {
		for _, m := range c.Metrics {
			if m.Gates {
				judging++
			}
		}
	}
	for _, row := range gateRows {
		if row.quick {
			quick++
		}
	}
	assert.LessOrEqual(t, judging, gate.MaxGating)
	assert.Equal(t, 3, quick)
	exit, out, _ := netbench(t, t.Context(), "gate", "-list")
	assert.Equal(t, results.ExitGood, exit)
	for _, row := range gateRows {
		assert.Contains(t, out, row.scenario)
	}
}

func TestBadInputOfAGateIsOneLine(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	ended := filepath.Join(dir, "waivers")
	require.NoError(t, os.WriteFile(ended, []byte("2020-01-01 Echo req/s because\n"), 0o600))
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"nothing":         {nil, "base: give either a ref of git or a binary"},
		"both":            {[]string{"-base", "HEAD", "-base-bin", self}, "base: give either"},
		"two heads":       {[]string{"-base", "HEAD", "-head", "HEAD", "-head-bin", self}, "head: give a ref of git or a binary, not both"},
		"no such binary":  {[]string{"-base-bin", filepath.Join(dir, "none"), "-head-bin", self}, "give an executable netbench"},
		"unknown row":     {[]string{"-base-bin", self, "-head-bin", self, "-rows", "Echo/moon"}, `row "Echo/moon" is unknown`},
		"unknown metric":  {[]string{"-base-bin", self, "-head-bin", self, "-rows", "Echo/model=reactor/conns=10/size=1024:joy"}, `metric "joy" is unknown`},
		"rows and quick":  {[]string{"-base-bin", self, "-quick", "-rows", "x"}, "-quick has no effect with -rows"},
		"rounds":          {[]string{"-base-bin", self, "-rounds", "1"}, "-rounds is 1"},
		"alpha":           {[]string{"-base-bin", self, "-head-bin", self, "-alpha", "0"}, "alpha is 0"},
		"tolerance":       {[]string{"-base-bin", self, "-head-bin", self, "-tolerance-timing", "0.01"}, "tolerance of timing is 0.01"},
		"inconclusive":    {[]string{"-base-bin", self, "-inconclusive", "maybe"}, `-inconclusive is "maybe"`},
		"no waivers":      {[]string{"-base-bin", self, "-waivers", filepath.Join(dir, "none")}, "no such file"},
		"an ended waiver": {[]string{"-base-bin", self, "-waivers", ended}, "ended on 2020-01-01"},
	} {
		t.Run(name, func(t *testing.T) {
			exit, out, stderr := netbench(t, t.Context(), append([]string{"gate"}, tc.args...)...)
			assert.Equal(t, results.ExitBadInput, exit)
			assert.Empty(t, out)
			assert.Contains(t, stderr, tc.want)
			assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
		})
	}
}

// short is a gate of one row that takes seconds.
var short = []string{"-rows", "Echo/model=reactor/conns=10/size=1024:cpu+syscalls+allocs", "-rounds", "2", "-slice", "10ms", "-slices", "4"}

func TestAGateOfOneProgramAgainstItselfSaysSo(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("CPU time of other processes needs Linux")
	}
	unpinned(t)
	self, err := os.Executable()
	require.NoError(t, err)
	samples := t.TempDir()
	args := append([]string{"gate", "-base-bin", self, "-head-bin", self, "-json", "-samples", samples, "-seed", "7"}, short...)
	exit, out, stderr := netbench(t, t.Context(), args...)
	require.Equal(t, results.ExitUndecided, exit, stderr) // two rounds decide nothing
	var r gate.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	assert.Equal(t, gate.Inconclusive, r.Verdict)
	assert.True(t, r.Same)
	assert.EqualValues(t, 7, r.Seed)
	require.NotNil(t, r.Canary)
	require.NotNil(t, r.Fingerprint)
	require.Len(t, r.Rows, 3)
	for _, row := range r.Rows {
		if row.Unit == "server-cpu-ns/op" {
			assert.Equal(t, 2, row.N, row.Warnings)
			require.NotNil(t, row.Effect)
		}
	}
	assert.Contains(t, r.Again, "-seed=7")
	runs, err := filepath.Glob(filepath.Join(samples, "*.txt"))
	require.NoError(t, err)
	require.Len(t, runs, 2, "a file for each arm")
}

// A program that dies under load is a failure of head, and no verdict if it is base.
func TestAnArmThatDiesIsHeldAgainstIt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("CPU time of other processes needs Linux")
	}
	unpinned(t)
	self, err := os.Executable()
	require.NoError(t, err)
	counter := filepath.Join(t.TempDir(), "starts")
	mortal := filepath.Join(t.TempDir(), "netbench")
	// The first start is to see whether it serves at all.
	script := "#!/bin/sh\necho >>" + counter + "\n[ $(wc -l <" + counter + ") -gt 1 ] && (sleep 0.4; kill -9 $$) &\nexec " + self + "\n"
	require.NoError(t, os.WriteFile(mortal, []byte(script), 0o700))
	longer := append([]string{"-slice", "100ms"}, short[:4]...)
	for want, arms := range map[int][]string{
		results.ExitFailed:    {"-base-bin", self, "-head-bin", mortal},
		results.ExitUndecided: {"-base-bin", mortal, "-head-bin", self},
	} {
		_ = os.Remove(counter)
		exit, out, stderr := netbench(t, t.Context(), append(append([]string{"gate"}, arms...), longer...)...)
		assert.Equal(t, want, exit, "%s%s", out, stderr)
		assert.Contains(t, out, "failed in 2 of 2 rounds")
	}
}

func TestAGateLeavesTheCheckoutAsItWas(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git")
	}
	dir := t.TempDir()
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-c", "user.name=x", "-c", "user.email=x@y"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	git("init", "-q")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module m\n\ngo 1.26\n"), 0o600))
	git("add", ".")
	git("commit", "-qm", "a")
	t.Chdir(dir)
	t.Setenv("TMPDIR", t.TempDir())
	for _, tc := range []struct{ ref, want string }{
		{"moon", `base: "moon" is not a commit here`},
		{"HEAD", "base does not build: exit status 1"},
	} {
		exit, _, stderr := netbench(t, t.Context(), "gate", "-base", tc.ref)
		assert.Equal(t, results.ExitBadInput, exit)
		assert.Contains(t, stderr, tc.want)
		assert.Equal(t, 1, strings.Count(git("worktree", "list"), "\n"), "no worktree is left")
		left, err := os.ReadDir(os.Getenv("TMPDIR"))
		require.NoError(t, err)
		assert.Empty(t, left)
	}
}
