//go:build proof

package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gate"
	"netbench/results"
)

// A commit that makes the echo slower is found among others that do not, one of
// which does not even build.
func TestProofBisectFindsTheCommitThatMadeItSlower(t *testing.T) {
	unpinned(t)
	top, err := filepath.Abs(root)
	require.NoError(t, err)
	clone := filepath.Join(t.TempDir(), "clone")
	git := func(dir string, args ...string) string {
		cmd := exec.Command("git", append([]string{"-c", "user.name=x", "-c", "user.email=x@y"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return strings.TrimSpace(string(out))
	}
	git(top, "clone", "-q", top, clone)
	commit := func(message, file string, change func(text string) string) string {
		path := filepath.Join(clone, file)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		changed := change(string(text))
		require.NotEqual(t, string(text), changed)
		require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
		git(clone, "commit", "-qam", message)
		return git(clone, "rev-parse", "HEAD")
	}
	note := func(message string) {
		commit(message, "models/service.go", func(text string) string { return text + "\n// " + message + "\n" })
	}
	good := git(clone, "rev-parse", "HEAD")
	note("one")
	commit("broken", "models/echo.go", func(text string) string { return text + "\nbroken\n" })
	commit("mended", "models/echo.go", func(text string) string { return strings.TrimSuffix(text, "\nbroken\n") })
	slow := commit("slower", "models/echo.go", func(text string) string {
		return strings.Replace(text, "Step(in, out []byte) (int, []byte, Next) {\n",
			"Step(in, out []byte) (int, []byte, Next) {\n\tfor range 600 {\n\t\tsink ^= sink<<13 ^ uint64(len(in))\n\t}\n", 1) + "\nvar sink uint64 = 1\n"
	})
	note("two")
	note("three")
	t.Chdir(clone)
	t.Setenv("TMPDIR", t.TempDir())
	exit, out, stderr := netbench(t, t.Context(), "bisect", "-good", good, "-row", "Echo/model=reactor/conns=100/size=1024", "-rounds", "10", "-json")
	t.Log(stderr)
	require.Equal(t, results.ExitGood, exit, out)
	var r gate.Bisected
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Len(t, r.Candidates, 1)
	assert.Equal(t, slow, r.Candidates[0].Hash)
	require.NotNil(t, r.Own)
	require.NotNil(t, r.Own.Effect)
	assert.Greater(t, *r.Own.Effect, 0.0)
	assert.Equal(t, 1, strings.Count(git(clone, "worktree", "list")+"\n", "\n"), "no worktree is left")
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
