package results

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func formatFloat(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func TestReadTellsBadFilesApart(t *testing.T) {
	whole, err := os.ReadFile(aRun(t, t.TempDir(), aHost(), "BenchmarkEcho-2 1 1 ns/op"))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		data string
		is   error
		says string
	}{
		"prose":              {"Dear diary,\nnothing to report: none.\n", ErrForeign, "not in Go benchmark format"},
		"empty":              {"", ErrForeign, "not in Go benchmark format"},
		"binary":             {"\x7fELF\x02\x01\x01\x00\xff\xfe" + strings.Repeat("\x00", 1<<17), ErrForeign, "not in Go benchmark format"},
		"plain go test":      {"goos: linux\nBenchmarkEcho-2 1 1 ns/op\nPASS\n", ErrForeign, "netbench record"},
		"newer":              {strings.Replace(string(whole), "netbench-run: 1", "netbench-run: 2", 1), ErrNewer, "update netbench"},
		"schema of nonsense": {strings.Replace(string(whole), "netbench-run: 1", "netbench-run: one", 1), ErrForeign, "netbench record"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.txt")
			require.NoError(t, os.WriteFile(path, []byte(c.data), 0o644))
			_, err := Read(path)
			require.ErrorIs(t, err, c.is)
			assert.ErrorContains(t, err, c.says)
			assert.ErrorContains(t, err, path)
			assert.NotContains(t, err.Error(), "\n", "one line")
		})
	}
	_, err = Read(filepath.Join(t.TempDir(), "nowhere.txt"))
	assert.ErrorIs(t, err, ErrMissing)
	_, err = Read(t.TempDir())
	assert.ErrorContains(t, err, "cannot read the run")
}

func TestReadFindsEveryCutOfAFile(t *testing.T) {
	path := aRun(t, t.TempDir(), aHost(), "BenchmarkEcho-2 100 12 ns/op", "BenchmarkEcho-2 100 13 ns/op")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for n := range len(whole) - 1 { // the last line end alone may be missing
		run, err := parse("a.txt", whole[:n])
		if err != nil {
			assert.ErrorIs(t, err, ErrForeign, "cut at %d", n)
			continue
		}
		assert.True(t, run.Partial, "cut at %d of %d", n, len(whole))
		assert.NotEmpty(t, run.Reason)
		if _, err := parse("a.txt.partial", whole[:n]); err != nil {
			assert.ErrorIs(t, err, ErrPartial)
		}
	}
	run, err := parse("a.txt", whole)
	require.NoError(t, err)
	assert.False(t, run.Partial)
	_, err = parse("a.txt.partial", nil)
	assert.ErrorIs(t, err, ErrPartial)
}

func TestReadFindsWhatWasTakenOutOrDamaged(t *testing.T) {
	path := aRun(t, t.TempDir(), aHost(), "BenchmarkEcho-2 100 12 ns/op", "BenchmarkEcho-2 100 13 ns/op")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	whole := string(data)
	for name, c := range map[string]struct{ data, says string }{
		"a result is gone":       {strings.Replace(whole, "BenchmarkEcho-2 100 12 ns/op\n", "", 1), "promises 2 results and holds 1"},
		"a result is doubled":    {strings.Replace(whole, "BenchmarkEcho-2 100 12 ns/op\n", "BenchmarkEcho-2 100 12 ns/op\nBenchmarkEcho-2 100 12 ns/op\n", 1), "promises 2 results and holds 3"},
		"a number is broken":     {strings.Replace(whole, "100 12 ns/op", "100 1#2 ns/op", 1), "is damaged"},
		"a line is far too long": {whole + "# " + strings.Repeat("x", 1<<17) + "\n", "cannot be read to its end"},
	} {
		t.Run(name, func(t *testing.T) {
			run, err := parse("a.txt", []byte(c.data))
			require.NoError(t, err)
			assert.True(t, run.Partial)
			assert.Contains(t, run.Reason, c.says)
		})
	}
	run, err := parse("a.txt.partial", data)
	require.NoError(t, err)
	assert.True(t, run.Partial, "the rename is missing")
}

func TestReadAcceptsCRLFAndSeveralRunsInARow(t *testing.T) {
	path := aRun(t, t.TempDir(), aHost(), "BenchmarkEcho-2 100 12 ns/op")
	data, err := os.ReadFile(path)
	require.NoError(t, err)

	run, err := parse("a.txt", []byte(strings.ReplaceAll(string(data), "\n", "\r\n")))
	require.NoError(t, err)
	assert.NoError(t, run.Complete())
	assert.Equal(t, "Linux 6.18.44", run.Fact("kernel"))
	assert.Len(t, run.Results, 1)

	run, err = parse("a.txt", append(data, data...))
	require.NoError(t, err)
	assert.NoError(t, run.Complete())
	assert.Len(t, run.Results, 2)

	run, err = parse("a.txt", append(data, data[:len(data)/2]...))
	require.NoError(t, err)
	assert.True(t, run.Partial, "the second is cut")
}

func TestListSortsByTimeAndNamesPartialRuns(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"20261121T010203.000Z-nogit.txt", "20251121T010203.000Z-0123456.txt", "20261121T010202.999Z-abcdef0.txt.partial",
		"notes.txt", "20261321T010203.000Z-nogit.txt", "20261121T010203.000Z-xyz.txt", ".gitignore",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "20271121T010203.000Z-nogit.txt"), 0o755))
	entries, err := List(dir)
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprint(e.Time.Format("2006-01-02T15:04:05.000"), " ", e.Commit, " ", e.Partial))
	}
	assert.Equal(t, []string{"2025-11-21T01:02:03.000 0123456 false", "2026-11-21T01:02:02.999 abcdef0 true", "2026-11-21T01:02:03.000  false"}, got)

	entries, err = List(filepath.Join(dir, "nowhere"))
	assert.NoError(t, err)
	assert.Empty(t, entries)
}

func TestLatestPassesOverRunsThatAreNotWhole(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i := range 4 {
		paths = append(paths, aRun(t, dir, aHost(), fmt.Sprintf("BenchmarkEcho-2 100 %d ns/op", i)))
	}
	w, err := Create(dir, aHost())
	require.NoError(t, err)
	require.NoError(t, w.Abandon("interrupted"))
	data, err := os.ReadFile(paths[3])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(paths[3], data[:len(data)-10], 0o644)) // whole by name only

	runs, err := Latest(dir, 2)
	require.NoError(t, err)
	assert.Equal(t, paths[1:3], []string{runs[0].Path, runs[1].Path}, "oldest first")

	_, err = Latest(dir, 4)
	assert.ErrorIs(t, err, ErrTooFew)
	assert.ErrorContains(t, err, "holds 3 complete and 2 partial")
	_, err = Latest(filepath.Join(dir, "nowhere"), 1)
	assert.ErrorIs(t, err, ErrTooFew)
}
