package results

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// repeated returns six results of each of two benchmarks whose values grow by
// factor.
func repeated(factor float64) []string {
	var lines []string
	for i := range 6 {
		wobble := 1 + float64(i)/100
		lines = append(lines, fmt.Sprintf("BenchmarkEcho/model=goroutine/conns=100-2 100 %.0f req/s %.0f p50-ns %.0f server-cpu-ns/op",
			80000/factor*wobble, 1000*factor*wobble, 5000*factor*wobble))
	}
	for i := range 6 {
		lines = append(lines, fmt.Sprintf("BenchmarkEcho/model=goroutine/conns=1000-2 100 %d req/s", 70000+i))
	}
	return lines
}

// twoRuns writes an old and a new run of one host, whose commit, date, load and
// one kernel setting differ.
func twoRuns(t *testing.T) (dir, before, after string) {
	t.Helper()
	dir = t.TempDir()
	a, b := aHost(), aHost()
	b.Start = b.Start.Add(time.Hour)
	b.Commit = "fedcba9876543210fedcba9876543210fedcba98"
	b.LoadAverage = []float64{7, 8, 9}
	b.Sysctls = map[string]string{"net.core.somaxconn": "65535", "net.ipv4.tcp_rmem": "4096 131072 6291456"}
	b.GoVersion = "go1.27"
	return dir, aRun(t, dir, a, repeated(1)...), aRun(t, dir, b, repeated(1.2)...)
}

func compare(t *testing.T, change func(*CompareOptions)) (out, log string, err error) {
	t.Helper()
	var o, e strings.Builder
	opts := CompareOptions{Out: &o, Err: &e, Verdict: "Ask the judge."}
	change(&opts)
	err = Compare(t.Context(), opts)
	return o.String(), e.String(), err
}

func TestBenchstatMakesOneTableOfTwoRunsOfAHost(t *testing.T) {
	_, before, after := twoRuns(t)
	command, err := benchstat(t.Context())
	require.NoError(t, err)
	out, err := exec.Command(command, before, after).CombinedOutput()
	require.NoError(t, err, "%s", out)
	text := string(out)
	assert.Equal(t, 1, strings.Count(text, "goos: linux"), "one set of tables:\n%s", text)
	assert.Equal(t, 3, strings.Count(text, "vs base"), "one table for each unit:\n%s", text)
	assert.Contains(t, text, "-16.67% (p=0.002 n=6)", "compared across the files")
	assert.NotContains(t, text, "commit")
	assert.NotContains(t, text, "kernel")
}

func TestBenchstatComparesBySubNames(t *testing.T) {
	_, _, after := twoRuns(t)
	command, err := benchstat(t.Context())
	require.NoError(t, err)
	out, err := exec.Command(command, "-col", "/conns", after).CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "│     100     │               1000                │", "names are configuration:\n%s", out)
}

func TestCompareShowsTableDifferencesAndScatter(t *testing.T) {
	dir, before, after := twoRuns(t)
	for name, change := range map[string]func(*CompareOptions){
		"two files":         func(o *CompareOptions) { o.Old, o.New = before, after },
		"the last two runs": func(o *CompareOptions) { o.Dir = dir },
	} {
		t.Run(name, func(t *testing.T) {
			out, log, err := compare(t, change)
			require.NoError(t, err)
			assert.Empty(t, log)
			golden(t, "compare.out", strings.ReplaceAll(out, dir, "DIR"))
		})
	}
}

func TestCompareTakesTheLastTwoCompleteRuns(t *testing.T) {
	dir, _, after := twoRuns(t)
	f := aHost()
	f.Start = f.Start.Add(2 * time.Hour)
	third := aRun(t, dir, f, repeated(1)...)
	f.Start = f.Start.Add(time.Hour)
	w, err := Create(dir, f)
	require.NoError(t, err)
	require.NoError(t, w.Abandon("interrupted"))
	out, _, err := compare(t, func(o *CompareOptions) { o.Dir = dir })
	require.NoError(t, err)
	assert.Contains(t, out, "old: "+after+" (")
	assert.Contains(t, out, "new: "+third+" (")
}

func TestCompareOfCSVKeepsTheTableClean(t *testing.T) {
	dir, _, _ := twoRuns(t)
	out, log, err := compare(t, func(o *CompareOptions) { o.Dir, o.Format = dir, "csv" })
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(out, "goos: linux\n"), out)
	assert.Contains(t, out, ",req/s,CI,req/s,CI,vs base,P")
	assert.NotContains(t, out, "scatter")
	assert.Contains(t, log, "scatter within a run")
	assert.Contains(t, log, "Ask the judge.")
}

