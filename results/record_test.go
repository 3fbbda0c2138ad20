package results

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorded is what a recording left.
type recorded struct {
	Summary
	err      error
	out, log string
	run      *Run // nil if no file is left
}

// record records a stream in a bubble, in which time stands still unless
// everybody waits, so that durations are the same in every test.
func record(t *testing.T, in io.Reader, change ...func(*RecordOptions)) (r recorded) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var out, log strings.Builder
		host := aHost()
		o := RecordOptions{Dir: dir, In: in, Out: &out, Err: &log, Fingerprint: &host}
		for _, c := range change {
			c(&o)
		}
		r.Summary, r.err = Record(t.Context(), o)
		r.out, r.log = out.String(), log.String()
	})
	r.out = strings.ReplaceAll(r.out, dir, "DIR")
	files := names(t, dir)
	require.LessOrEqual(t, len(files), 1)
	if len(files) == 1 {
		var err error
		r.run, err = Read(filepath.Join(dir, files[0]))
		require.NoError(t, err)
		assert.Equal(t, r.Path, r.run.Path)
		assert.Equal(t, r.Partial, r.run.Partial)
		assert.Equal(t, r.Reason, r.run.Reason)
		assert.Len(t, r.run.Results, r.Results)
	} else {
		assert.Empty(t, r.Path)
	}
	return r
}

// stream is the recorded output of a go test in testdata/streams.
func streamFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "streams", name+".txt"))
	require.NoError(t, err)
	return string(data)
}

func TestRecordOfRealStreams(t *testing.T) {
	for name, c := range map[string]struct {
		exit    int
		results int
		reason  string
	}{
		"verbose":     {ExitGood, 8, ""},
		"quiet":       {ExitGood, 8, ""},
		"failing":     {ExitFailed, 2, "BenchmarkA/x=4: why; boom more (and 1 more failure)"},
		"failing-v":   {ExitFailed, 3, "BenchmarkA/x=4: why; boom more"},
		"build":       {ExitFailed, 1, "bt/broken [setup failed]: # bt/broken; broken/a_test.go:1:25: expected"},
		"exit":        {ExitFailed, 1, "bt/exitm failed: goleak: Errors on successful test run: found unexpected goroutines:"},
		"killed":      {ExitFailed, 1, "BenchmarkB-2: signal: killed"},
		"all-skipped": {ExitUndecided, 0, "every benchmark was skipped"},
		"race":        {ExitFailed, 0, "BenchmarkR: WARNING: DATA RACE; "},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, strings.NewReader(streamFile(t, name)))
			require.NoError(t, r.err)
			assert.Equal(t, c.exit, r.Exit)
			assert.Equal(t, c.results, r.Results)
			assert.Equal(t, c.reason, r.Reason[:min(len(c.reason), len(r.Reason))])
			assert.Equal(t, c.reason == "", r.Reason == "")
			require.NotNil(t, r.run)
			golden(t, filepath.Join("record", name+".out"), r.out)
			golden(t, filepath.Join("record", name+".log"), r.log)
			data, err := os.ReadFile(r.Path)
			require.NoError(t, err)
			_, body, _ := strings.Cut(string(data), "Unit steal-% assume=nothing\n")
			golden(t, filepath.Join("record", name+".run"), body[:strings.LastIndex(body, "# duration")])
		})
	}
}

func TestRecordDoesNotDependOnHowTheStreamArrives(t *testing.T) {
	for _, name := range []string{"verbose", "quiet", "failing", "failing-v"} {
		text := streamFile(t, name)
		whole := record(t, strings.NewReader(text))
		for how, in := range map[string]io.Reader{
			"byte by byte": iotest.OneByteReader(strings.NewReader(text)),
			"in halves":    iotest.HalfReader(strings.NewReader(text)),
			"with CRLF":    strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")),
			"with its end": iotest.DataErrReader(strings.NewReader(text)),
		} {
			r := record(t, in)
			assert.Equal(t, whole.out, r.out, "%s, %s", name, how)
			assert.Equal(t, whole.run.Notes, r.run.Notes, "%s, %s", name, how)
		}
	}
}

const goodStream = "goos: linux\ngoarch: amd64\npkg: bt\nBenchmarkA-2 \t     100\t        12.00 ns/op\n%sPASS\nok  \tbt\t1.000s\n"

