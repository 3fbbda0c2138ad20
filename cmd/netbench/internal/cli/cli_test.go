package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/results"
)

// netbenchWith runs a command line in this process, with an input.
func netbenchWith(t *testing.T, in io.Reader, args ...string) (exit int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	exit = Run(t.Context(), args, in, &stdout, &stderr)
	return exit, stdout.String(), stderr.String()
}

// golden compares got with a file in testdata, or writes that file if
// UPDATE_GOLDEN is set.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "UPDATE_GOLDEN=1 go test writes it")
	assert.Equal(t, string(want), got, "UPDATE_GOLDEN=1 go test rewrites %s", path)
}

func TestHelpListsEveryCommandOnOneLine(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"-help"}, {"--help"}} {
		exit, out, stderr := netbench(t, t.Context(), args...)
		assert.Equal(t, results.ExitGood, exit)
		assert.Empty(t, stderr)
		for _, c := range commands() {
			assert.Regexp(t, `(?m)^  `+c.Name+` +`+regexp.QuoteMeta(c.Short)+`$`, out)
		}
	}
}

func TestEveryCommandCanBeUnderstoodByAStranger(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range commands() {
		t.Run(c.Name, func(t *testing.T) {
			assert.False(t, seen[c.Name], "twice in the table")
			seen[c.Name] = true
			exit, out, stderr := netbench(t, t.Context(), "help", c.Name)
			assert.Equal(t, results.ExitGood, exit)
			assert.Empty(t, stderr)
			for _, flag := range []string{"-h", "-help", "--help"} {
				exit, same, stderr := netbench(t, t.Context(), c.Name, flag)
				assert.Equal(t, results.ExitGood, exit)
				assert.Empty(t, stderr)
				assert.Equal(t, out, same)
			}
			assert.NotEmpty(t, c.Long)
			require.NotEmpty(t, c.Examples)
			for _, e := range c.Examples {
				assert.NotEmpty(t, e.What)
				assert.Contains(t, e.Line, "netbench "+c.Name)
				words := strings.Fields(e.Line)
				for i, word := range words {
					if word == "-row" || word == "-rows" {
						_, err := cellsOf(words[i+1])
						assert.NoError(t, err, e.Line)
					}
				}
			}
			text, _, _ := strings.Cut(out, "\nExamples:\n") // a command line is not broken
			for line := range strings.Lines(text) {
				assert.LessOrEqual(t, len([]rune(line)), 88, "%q is too wide for a terminal", line)
			}
		})
	}
}

func TestHelpOfCommands(t *testing.T) {
	for _, name := range []string{"record", "compare", "env", "version", "help"} {
		_, out, _ := netbench(t, t.Context(), "help", name)
		golden(t, "help-"+name+".txt", out)
	}
}

func TestBadCommandLinesAreOneLineWithAHint(t *testing.T) {
	run := filepath.Join(t.TempDir(), "no.txt")
	for _, c := range []struct {
		args string
		says string
	}{
		{"", "no command (see: netbench help)"},
		{"recrod", `unknown command "recrod" (did you mean record? see: netbench help)`},
		{"xyzzy", `unknown command "xyzzy" (see: netbench help)`},
		{"help xyzzy", `unknown command "xyzzy" (see: netbench help)`},
		{"help env record", `unknown command "env record"`},
		{"record -x", "flag provided but not defined: -x (see: netbench help record)"},
		{"record -dir", "flag needs an argument: -dir (see: netbench help record)"},
		{"record -json=maybe", `invalid boolean value "maybe" for -json`},
		{"record file.txt", `unexpected argument "file.txt" (see: netbench help record)`},
		{"env now", `unexpected argument "now" (see: netbench help env)`},
		{"version 2", `unexpected argument "2"`},
		{"compare a", "1 arguments (give two run files, or none"},
		{"compare a b -format csv", "4 arguments"},
		{"compare -format yaml", `-format is "yaml" (want text or csv)`},
		{"compare " + run + " " + run, "no such run file"},
		{"compare -dir " + t.TempDir(), "too few complete runs"},
	} {
		t.Run(c.args, func(t *testing.T) {
			exit, out, stderr := netbench(t, t.Context(), strings.Fields(c.args)...)
			assert.Equal(t, results.ExitBadInput, exit)
			assert.Empty(t, out)
			assert.Contains(t, stderr, c.says)
			assert.True(t, strings.HasPrefix(stderr, "netbench"))
			assert.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %q", stderr)
		})
	}
}

const stream = "goos: linux\npkg: bt\nBenchmarkA-2 \t 100\t 12.00 ns/op\nPASS\nok  \tbt\t1.000s\n"

