//go:build ci

package cli

import (
	"encoding/json"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gate"
	"netbench/results"
)

// It opens 24,000 connections, as both arms hold a fifth of a row's and then all of
// them, in two rounds.
func TestLongIdleRowsMeasureMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory of other processes needs Linux")
	}
	unpinned(t)
	self, err := os.Executable()
	require.NoError(t, err)
	exit, out, stderr := netbench(t, t.Context(), "gate", "-base-bin", self, "-head-bin", self, "-json",
		"-rows", "Idle/model=reactor/conns=5000:memory", "-rounds", "2", "-slice", "10ms", "-slices", "4")
	require.Equal(t, results.ExitUndecided, exit, "%s%s", out, stderr) // two rounds decide nothing
	var r gate.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	require.Len(t, r.Rows, 1)
	assert.Equal(t, "user-B/conn", r.Rows[0].Unit)
	require.NotNil(t, r.Rows[0].Base)
	assert.Greater(t, *r.Rows[0].Base, 32.0)
	assert.Less(t, *r.Rows[0].Base, 4096.0)
}