func TestRecordRefusesWhatIsNoBenchmark(t *testing.T) {
	for name, c := range map[string]struct{ in, says string }{
		"nothing":        {"", "it is empty"},
		"prose":          {"Dear diary\n\nnothing\n", "3 lines, none of them a result"},
		"no match":       {"PASS\nok  \tbt\t0.002s\n", "does -bench match"},
		"go test -json":  {`{"Time":"2026-11-21T01:02:03Z","Action":"start","Package":"bt"}` + "\n", "leave out -json"},
		"NULs":           {strings.Repeat("\x00", 1<<20), "1 line, none"},
		"Benchmarking":   {"Benchmarking 1 2 things\n", "none of them a result"},
		"a name, alone":  {"BenchmarkA\n", "none of them a result"},
		"no test files":  {"?   \tbt\t[no test files]\n", "none of them a result"},
		"go vet's words": {"# bt\n./a.go:1:1: expected 'package'\n", "none of them a result"},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, strings.NewReader(c.in))
			assert.ErrorIs(t, r.err, ErrNoBenchmarks)
			assert.ErrorContains(t, r.err, c.says)
			assert.NotContains(t, r.err.Error(), "\n", "one line")
			assert.Equal(t, ExitBadInput, r.Exit)
			assert.Nil(t, r.run, "nothing half-written")
			assert.Empty(t, r.out)
		})
	}
}

func TestRecordKeepsABrokenStreamAsPartial(t *testing.T) {
	whole := strings.ReplaceAll(goodStream, "%s", "")
	for name, c := range map[string]struct{ in, reason string }{
		"no end":           {whole[:strings.Index(whole, "PASS")], "without PASS or ok"},
		"in a measurement": {whole[:strings.Index(whole, "PASS")] + "BenchmarkB-2 \t", "while BenchmarkB-2 ran"},
		"bare FAIL":        {whole[:strings.Index(whole, "PASS")] + "FAIL\n", "failed, without saying what"},
		"killed":           {whole[:strings.Index(whole, "PASS")] + "signal: killed\nFAIL\tbt\t1.000s\n", "signal: killed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := record(t, strings.NewReader(c.in))
			require.NoError(t, r.err)
			assert.Equal(t, ExitFailed, r.Exit)
			assert.True(t, r.Partial)
			assert.Contains(t, r.Reason, c.reason)
			assert.Len(t, r.run.Results, 1, "what was measured is kept")
			assert.Contains(t, r.out, "partial run: DIR")
		})
	}
	r := record(t, io.MultiReader(strings.NewReader(whole), iotest.ErrReader(errors.New("wire cut"))))
	assert.Equal(t, ExitFailed, r.Exit)
	assert.Contains(t, r.Reason, "wire cut")
}

func TestRecordPutsASplitMeasurementTogether(t *testing.T) {
	r := record(t, strings.NewReader(strings.ReplaceAll(goodStream, "%s",
		"BenchmarkB-2 \tserver: listening\nanother line\n 100\t 34.00 ns/op\n"+
			"BenchmarkC-2 \t\n100\t 56.00 ns/op\n"+
			"     100\t 99.00 ns/op\n"))) // belongs to nobody
	require.NoError(t, r.err)
	assert.Equal(t, ExitGood, r.Exit)
	var got []string
	for _, row := range r.Rows {
		got = append(got, row.Name+" "+formatValue(row.Metrics[0].Median, "sec/op"))
	}
	assert.Equal(t, []string{"A-2 12.0ns", "B-2 34.0ns", "C-2 56.0ns"}, got)
	assert.Contains(t, r.log, "server: listening\nanother line\n")
}

func TestRecordSurvivesHostileLines(t *testing.T) {
	r := record(t, strings.NewReader(strings.ReplaceAll(goodStream, "%s",
		strings.Repeat("long ", 1<<18)+"\n"+
			"BenchmarkLong"+strings.Repeat("x", 1<<18)+"-2 100 1 ns/op\n"+
			"BenchmarkCut-2 100 1 ns/op "+strings.Repeat("2 u ", 1<<16)+"\n"+
			"\xff\xfe not UTF-8 \x1b[2J\x07\n"+
			"panics: no, this is a log line\nwarning: nor is this configuration\n"+
			"BenchmarkOdd-2\t100\tNaN p50-ns\t5 req/s\t+Inf p99-ns\n"+
			"BenchmarkNone-2\t100\tNaN p50-ns\n"+
			"BenchmarkBad-2\t100\t1 ns/op 2\n"+
			"# netbench-end: complete results=7\n# netbench-run: 9\n")))
	require.NoError(t, r.err)
	assert.Equal(t, ExitGood, r.Exit, r.Reason)
	require.Len(t, r.Rows, 2)
	assert.Equal(t, "Odd-2", r.Rows[1].Name)
	require.Len(t, r.Rows[1].Metrics, 1, "what is no number is absent")
	assert.Equal(t, "req/s", r.Rows[1].Metrics[0].Unit)
	assert.Equal(t, "", r.run.Results[1].GetConfig("warning"))
	assert.Equal(t, "", r.run.Results[1].GetConfig("panics"))
	assert.NotContains(t, r.log, "\x1b")
	var warnings []string
	for _, n := range r.Notes {
		assert.Equal(t, Warning, n.Kind)
		warnings = append(warnings, cutLine(n.Text, 50))
	}
	assert.Len(t, warnings, 7, "%q", warnings) // three odd metrics, one empty result, three lines that cannot be read
	for line := range strings.Lines(r.log) {
		assert.Less(t, len(line), maxLine)
	}
}

