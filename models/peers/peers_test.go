package peers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/models/peers"
)

func TestNamesListEachEngineTwice(t *testing.T) {
	names := peers.Names()
	for _, name := range names {
		e, err := peers.Lookup(name)
		require.NoError(t, err)
		assert.Equal(t, strings.TrimSuffix(name, peers.Recommended), e.Name)
		assert.Contains(t, names, e.Name+peers.Recommended)
	}
}

func TestVersionsAreThoseOfTheModuleThatIsBuilt(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join("engines", "go.mod"))
	require.NoError(t, err)
	for _, name := range peers.Names() {
		e, err := peers.Lookup(name)
		require.NoError(t, err)
		assert.Contains(t, string(mod), e.Module+" "+e.Version+"\n", name)
	}
}

func TestAnUnknownPeerIsRefusedWithTheKnownOnes(t *testing.T) {
	_, err := peers.Build(t.Context(), "libevent")
	require.ErrorContains(t, err, `"libevent"`)
	require.ErrorContains(t, err, "gnet-recommended")
}

func TestBuildSaysWhatTheHostLacks(t *testing.T) {
	empty := t.TempDir()
	for name, c := range map[string]struct{ path, source, want string }{
		"no go command":   {empty, "", "no go command"},
		"no sources":      {os.Getenv("PATH"), empty, "does not hold the sources"},
		"sources missing": {os.Getenv("PATH"), filepath.Join(empty, "nowhere"), "does not hold the sources"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", c.path)
			t.Setenv("NETBENCH_SOURCE", c.source)
			_, err := peers.Build(t.Context(), "gnet")
			require.ErrorIs(t, err, peers.ErrUnavailable)
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "\n", "it is one line")
		})
	}
}

func TestBuildShowsInOneLineWhatTheCompilerSays(t *testing.T) {
	root := t.TempDir()
	engine := filepath.Join(root, "models", "peers", "engines", "gnet")
	require.NoError(t, os.MkdirAll(engine, 0o755))
	for file, text := range map[string]string{
		"go.mod":                         "module netbench\n",
		"models/peers/engines/go.mod":    "module netbench/models/peers/engines\n\ngo 1.26\n",
		"models/peers/engines/gnet/x.go": "package main\n\nfunc main() { undefinedThing() }\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(root, file), []byte(text), 0o644))
	}
	t.Setenv("NETBENCH_SOURCE", root)
	_, err := peers.Build(t.Context(), "gnet")
	require.ErrorContains(t, err, "undefinedThing")
	assert.NotContains(t, err.Error(), "\n", "it is one line")
}

func TestEveryPeerDeclaresWhatItCannotDo(t *testing.T) {
	for _, name := range peers.Names() {
		declared := peers.Declared(name)
		assert.NotEmpty(t, declared, name)
		for _, d := range peers.Declarations(name) {
			assert.Contains(t, declared, d.Reason)
		}
		assert.NotContains(t, strings.Join(declared, ""), "\n", "each is one line")
	}
	assert.Nil(t, peers.Declared("libevent"))
}