func TestCompareSaysWhyARunIsDoubtful(t *testing.T) {
	dir, before, _ := twoRuns(t)
	f := aHost()
	f.Start, f.CPUModel = f.Start.Add(2*time.Hour), "Another CPU"
	w, err := Create(dir, f)
	require.NoError(t, err)
	require.NoError(t, w.Note(Note{Kind: Warning, Text: "the model fell back"}))
	require.NoError(t, w.Result("BenchmarkOther-2 1 5 req/s"))
	require.NoError(t, w.Fact(KeyValue{Key: "steal", Value: "0.0712"}))
	require.NoError(t, w.Commit())
	out, _, err := compare(t, func(o *CompareOptions) { o.Old, o.New = before, w.Path() })
	require.NoError(t, err)
	for _, want := range []string{
		"differs: cpu: Some CPU @ 2.60GHz -> Another CPU (hence tables of their own)",
		"warning: new: 7 % of the host's time went to other guests",
		"warning: new holds 1 warning",
		"No benchmark is in both runs.",
	} {
		assert.Contains(t, out, want)
	}
}

func TestCompareSaysThatScatterIsUnknownWithoutRepetitions(t *testing.T) {
	dir := t.TempDir()
	aRun(t, dir, aHost(), "BenchmarkEcho-2 1 5 req/s")
	aRun(t, dir, aHost(), "BenchmarkEcho-2 1 6 req/s")
	out, _, err := compare(t, func(o *CompareOptions) { o.Dir = dir })
	require.NoError(t, err)
	assert.Contains(t, out, "Scatter is not known")
	assert.NotContains(t, out, "differed from itself")
}

func TestCompareRefusesBadInputInOneLine(t *testing.T) {
	dir, before, _ := twoRuns(t)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	data, err := os.ReadFile(before)
	require.NoError(t, err)
	w, err := Create(t.TempDir(), aHost())
	require.NoError(t, err)
	require.NoError(t, w.Abandon("BenchmarkEcho-2: boom"))
	for name, c := range map[string]struct {
		old, new string
		says     string
	}{
		"missing":      {before, filepath.Join(dir, "nowhere.txt"), "no such run file"},
		"foreign":      {write("prose.txt", "Dear diary\n"), before, "not a run file"},
		"plain":        {write("plain.txt", "BenchmarkEcho-2 1 1 ns/op\n"), before, "netbench record"},
		"newer":        {write("newer.txt", strings.Replace(string(data), "run: 1", "run: 2", 1)), before, "newer netbench"},
		"half-written": {before, write("half.txt", string(data[:bytes.LastIndexByte(data[:len(data)/2], '\n')+1])), "partial run: half-written"},
		"partial":      {before, w.Path(), "partial run: BenchmarkEcho-2: boom"},
		"the same":     {before, before, "compared with itself"},
		"one":          {before, "", "one run"},
		"a directory":  {before, dir, "cannot read the run"},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := compare(t, func(o *CompareOptions) { o.Old, o.New = c.old, c.new })
			require.Error(t, err)
			assert.ErrorContains(t, err, c.says)
			assert.NotContains(t, err.Error(), "\n", "one line")
			assert.Empty(t, out, "nothing before the error")
		})
	}
	_, _, err = compare(t, func(o *CompareOptions) { o.Dir = t.TempDir() })
	assert.ErrorIs(t, err, ErrTooFew)
}

func TestCompareSaysWhereBenchstatWasLookedFor(t *testing.T) {
	_, before, after := twoRuns(t)
	t.Run("outside the checkout", func(t *testing.T) {
		t.Chdir(t.TempDir())
		path, err := exec.LookPath("go")
		require.NoError(t, err)
		t.Setenv("PATH", filepath.Dir(path)) // no benchstat beside it
		if _, err := exec.LookPath("benchstat"); err == nil {
			t.Skip("a benchstat is installed beside go")
		}
		_, _, err = compare(t, func(o *CompareOptions) { o.Old, o.New = before, after })
		assert.ErrorContains(t, err, "benchstat not found: go tool benchstat: ")
		assert.ErrorContains(t, err, "go install golang.org/x/perf/cmd/benchstat")
	})
	t.Run("without go", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, _, err := compare(t, func(o *CompareOptions) { o.Old, o.New = before, after })
		assert.ErrorContains(t, err, "go is not in PATH")
	})
	t.Run("from PATH", func(t *testing.T) {
		command, err := benchstat(t.Context())
		require.NoError(t, err)
		dir := t.TempDir()
		require.NoError(t, os.Symlink(command, filepath.Join(dir, "benchstat")))
		t.Setenv("PATH", dir)
		out, _, err := compare(t, func(o *CompareOptions) { o.Old, o.New = before, after })
		require.NoError(t, err)
		assert.Contains(t, out, "vs base")
	})
}

func TestCompareReportsWhatBenchstatReports(t *testing.T) {
	_, before, after := twoRuns(t)
	_, _, err := compare(t, func(o *CompareOptions) { o.Old, o.New, o.Format = before, after, "cuneiform" })
	assert.ErrorContains(t, err, "benchstat failed: -format must be text or csv")
}

func TestCompareEndsWithItsContext(t *testing.T) {
	_, before, after := twoRuns(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out strings.Builder
	err := Compare(ctx, CompareOptions{Old: before, New: after, Out: &out, Err: &out})
	assert.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, out.String())
}