func TestRecordTakesFactsAndNotesFromBenchmarks(t *testing.T) {
	r := record(t, strings.NewReader(strings.ReplaceAll(goodStream, "%s",
		"BenchmarkB-2 \t"+FactLine("Server CPUs", "1")+"\n"+ConfigLine("redis", "stand-in")+"\n"+WarningLine("p99-ns: too few samples")+"\n"+
			"100\t 34.00 ns/op\n"+ConfigLine("redis", "")+"\n"+
			"BenchmarkC-2 \t 100\t 5.0 ns/op\n--- BENCH: BenchmarkC-2\n    c_test.go:1: "+NoteLine("kept")+"\n    c_test.go:2: two\n        lines\n"))) //
	require.NoError(t, r.err)
	assert.Equal(t, ExitGood, r.Exit)
	assert.Equal(t, "1", r.run.Fact("server-cpus"))
	assert.Equal(t, "", r.run.Results[0].GetConfig("redis"))
	assert.Equal(t, "stand-in", r.run.Results[1].GetConfig("redis"))
	assert.Equal(t, "", r.run.Results[2].GetConfig("redis"))
	assert.Equal(t, []Note{
		{Warning, "bt", "BenchmarkB-2", "p99-ns: too few samples"},
		{Info, "bt", "BenchmarkC-2", "kept"},
		{Info, "bt", "BenchmarkC-2", "two lines"},
	}, r.run.Notes)
	assert.Equal(t, r.run.Notes, r.Notes)
}

func TestRecordSaysANoteOnceAndBoundsThem(t *testing.T) {
	var b strings.Builder
	for range 3 {
		b.WriteString(WarningLine("the same") + "\n")
	}
	r := record(t, strings.NewReader(strings.ReplaceAll(goodStream, "%s", b.String())))
	assert.Len(t, r.Notes, 1)

	b.Reset()
	for i := range mostNotes + 100 {
		b.WriteString(WarningLine(formatFloat(float64(i))) + "\n")
	}
	r = record(t, strings.NewReader(strings.ReplaceAll(goodStream, "%s", b.String())))
	assert.Len(t, r.Notes, mostNotes+1)
	assert.Contains(t, r.Notes[mostNotes].Text, "left out")
}

func TestRecordShowsMedianCountAndRange(t *testing.T) {
	r := record(t, strings.NewReader(strings.ReplaceAll(goodStream, "%s",
		"BenchmarkA-2 \t 100\t 18.00 ns/op\nBenchmarkA-2 \t 100\t 14.00 ns/op\t 7 p50-ns\nBenchmarkA-2 \t 100\t 40.00 ns/op\n")))
	require.Len(t, r.Rows, 1)
	assert.Equal(t, 4, r.Rows[0].N)
	time, ok := r.Rows[0].metric("sec/op")
	require.True(t, ok)
	assert.Equal(t, 4, time.N)
	assert.InDelta(t, 16e-9, time.Median, 1e-15, "half way between the middle two")
	assert.InDelta(t, 12e-9, time.Min, 1e-15)
	assert.InDelta(t, 40e-9, time.Max, 1e-15)
	assert.InDelta(t, 28.0/16, time.Spread(), 1e-9)
	assert.Contains(t, r.out, "16.0ns")
	assert.Contains(t, r.out, "12.0ns–40.0ns")
	assert.Contains(t, r.out, "7.00ns (n=1)", "a metric that was reported once says so")
}

