package gitenv_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/gitenv"
	"netbench/internal/needs"
)

func TestNothingThatTellsOfARepositoryIsPassedOn(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		needs.Skip(t, needs.Git, err)
	}
	out, err := exec.Command("git", "rev-parse", "--local-env-vars").Output()
	require.NoError(t, err)
	names := strings.Fields(string(out))
	require.Contains(t, names, "GIT_INDEX_FILE")
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "GIT_CONFIG") })
	for _, name := range names {
		t.Setenv(name, "elsewhere")
	}
	t.Setenv("GIT_AUTHOR_NAME", "somebody")
	env := gitenv.Environ("LC_ALL=C")
	for _, name := range names {
		assert.NotContains(t, env, name+"=elsewhere")
	}
	assert.Contains(t, env, "GIT_AUTHOR_NAME=somebody")
	assert.Equal(t, "LC_ALL=C", env[len(env)-1])
}
