package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gate"
	"netbench/results"
)

func TestASelfTestOfTheDecisionTellsEveryNoise(t *testing.T) {
	page := filepath.Join(t.TempDir(), "gate.md")
	exit, out, stderr := netbench(t, t.Context(), "gate", "selftest", "-gates", "0", "-trials", "600", "-json", "-markdown", page)
	require.Equal(t, results.ExitGood, exit, "%s%s", out, stderr)
	var r gate.SelfReport
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	assert.Len(t, r.Simulated, 4*len(gate.Noises))
	assert.Len(t, r.Promises, 3)
	assert.Empty(t, r.Real)
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, noise := range gate.Noises {
		assert.Contains(t, string(text), "| "+noise.Name+" |")
	}
	assert.Contains(t, string(text), "netbench gate selftest -gates=0")
	assert.NotContains(t, string(text), "Real servers")
}

func TestBadInputOfSelfTestAndBisectIsOneLine(t *testing.T) {
	empty := t.TempDir()
	t.Chdir(empty)
	row := "Echo/model=reactor/conns=10/size=1024"
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"nothing to do":     {[]string{"gate", "selftest", "-gates", "0", "-trials", "0"}, "there is nothing to do"},
		"gates":             {[]string{"gate", "selftest", "-gates", "-1"}, "-gates is -1"},
		"no cpu":            {[]string{"gate", "selftest", "-gates", "0", "-trials", "1", "-row", row + ":allocs"}, "judged by its CPU time"},
		"not a checkout":    {[]string{"gate", "selftest", "-trials", "0"}, "is not in a git repository"},
		"no good":           {[]string{"bisect", "-row", row}, "-good is missing"},
		"no row":            {[]string{"bisect", "-good", "HEAD~1"}, "-row is missing"},
		"two metrics":       {[]string{"bisect", "-good", "HEAD~1", "-row", row + ":cpu+allocs"}, "want one row, with one metric"},
		"unknown row":       {[]string{"bisect", "-good", "HEAD~1", "-row", "moon"}, `row "moon" is unknown`},
		"bisect, no branch": {[]string{"bisect", "-good", "HEAD~1", "-row", row}, "is not in a git repository"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(tc.want, "git") {
				unpinned(t)
			}
			exit, out, stderr := netbench(t, t.Context(), tc.args...)
			assert.Equal(t, results.ExitBadInput, exit)
			assert.Empty(t, out)
			assert.Contains(t, stderr, tc.want)
			assert.Equal(t, 1, strings.Count(stderr, "netbench "+tc.args[0]), stderr)
		})
	}
}
