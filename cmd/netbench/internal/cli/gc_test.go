package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile"
	"netbench/results"
)

// gc runs netbench gc.
func gc(ctx context.Context, args ...string) (exit int, out, messages string) {
	var stdout, stderr bytes.Buffer
	exit = Run(ctx, append([]string{"gc"}, args...), nil, &stdout, &stderr)
	return exit, stdout.String(), stderr.String()
}

func TestGCRefusesBadInputInOneLineBeforeAnythingIsStarted(t *testing.T) {
	for says, line := range map[string]string{
		"is not above the live set of 64.0MiB":      "-live 64MiB -settings off@0.9",
		"is not above the live set of 1.00GiB":      "-live 1GiB -settings 100@512MiB",
		"-rate is 0 (want more than 0, or leave it": "-rate 0",
		"the rate is -3 requests a second":          "-rate -3",
		"the rate is NaN":                           "-rate NaN",
		"live is 3221225472 bytes (want 0 to 2GiB)": "-live 3GiB",
		"-live: \"lots\" is not a size":             "-live lots",
		"does not fit: MemAvailable leaves":         "-live 2GiB -settings 99999",
		"objects is \"round\" (want small or large": "-objects round",
		"alloc is \"much\" (want none, small":       "-alloc much",
		"GOGC is \"often\"":                         "-settings often",
		"GOGC=off without a memory limit":           "-settings off",
		"GOGC=100 is given twice":                   "-settings 100,100",
		"-model \"ring\" is unknown":                "-model ring",
		"-share is 0":                               "-share 0",
		"the share of the capacity is 2":            "-share 2",
		"-blocks is 0":                              "-blocks 0",
		"-min-block is 3s and -max-block 1s":        "-min-block 3s -max-block 1s",
		"a memory budget of 64.0MiB is not above":   "-live 64MiB -budget 64MiB",
		"-budget is \"cheap\"":                      "-budget cheap",
		"the p99 goal is -1s":                       "-p99 -1s",
		"unexpected argument":                       "now",
	} {
		exit, out, messages := gc(t.Context(), strings.Fields(line)...)
		assert.Equal(t, results.ExitBadInput, exit, line)
		assert.Empty(t, out, line)
		assert.Contains(t, messages, says)
		assert.Equal(t, 1, strings.Count(messages, "\n"), messages)
	}
}

// quickGC measures for a second or two.
const quickGC = "-live 4MiB -alloc 16KiB -rate 200 -conns 4 -settings 100,off@4 -collections 1 -warm 10ms -min-block 100ms -max-block 200ms -blocks 3"

func TestGCPrintsATableAndARecommendation(t *testing.T) {
	exit, out, messages := gc(t.Context(), strings.Fields(quickGC+" -budget 1GiB")...)
	require.Equal(t, results.ExitGood, exit, messages)
	assert.Contains(t, messages, "seed 1\n")
	assert.Contains(t, messages, "round 3 of 3, 2 of 2")
	assert.Regexp(t, `(?m)^GOGC=100 +3 `, out)
	assert.Regexp(t, `(?m)^GOGC=off GOMEMLIMIT=16MiB +3 `, out)
	assert.Regexp(t, `(?m)^recommendation: GOGC=`, out)
}

func TestGCPrintsOneObjectAndTellsByItsExitCodeThatNoSettingKeepsAGoal(t *testing.T) {
	exit, out, messages := gc(t.Context(), strings.Fields(quickGC+" -budget 5MiB -json -seed 9")...)
	require.Equal(t, results.ExitFailed, exit, messages)
	var r gcprofile.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	assert.EqualValues(t, 9, r.Seed)
	assert.Equal(t, 200.0, r.Drive.Rate)
	require.Len(t, r.Rows, 2)
	assert.Len(t, r.Rows[1].Blocks, 3)
	assert.Positive(t, *r.Rows[1].PeakRSS.Value)
	require.NotNil(t, r.Recommendation)
	assert.Equal(t, gcprofile.None, r.Recommendation.Answer, "a program alone is larger")
}

func TestGCIsUndecidedWithTooFewBlocksAndWhenInterrupted(t *testing.T) {
	exit, out, _ := gc(t.Context(), strings.Fields(quickGC+" -blocks 1 -budget 1GiB")...)
	assert.Equal(t, results.ExitUndecided, exit)
	assert.Contains(t, out, "2 of 2 could not be judged")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	exit, out, messages := gc(ctx, strings.Fields(quickGC)...)
	assert.Equal(t, results.ExitUndecided, exit)
	assert.Empty(t, out)
	assert.Contains(t, messages, "interrupted")
}

func TestServeKnowsTheServiceWithAHeap(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it serves, and drains at once
	var stdout, stderr bytes.Buffer
	exit := Run(ctx, strings.Fields("serve -service heap+live=1MiB+alloc=small"), nil, &stdout, &stderr)
	require.Equal(t, results.ExitGood, exit, stderr.String())
	assert.Contains(t, stdout.String(), "/json  (heap+live=1MiB+objects=small+alloc=small on goroutine")
}
