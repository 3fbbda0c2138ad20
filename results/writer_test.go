package results

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRunAppearsWholeOnCommit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "for it")
	w, err := Create(dir, aHost())
	require.NoError(t, err)
	assert.Equal(t, []string{"20261121T010203.004Z-0123456.txt.partial"}, names(t, dir))
	require.NoError(t, w.Result("BenchmarkEcho-2 100 12 ns/op"))
	assert.Equal(t, []string{"20261121T010203.004Z-0123456.txt.partial"}, names(t, dir))
	require.NoError(t, w.Commit())
	assert.Equal(t, []string{"20261121T010203.004Z-0123456.txt"}, names(t, dir))
	assert.Equal(t, filepath.Join(dir, "20261121T010203.004Z-0123456.txt"), w.Path())
}

func TestRunComesBackAsItWasWritten(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir, aHost())
	require.NoError(t, err)
	require.NoError(t, w.Fact(KeyValue{Key: "pkg", Value: "netbench/models/goroutine", Config: true}))
	require.NoError(t, w.Fact(KeyValue{Key: "server-cpus", Value: "1"}))
	require.NoError(t, w.Result("BenchmarkEcho/model=goroutine-2 100 1500 p50-ns 81234 req/s"))
	notes := []Note{
		{Kind: Warning, Package: "netbench/models/goroutine", Benchmark: "BenchmarkEcho/model=goroutine-2", Text: "latency: late: by 3 ms"},
		{Kind: Skip, Package: "netbench/models/goroutine", Benchmark: "BenchmarkHTTP/conns=50000", Text: "needs 50000 descriptors"},
		{Kind: Info, Package: "netbench/models/goroutine", Text: "about no benchmark"},
	}
	for _, n := range notes {
		require.NoError(t, w.Note(n))
	}
	require.NoError(t, w.Commit())

	run, err := Read(w.Path())
	require.NoError(t, err)
	assert.NoError(t, run.Complete())
	assert.Equal(t, Schema, run.Schema)
	assert.Equal(t, notes, run.Notes)
	for _, kv := range aHost().Lines() {
		assert.Equal(t, kv.Value, run.Fact(kv.Key), kv.Key)
	}
	assert.Equal(t, "1", run.Fact("server-cpus"))
	assert.Equal(t, "", run.Fact("no-such-fact"))

	require.Len(t, run.Results, 1)
	res := run.Results[0]
	assert.Equal(t, "Echo/model=goroutine-2", res.Name.String())
	assert.Equal(t, "netbench/models/goroutine", res.GetConfig("pkg"))
	assert.Equal(t, "linux", res.GetConfig("goos"))
	for _, key := range []string{"commit", "date", "load-average", "kernel", "server-cpus", "netbench-run"} {
		assert.Empty(t, res.GetConfig(key), "%s would tear benchstat's table apart", key)
	}
	p50, ok := res.Value("p50-sec")
	assert.True(t, ok)
	assert.InDelta(t, 1500e-9, p50, 1e-15)
	assert.Equal(t, +1, run.Units.GetBetter("req/s"))
	assert.Equal(t, -1, run.Units.GetBetter("p50-ns"))
	assert.Equal(t, 0, run.Units.GetBetter("gen-cpu-%"))
}

func TestAbandonedRunStaysPartialWithItsReason(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir, aHost())
	require.NoError(t, err)
	require.NoError(t, w.Result("BenchmarkEcho-2 100 12 ns/op"))
	require.NoError(t, w.Abandon("the server\ncrashed"))
	assert.Equal(t, []string{"20261121T010203.004Z-0123456.txt.partial"}, names(t, dir))

	run, err := Read(w.Path())
	require.NoError(t, err)
	assert.True(t, run.Partial)
	assert.Equal(t, "the server crashed", run.Reason)
	assert.Len(t, run.Results, 1)
	assert.ErrorIs(t, run.Complete(), ErrPartial)
	assert.NotContains(t, run.Complete().Error(), "\n")
}

func TestDiscardedRunLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir, aHost())
	require.NoError(t, err)
	require.NoError(t, w.Discard())
	assert.Empty(t, names(t, dir))
	assert.ErrorIs(t, w.Discard(), ErrClosed)
}

func TestDiscardedRunTakesTheDirectoryAlongThatWasMadeForIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs")
	w, err := Create(dir, aHost())
	require.NoError(t, err)
	require.NoError(t, w.Discard())
	assert.NoDirExists(t, dir)
}

func TestClosedWriterRefusesEverything(t *testing.T) {
	w, err := Create(t.TempDir(), aHost())
	require.NoError(t, err)
	require.NoError(t, w.Commit())
	assert.ErrorIs(t, w.Result("BenchmarkEcho-2 1 1 ns/op"), ErrClosed)
	assert.ErrorIs(t, w.Note(Note{Kind: Info, Text: "x"}), ErrClosed)
	assert.ErrorIs(t, w.Fact(KeyValue{Key: "a", Value: "b"}), ErrClosed)
	assert.ErrorIs(t, w.Commit(), ErrClosed)
	assert.ErrorIs(t, w.Abandon("x"), ErrClosed)
}

func TestKilledWriterLeavesOnlyAPartialRun(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), writerDir+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	assert.NoError(t, err)
	assert.Equal(t, "written <nil>\n", line)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	found := names(t, dir)
	require.Equal(t, []string{"20261121T010203.004Z-0123456.txt.partial"}, found)
	run, err := Read(filepath.Join(dir, found[0]))
	require.NoError(t, err)
	assert.True(t, run.Partial)
	assert.Contains(t, run.Reason, "half-written")
	assert.Len(t, run.Results, 1, "what it had written is there")
	_, err = Latest(dir, 1)
	assert.ErrorIs(t, err, ErrTooFew)
}

func TestRunsOfTheSameMomentDoNotOverwriteEachOther(t *testing.T) {
	dir := t.TempDir()
	const n = 16
	paths := make([]string, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			w, err := Create(dir, aHost())
			if !assert.NoError(t, err) {
				return
			}
			// Some finish while others still look for a name.
			if assert.NoError(t, w.Result("BenchmarkEcho-2 1 "+strings.Repeat("1", i+1)+" ns/op")) {
				assert.NoError(t, w.Commit())
			}
			paths[i] = w.Path()
		})
	}
	all.Wait()
	assert.Len(t, names(t, dir), n)
	for i, path := range paths {
		run, err := Read(path)
		require.NoError(t, err)
		require.Len(t, run.Results, 1)
		assert.Equal(t, strings.Repeat("1", i+1), formatFloat(run.Results[0].Values[0].OrigValue))
	}
}

func TestCreateNamesARunByTimeAndCommit(t *testing.T) {
	f := aHost()
	f.Commit = ""
	w, err := Create(t.TempDir(), f)
	require.NoError(t, err)
	assert.Equal(t, "20261121T010203.004Z-nogit.txt.partial", filepath.Base(w.Path()))
	require.NoError(t, w.Discard())

	f.Commit = "../../../etc"
	dir := t.TempDir()
	_, err = Create(dir, f)
	assert.ErrorContains(t, err, "no run can be named")
	assert.Empty(t, names(t, dir))

	f = aHost()
	f.Start = time.Time{}
	w, err = Create(t.TempDir(), f)
	require.NoError(t, err)
	assert.Contains(t, filepath.Base(w.Path()), time.Now().UTC().Format("20060102T"))
	require.NoError(t, w.Discard())
}

func TestCreateSaysThatADirectoryIsInTheWay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err := Create(file, aHost())
	require.Error(t, err)
	assert.ErrorContains(t, err, "choose another")
}

