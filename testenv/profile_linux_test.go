package testenv

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/profiles"
)

func TestAServerTakesItsOwnProfilesOnRequest(t *testing.T) {
	leaveNothing(t)
	dir := t.TempDir()
	s := startServer(t, ServerSpec{Model: "echo"})
	assert.ErrorContains(t, s.EndProfiles(t.Context()), "begin first")
	require.NoError(t, s.BeginProfiles(t.Context(), dir, profiles.CPU, profiles.Heap))
	assert.ErrorContains(t, s.BeginProfiles(t.Context(), dir, profiles.Heap), "already")
	exchange(t, dial(t, s), 100)
	require.NoError(t, s.EndProfiles(t.Context()))
	for _, k := range []profiles.Kind{profiles.CPU, profiles.Heap} {
		info, err := os.Stat(filepath.Join(dir, k.FileName()))
		require.NoError(t, err)
		assert.Positive(t, info.Size())
	}
	assert.ErrorContains(t, s.BeginProfiles(t.Context(), filepath.Join(dir, "none"), profiles.CPU), "no such file")
	unended := t.TempDir()
	require.NoError(t, s.BeginProfiles(t.Context(), unended, profiles.CPU, profiles.Trace))
	require.NoError(t, s.Stop(t.Context()))
	entries, err := os.ReadDir(unended)
	require.NoError(t, err)
	assert.Empty(t, entries, "of profiles that nobody ended")

	family := startServer(t, ServerSpec{Model: "parent"})
	assert.ErrorContains(t, family.BeginProfiles(t.Context(), dir, profiles.Heap), "several processes")
	require.NoError(t, family.Stop(t.Context()))
}
