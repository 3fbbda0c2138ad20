package results

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// poolRun is a run as netbench record makes it of a benchmark's output.
func poolRun(t *testing.T, dir string, later time.Duration, output ...string) string {
	t.Helper()
	f := aHost()
	f.Start = f.Start.Add(later)
	text := "goos: linux\ngoarch: amd64\npkg: example.org/pool\n" + strings.Join(output, "\n") + "\nPASS\nok  \texample.org/pool\t1.0s\n"
	s, err := Record(t.Context(), RecordOptions{Dir: dir, In: strings.NewReader(text), Out: io.Discard, Err: io.Discard, Fingerprint: &f})
	require.NoError(t, err)
	return s.Path
}

func TestCompareRefusesAStandInAgainstTheRealService(t *testing.T) {
	const (
		pool  = "BenchmarkPool/size=20-2 \t100\t 5.0 ns/op"
		other = "BenchmarkOther-2 \t100\t 7.0 ns/op"
	)
	mark, unmark := StandInLine("redis", "miniredis"), RealLine("redis")
	dir := t.TempDir()
	itself := poolRun(t, dir, 0, pool, other)
	standIn := poolRun(t, dir, time.Hour, mark, pool, unmark, other)
	again := poolRun(t, dir, 2*time.Hour, other, mark, pool, unmark)
	elsewhere := poolRun(t, dir, 3*time.Hour, mark, other, unmark)
	for _, tc := range []struct{ old, new, with, without string }{
		{itself, standIn, standIn, itself}, {standIn, itself, standIn, itself}, {elsewhere, standIn, elsewhere, standIn},
	} {
		out, _, err := compare(t, func(o *CompareOptions) { o.Old, o.New = tc.old, tc.new })
		require.ErrorContains(t, err, "with a stand-in (redis: miniredis)")
		assert.True(t, strings.HasPrefix(err.Error(), tc.with+": Benchmark"), err.Error())
		assert.ErrorContains(t, err, "in "+tc.without+" with the real one")
		assert.NotContains(t, err.Error(), "\n")
		assert.Empty(t, out, "no table")
	}
	_, _, err := compare(t, func(o *CompareOptions) { o.Old, o.New = standIn, again })
	assert.NoError(t, err, "two stand-ins may be compared")
	only := poolRun(t, dir, 4*time.Hour, other)
	_, _, err = compare(t, func(o *CompareOptions) { o.Old, o.New = standIn, only })
	assert.NoError(t, err, "the one benchmark that is in both needs no service")
}
