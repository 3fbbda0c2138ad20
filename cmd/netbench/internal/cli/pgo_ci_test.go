//go:build ci

package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gate"
	"netbench/internal/profiles"
	"netbench/results"
)

// TestToolchainPGO builds this program twice, which takes minutes where nothing of the
// guided build is cached.
func TestToolchainPGO(t *testing.T) {
	unpinned(t)
	const row = "Echo/model=goroutine/conns=100/size=1024"
	dir := t.TempDir()
	exit, _, stderr := netbench(t, t.Context(), "profile", "-bench", strings.ReplaceAll(row, "/", "$/")+"$",
		"-time", "2s", "-kinds", "cpu", "-top", "0", "-dir", dir)
	require.Equal(t, results.ExitGood, exit, stderr)
	taken, err := filepath.Glob(filepath.Join(dir, "*.profiles", "*", profiles.CPU.FileName()))
	require.NoError(t, err)
	require.Len(t, taken, 1)
	exit, out, stderr := netbench(t, t.Context(), "pgo", "-profile", taken[0], "-rows", row, "-rounds", "5", "-slices", "4", "-json")
	if exit != results.ExitUndecided { // on a busy machine too few rounds count
		require.Equal(t, results.ExitGood, exit, stderr)
	}
	var r gate.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r), stderr)
	require.Len(t, r.Rows, 1)
	assert.Equal(t, row, r.Rows[0].Name)
	assert.NotEqual(t, r.Arms[0].Hash, r.Arms[1].Hash, "two builds of one tree")
	assert.Equal(t, "pgo-off", r.Arms[0].Name)
	assert.Equal(t, "pgo-on", r.Arms[1].Name)
	if exit == results.ExitGood {
		assert.Positive(t, *r.Rows[0].Base)
		assert.Positive(t, *r.Rows[0].Head)
		assert.LessOrEqual(t, *r.Rows[0].Lo, *r.Rows[0].Hi)
	}
}
