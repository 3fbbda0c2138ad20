package cc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"netbench/internal/needs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var hello = Program{Name: "hello", Source: []byte("#include <stdio.h>\nint main(void) { puts(WORD); return 0; }\n"), Flags: []string{`-DWORD="hello"`}}

// needCompiler skips without cc, unless it is required.
func needCompiler(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		needs.Skip(t, needs.CC, err)
	}
}

// freshCache gives the test a cache of its own.
func freshCache(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir) // Unix
	t.Setenv("HOME", dir)           // macOS
	t.Setenv("LocalAppData", dir)   // Windows
	return dir
}

func TestBuildCompilesOnceAndThenFindsTheProgram(t *testing.T) {
	needCompiler(t)
	dir := freshCache(t)
	first, err := Build(t.Context(), hello)
	require.NoError(t, err)
	assert.False(t, first.Cached)
	assert.True(t, strings.HasPrefix(first.Path, dir), "%s is in the cache", first.Path)
	assert.NotEmpty(t, first.Compiler)
	out, err := exec.Command(first.Path).Output()
	require.NoError(t, err)
	assert.Equal(t, "hello\n", string(out))

	require.NoError(t, first.Remove())
	second, err := Build(t.Context(), hello)
	require.NoError(t, err)
	assert.True(t, second.Cached, "Remove leaves the cache alone")
	assert.Equal(t, first.Path, second.Path)

	left, err := filepath.Glob(filepath.Join(filepath.Dir(first.Path), ".*"))
	require.NoError(t, err)
	assert.Empty(t, left, "nothing but programs is left behind")
}

func TestBuildCompilesAnewWhenSourceOrFlagsChange(t *testing.T) {
	needCompiler(t)
	freshCache(t)
	a, err := Build(t.Context(), hello)
	require.NoError(t, err)
	other := hello
	other.Flags = []string{`-DWORD="goodbye"`}
	b, err := Build(t.Context(), other)
	require.NoError(t, err)
	other.Source = append([]byte("/* changed */\n"), other.Source...)
	c, err := Build(t.Context(), other)
	require.NoError(t, err)
	assert.False(t, b.Cached)
	assert.False(t, c.Cached)
	assert.Len(t, map[string]bool{a.Path: true, b.Path: true, c.Path: true}, 3)
	out, err := exec.Command(b.Path).Output()
	require.NoError(t, err)
	assert.Equal(t, "goodbye\n", string(out))
}

func TestBuildUsesATemporaryDirectoryWhereThereIsNoCache(t *testing.T) {
	needCompiler(t)
	dir := freshCache(t)
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, file) // a file cannot hold a directory
	}
	b, err := Build(t.Context(), hello)
	require.NoError(t, err)
	assert.False(t, b.Cached)
	require.NoError(t, exec.Command(b.Path).Run())
	require.NoError(t, b.Remove())
	_, err = os.Stat(filepath.Dir(b.Path))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestBuildSaysWhatIsMissingWithoutCompiler(t *testing.T) {
	freshCache(t)
	t.Setenv("PATH", t.TempDir())
	_, err := Build(t.Context(), hello)
	require.ErrorIs(t, err, ErrNoCompiler)
	assert.ErrorContains(t, err, "compile hello: no C compiler: there is no cc in PATH (install gcc or clang")
}

func TestBuildShowsWhatTheCompilerRefused(t *testing.T) {
	needCompiler(t)
	dir := freshCache(t)
	_, err := Build(t.Context(), Program{Name: "broken", Source: []byte("int main(void) { return undeclared; }\n")})
	require.ErrorContains(t, err, "compile broken: ")
	assert.ErrorContains(t, err, "undeclared")
	assert.NotErrorIs(t, err, ErrNoCompiler)
	left, err := filepath.Glob(filepath.Join(dir, "netbench", "cc", "*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestBuildStopsWithItsContext(t *testing.T) {
	needCompiler(t)
	freshCache(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Build(ctx, hello)
	assert.True(t, errors.Is(err, context.Canceled), "%v", err)
}