func TestWriterRefusesWhatReadersWouldNotAccept(t *testing.T) {
	w, err := Create(t.TempDir(), aHost())
	require.NoError(t, err)
	for _, line := range []string{
		"", "ok", "BenchmarkEcho", "BenchmarkEcho-2 ten 12 ns/op", "BenchmarkEcho-2 10 12", "BenchmarkEcho-2 10",
		"BenchmarkEcho-2 10 12 ns/op\nBenchmarkEcho-2 10 12 ns/op", "Benchmark 10 12 ns/op", "Unit x better=lower",
		"BenchmarkEcho-2 10 12 " + strings.Repeat("u", maxLine),
	} {
		assert.Error(t, w.Result(line), "%q", line)
	}
	assert.Error(t, w.Note(Note{Kind: "gossip", Text: "x"}))
	require.NoError(t, w.Result("BenchmarkEcho-2 10 12 ns/op"), "it still works")
	require.NoError(t, w.Commit())
	run, err := Read(w.Path())
	require.NoError(t, err)
	assert.Len(t, run.Results, 1)
	assert.NoError(t, run.Complete())
}

func TestFactsAndNotesCannotBecomeSomethingElse(t *testing.T) {
	w, err := Create(t.TempDir(), aHost())
	require.NoError(t, err)
	nasty := "x\nBenchmarkForged-2 1 1 ns/op\r\n# netbench-end: complete results=0\nkey: value\x1b[2J\xff"
	require.NoError(t, w.Note(Note{Kind: Info, Benchmark: nasty, Text: nasty}))
	require.NoError(t, w.Note(Note{Kind: Info, Text: strings.Repeat("long", maxLine)}))
	require.NoError(t, w.Fact(KeyValue{Key: "netbench-end", Value: "complete results=0"}))
	require.NoError(t, w.Fact(KeyValue{Key: "note", Value: "not one"}))
	require.NoError(t, w.Fact(KeyValue{Key: "Some Key:", Value: nasty}))
	require.NoError(t, w.Fact(KeyValue{Key: "9", Value: "nine", Config: true}))
	require.NoError(t, w.Fact(KeyValue{Key: "absent", Value: " "}))
	require.NoError(t, w.Commit())

	run, err := Read(w.Path())
	require.NoError(t, err)
	assert.NoError(t, run.Complete())
	assert.Empty(t, run.Results)
	assert.Len(t, run.Notes, 2)
	assert.Equal(t, "complete results=0", run.Fact("x-netbench-end"))
	assert.Equal(t, "not one", run.Fact("x-note"))
	assert.Contains(t, run.Fact("some-key-"), "BenchmarkForged-2")
	assert.NotContains(t, run.Fact("some-key-"), "\x1b")
	assert.Equal(t, "nine", run.Fact("x-9"))
	assert.NotContains(t, run.Facts, KeyValue{Key: "absent"})
}

func TestConfigurationEndsByAnEmptyValue(t *testing.T) {
	w, err := Create(t.TempDir(), aHost())
	require.NoError(t, err)
	require.NoError(t, w.Fact(KeyValue{Key: "redis", Value: "stand-in", Config: true}))
	require.NoError(t, w.Result("BenchmarkA-2 1 1 ns/op"))
	require.NoError(t, w.Fact(KeyValue{Key: "redis", Config: true}))
	require.NoError(t, w.Result("BenchmarkB-2 1 1 ns/op"))
	require.NoError(t, w.Commit())
	run, err := Read(w.Path())
	require.NoError(t, err)
	assert.Equal(t, "stand-in", run.Results[0].GetConfig("redis"))
	assert.Equal(t, "", run.Results[1].GetConfig("redis"))
}

func TestWriterReportsAFullDisk(t *testing.T) {
	w, err := Create(t.TempDir(), aHost())
	require.NoError(t, err)
	require.NoError(t, w.file.Close()) // every write fails from here on, as on a full disk
	err = w.Result("BenchmarkEcho-2 1 1 ns/op")
	require.Error(t, err)
	assert.True(t, errors.Is(err, os.ErrClosed))
	assert.Error(t, w.Commit())
	assert.True(t, strings.HasSuffix(w.Path(), suffixPartial), "it did not get the name of a whole run")
	run, err := Read(w.Path())
	require.NoError(t, err)
	assert.True(t, run.Partial)
}
