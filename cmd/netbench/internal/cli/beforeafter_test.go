package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile/beforeafter"
	"netbench/results"
)

func TestBeforeAfterRefusesBadInputInOneLine(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"rate zero":     {[]string{"-rate", "0"}, `-rate is 0 (want more than 0, or leave it out for the default)`},
		"rate below":    {[]string{"-rate", "-5"}, "rate is -5"},
		"rate no such":  {[]string{"-rate", "fast"}, `invalid value "fast" for flag -rate`},
		"rate NaN":      {[]string{"-rate", "NaN"}, "rate is NaN"},
		"share":         {[]string{"-share", "1"}, "share is 1 (want a share of the naive service's capacity"},
		"no products":   {[]string{"-products", "0"}, `-products is 0 (`},
		"products":      {[]string{"-products", "99999999"}, "products is 99999999 (want 1 to 5000000)"},
		"rounds":        {[]string{"-rounds", "-1"}, "rounds is -1"},
		"block":         {[]string{"-block", "1ns"}, "block is 1ns (want 100ms to 1h)"},
		"no warm-up":    {[]string{"-warmup", "0"}, `-warmup is 0s (`},
		"gogc":          {[]string{"-gogc", "-1"}, `GOGC is "-1"`},
		"no gogc":       {[]string{"-gogc", ""}, `-gogc is empty (`},
		"limit":         {[]string{"-memlimit", "lots"}, `GOMEMLIMIT is "lots"`},
		"no collection": {[]string{"-memlimit", "off", "-gogc", "off"}, "nothing would ever be collected"},
		"directory":     {[]string{"-dir", filepath.Join("/dev/null", "runs")}, "directory"},
		"argument":      {[]string{"now"}, `unexpected argument "now"`},
	} {
		t.Run(name, func(t *testing.T) {
			unpinned(t)
			exit, out, stderr := netbench(t, t.Context(), append([]string{"beforeafter"}, tc.args...)...)
			assert.Equal(t, results.ExitBadInput, exit)
			assert.Contains(t, stderr, tc.want)
			assert.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %s", stderr)
			assert.Empty(t, out)
		})
	}
}

func TestBeforeAfterPrintsJSONAndKeepsARun(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the exit code is that of Linux, where all can be measured")
	}
	unpinned(t)
	dir := t.TempDir()
	exit, out, stderr := netbench(t, t.Context(), "beforeafter", "-products", "1000", "-rate", "200",
		"-rounds", "1", "-block", "200ms", "-warmup", "50ms", "-json", "-dir", dir)
	assert.Equal(t, results.ExitUndecided, exit, "one round has no interval: %s", stderr)
	var report beforeafter.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	assert.Equal(t, 1, report.Rounds)
	assert.Equal(t, 200.0, report.Rate)
	assert.Len(t, report.Blocks, 2)
	assert.Equal(t, beforeafter.Collector{GOGC: "100", GOMEMLIMIT: "off"}, report.Naive)
	assert.Equal(t, beforeafter.DefaultCollector, report.Tuned)
	assert.Contains(t, stderr, "round 1 of 1, naive: ")
	runs, err := results.Latest(dir, 1)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.NoError(t, runs[0].Complete())
	assert.Len(t, runs[0].Results, 2)
}

func TestBeforeAfterThatIsInterruptedCouldNotDecide(t *testing.T) {
	unpinned(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	dir := t.TempDir()
	exit, out, stderr := netbench(t, ctx, "beforeafter", "-products", "1000", "-rate", "100", "-block", "1m", "-dir", dir)
	assert.Equal(t, results.ExitUndecided, exit)
	assert.Contains(t, stderr, "interrupted")
	assert.Empty(t, out)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "there was nothing to keep")
}