func TestRecordKeepsARunThatCompareReads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs")
	for range 2 {
		exit, out, stderr := netbenchWith(t, strings.NewReader(stream), "record", "-dir", dir)
		require.Equal(t, results.ExitGood, exit, stderr)
		assert.Contains(t, out, "A-2        1   12.0ns")
		assert.Contains(t, out, "run: "+dir)
		assert.Contains(t, stderr, "1] A-2  time/op 12.0ns", "plain progress, as this is no terminal")
		assert.NotContains(t, stderr, "\x1b")
	}
	exit, out, stderr := netbench(t, t.Context(), "compare", "-dir", dir)
	require.Equal(t, results.ExitGood, exit, stderr)
	assert.Contains(t, out, "vs base")
	assert.Contains(t, out, "verdict")
}

func TestRecordPrintsItsSummaryAsJSON(t *testing.T) {
	exit, out, stderr := netbenchWith(t, strings.NewReader(stream), "record", "-json", "-dir", t.TempDir())
	require.Equal(t, results.ExitGood, exit, stderr)
	var s results.Summary
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&s))
	assert.False(t, d.More(), "one object")
	require.Len(t, s.Rows, 1)
	assert.Equal(t, "A-2", s.Rows[0].Name)
	assert.InDelta(t, 12e-9, s.Rows[0].Metrics[0].Median, 1e-15)
	_, err := results.Read(s.Path)
	assert.NoError(t, err)
}

func TestRecordExitsByWhatItFound(t *testing.T) {
	for name, c := range map[string]struct {
		in   io.Reader
		exit int
	}{
		"nothing":  {strings.NewReader(""), results.ExitBadInput},
		"failed":   {strings.NewReader("BenchmarkA-2 \t--- FAIL: BenchmarkA-2\n    a_test.go:1: boom\nFAIL\n"), results.ExitFailed},
		"cut":      {strings.NewReader("BenchmarkA-2 \t 100\t 12.00 ns/op\n"), results.ExitFailed},
		"unread":   {failingReader{}, results.ExitBadInput},
		"skipped":  {strings.NewReader("BenchmarkA\n    a_test.go:1: why\n--- SKIP: BenchmarkA\nPASS\n"), results.ExitUndecided},
		"good":     {strings.NewReader(stream), results.ExitGood},
		"good raw": {strings.NewReader(stream), results.ExitGood},
	} {
		t.Run(name, func(t *testing.T) {
			exit, _, stderr := netbenchWith(t, c.in, "record", "-dir", t.TempDir())
			assert.Equal(t, c.exit, exit, stderr)
		})
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("wire cut") }

func TestRecordShowsTheStreamIfAsked(t *testing.T) {
	_, _, stderr := netbenchWith(t, strings.NewReader(stream), "record", "-raw", "-dir", t.TempDir())
	assert.Equal(t, stream, stderr)
}

func TestEnvPrintsOneFactALine(t *testing.T) {
	exit, out, stderr := netbench(t, t.Context(), "env")
	require.Equal(t, results.ExitGood, exit, stderr)
	assert.Regexp(t, `^date: .*\n`, out)
	assert.Contains(t, out, "\ngo: go1")
	assert.Contains(t, out, "\ngomaxprocs: ")
	for line := range strings.Lines(out) {
		assert.Regexp(t, `^[a-z][a-z0-9._-]*: \S`, line)
	}
}

func TestEnvPrintsAFingerprintAsJSON(t *testing.T) {
	exit, out, stderr := netbench(t, t.Context(), "env", "-json")
	require.Equal(t, results.ExitGood, exit, stderr)
	var f results.Fingerprint
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&f))
	assert.NotEmpty(t, f.GoVersion)
	assert.False(t, f.Start.IsZero())
	assert.NotContains(t, out, "null")
}

func TestVersionNamesTheSchemaOfItsFiles(t *testing.T) {
	_, out, _ := netbench(t, t.Context(), "version")
	assert.Regexp(t, `^netbench .*, go1.* \w+/\w+, run files of schema 1\n$`, out)
	_, out, _ = netbench(t, t.Context(), "version", "-json")
	var v version
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	assert.Equal(t, results.Schema, v.Schema)
	_, same, _ := netbench(t, t.Context(), "--version")
	assert.Contains(t, same, "run files of schema")
}

func TestEditDistanceCountsLetters(t *testing.T) {
	for _, c := range []struct {
		a, b string
		n    int
	}{{"", "", 0}, {"load", "load", 0}, {"laod", "load", 2}, {"env", "envs", 1}, {"", "env", 3}, {"serve", "server", 1}} {
		assert.Equal(t, c.n, editDistance(c.a, c.b), "%s %s", c.a, c.b)
		assert.Equal(t, c.n, editDistance(c.b, c.a), "%s %s", c.b, c.a)
	}
}
