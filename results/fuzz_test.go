package results

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever a stream holds: no panic, and the file that is left can be read, says
// the same as the summary, and holds neither a damaged line nor one that is too
// long for other readers.
func FuzzRecord(f *testing.F) {
	files, err := filepath.Glob("testdata/streams/*.txt")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte("BenchmarkA-2 \tnetbench: config: a: b\n10\t1 ns/op\n"))
	f.Add([]byte("BenchmarkA 1 NaN x 0x1p5 y\r\nUnit x better=higher\nPASS"))
	f.Add([]byte("--- SKIP: B\n\t\n    \nBenchmark\u0085 1 1 x\nBenchmarkA\u2028-2 1 1 x\n"))
	f.Add([]byte("netbench: note: BenchmarkA: x\nnetbench: fact: netbench-run: 5\npanic: \ngoroutine 1"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		host := aHost()
		s, err := Record(t.Context(), RecordOptions{Dir: dir, In: bytes.NewReader(data), Out: io.Discard, Err: io.Discard, Fingerprint: &host})
		if err != nil {
			require.ErrorIs(t, err, ErrNoBenchmarks)
			require.Equal(t, ExitBadInput, s.Exit)
			require.Empty(t, s.Path)
			return
		}
		text, err := os.ReadFile(s.Path)
		require.NoError(t, err)
		require.NoError(t, os.Remove(s.Path))
		run, err := parse(s.Path, text)
		require.NoError(t, err)
		assert.Equal(t, s.Partial, run.Partial, "%s", run.Reason)
		assert.Equal(t, s.Reason, run.Reason)
		assert.Len(t, run.Results, s.Results)
		assert.Equal(t, Rows(run.Results), s.Rows)
		for line := range strings.Lines(string(text)) {
			assert.LessOrEqual(t, len(line), maxLine+1)
		}
	})
}

// Whatever a file holds: no panic, and an error is one of the known ones, in one
// line.
func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	w, err := Create(dir, aHost())
	require.NoError(f, err)
	require.NoError(f, w.Note(Note{Kind: Skip, Benchmark: "BenchmarkA", Text: "why"}))
	require.NoError(f, w.Result("BenchmarkEcho-2 100 12 ns/op"))
	require.NoError(f, w.Commit())
	whole, err := os.ReadFile(w.Path())
	require.NoError(f, err)
	f.Add(whole, false)
	f.Add(whole[:len(whole)/2], true)
	f.Add([]byte("# netbench-run: 1\n# netbench-end: partial results=0 why\n"), true)
	f.Add([]byte("# netbench-run: 99999999999999999999\n# netbench-end: complete results=-1\nUnit a b=c\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, partial bool) {
		path := "run.txt"
		if partial {
			path += suffixPartial
		}
		run, err := parse(path, data)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			for _, known := range []error{ErrForeign, ErrNewer, ErrPartial} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("an error of no kind: %v", err)
		}
		require.Equal(t, run.Partial, run.Reason != "")
		require.Equal(t, run.Partial, run.Complete() != nil)
		if partial {
			require.True(t, run.Partial, "the name says so")
		}
		Rows(run.Results)
	})
}