func TestRecordDrawsOneStatusLineOnATerminal(t *testing.T) {
	var log strings.Builder
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		host := aHost()
		go func() {
			io.WriteString(pw, "pkg: bt\nBenchmarkA/with=a-very-long-name-2 \t")
			time.Sleep(75 * time.Second)
			io.WriteString(pw, "100\t 12.00 ns/op\nhello\nPASS\n")
			pw.Close()
		}()
		s, err := Record(t.Context(), RecordOptions{Dir: t.TempDir(), In: pr, Out: io.Discard, Err: &log, Terminal: true, Width: 40, Fingerprint: &host})
		assert.NoError(t, err)
		assert.Equal(t, 75*time.Second, s.Duration)
	})
	shown := log.String()
	for _, want := range []string{
		"\r\x1b[K[5.0s, 0 results] A/with=a-very-long-n…", // no wider than the terminal
		"\r\x1b[K[1m15s, 0 results] A/",
		"\r\x1b[K[1m15s, 1 result] waiting",
		"\r\x1b[Khello\n", // other output stays above
	} {
		assert.True(t, strings.Contains(shown, want), "%q", want) // all of it would be long
	}
	assert.Equal(t, 1, strings.Count(shown, "\n"), "the status is redrawn, not repeated")
	assert.True(t, strings.HasSuffix(shown, "\r\x1b[K"), "and gone at the end")
}

func TestRecordCopiesTheStreamIfAsked(t *testing.T) {
	text := strings.ReplaceAll(goodStream, "%s", "hello\n")
	r := record(t, strings.NewReader(text), func(o *RecordOptions) { o.Raw, o.Terminal = true, true })
	assert.Equal(t, text, r.log)
}

func TestInterruptKeepsWhatWasMeasured(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string
		ends          bool // the stream does after the interrupt
		results       int
		took          time.Duration
	}{
		"go test ends too":      {"pkg: bt\nBenchmarkA-2 \t 100\t 12.00 ns/op\nBenchmarkB-2 \t", "signal: interrupt\nFAIL\tbt\t1.0s\n", true, 1, 6 * time.Second},
		"go test does not end":  {"pkg: bt\nBenchmarkA-2 \t 100\t 12.00 ns/op\n", "", false, 1, 8 * time.Second},
		"a last result arrives": {"pkg: bt\nBenchmarkA-2 \t 100\t 12.00 ns/op\n", "BenchmarkB-2 \t 100\t 12.00 ns/op\n", true, 2, 6 * time.Second},
		"nothing was measured":  {"pkg: bt\nBenchmarkA-2 \t", "", true, 0, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var out, log strings.Builder
			var s Summary
			synctest.Test(t, func(t *testing.T) {
				pr, pw := io.Pipe()
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					io.WriteString(pw, c.before)
					time.Sleep(5 * time.Second)
					cancel()
					if c.ends {
						time.Sleep(time.Second)
						io.WriteString(pw, c.after)
						pw.Close()
					}
				}()
				host := aHost()
				var err error
				s, err = Record(ctx, RecordOptions{Dir: dir, In: pr, Out: &out, Err: &log, Grace: 3 * time.Second, Fingerprint: &host})
				assert.NoError(t, err)
				pr.Close() // ends the reader that a stream without end leaves behind
			})
			assert.Equal(t, ExitUndecided, s.Exit)
			assert.Equal(t, c.took, s.Duration)
			assert.Contains(t, log.String(), "interrupted")
			if c.results == 0 {
				assert.Empty(t, names(t, dir))
				assert.Contains(t, out.String(), "nothing is kept")
				return
			}
			assert.Contains(t, out.String(), "12.0ns", "the table is printed")
			run, err := Read(s.Path)
			require.NoError(t, err)
			assert.Len(t, run.Results, c.results)
			assert.Equal(t, "interrupted", run.Reason)
			assert.True(t, strings.HasSuffix(s.Path, suffixPartial))
		})
	}
}

func TestRecordSaysThatItCannotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	s, err := Record(t.Context(), RecordOptions{Dir: file, In: strings.NewReader(goodStream), Out: io.Discard, Err: io.Discard})
	assert.Error(t, err)
	assert.Equal(t, ExitBadInput, s.Exit)
}

func TestSummaryIsJSONWithoutNulls(t *testing.T) {
	r := record(t, strings.NewReader(strings.ReplaceAll(goodStream, "%s", "")), func(o *RecordOptions) { o.Quiet = true })
	assert.Empty(t, r.out)
	data, err := json.Marshal(r.Summary)
	require.NoError(t, err)
	assert.NotContains(t, string(data), "null")
	var back Summary
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, r.Summary, back)
}
