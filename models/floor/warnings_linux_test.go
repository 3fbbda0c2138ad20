package floor

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"netbench/internal/cc"
	"netbench/internal/needs"
)

func TestSourcesCompileWithoutAWarning(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // so that they are compiled
	for _, name := range Names() {
		p, err := source(name)
		require.NoError(t, err)
		p.Flags = append(p.Flags, "-Werror", "-Wshadow", "-Wvla", "-Wstrict-prototypes")
		_, err = cc.Build(t.Context(), p)
		if errors.Is(err, cc.ErrNoCompiler) {
			needs.Skip(t, needs.CC, err)
		}
		require.NoError(t, err)
	}
}
