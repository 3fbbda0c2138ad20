package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/load"
	"netbench/models/race"
	"netbench/results"
	"netbench/testenv"
)

// raceable skips a test where nothing can race.
func raceable(t *testing.T) {
	t.Helper()
	place, err := testenv.Place()
	require.NoError(t, err)
	if !place.Disjoint {
		t.Skip("a race needs two CPUs: " + place.Reason)
	}
	unpinned(t)
}

func TestRaceExplainsBadInputInOneLine(t *testing.T) {
	raceable(t)
	pair := []string{"-models", "goroutine,goroutine-naive"}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"model":              {[]string{"-models", "goroutine,abacus"}, `model "abacus" is unknown (use goroutine, `},
		"twice":              {[]string{"-models", "goroutine,goroutine"}, "model goroutine is listed twice"},
		"one model":          {[]string{"-models", "goroutine"}, "1 model cannot race (give two or more)"},
		"service":            {append(pair, "-service", "gopher"), `unknown service "gopher" (want echo, frame, line, http`},
		"floor runs no http": {[]string{"-models", "goroutine,c-epoll", "-service", "http"}, "model c-epoll: it cannot run service http"},
		"state":              {append(pair, "-state", "asleep"), `state "asleep" is unknown (use saturated or paced)`},
		"baseline":           {append(pair, "-baseline", "c-epoll"), `baseline "c-epoll" is not among the models (use one of goroutine, goroutine-naive)`},
		"rounds":             {append(pair, "-rounds", "1"), "rounds is 1 (want at least 2"},
		"no rounds":          {append(pair, "-rounds", "0"), "-rounds is 0 (want more than 0)"},
		"slice":              {append(pair, "-slice", "9ms"), "slice is 9ms (want at least 10ms"},
		"conns":              {append(pair, "-conns", "-3"), "-conns is -3 (want more than 0)"},
		"idle":               {append(pair, "-idle", "1.5"), "idle share is 1.5"},
		"rate":               {append(pair, "-rate", "100"), "a rate needs state paced"},
		"size of http":       {append(pair, "-service", "http", "-size", "5"), "-size has no effect on service http"},
		"page":               {append(pair, "-markdown", filepath.Join(t.TempDir(), "page.md")), "-markdown belongs to -cells"},
		"cell":               {[]string{"-cells", "moon"}, `cell "moon" is unknown (use all, standard, further, 100x64`},
		"cell and conns":     {[]string{"-cells", "all", "-conns", "5"}, "-conns has no effect with -cells"},
		"state of cells":     {[]string{"-cells", "all", "-state", "asleep"}, `state "asleep" is unknown`},
		"argument":           {[]string{"now"}, `unexpected argument "now"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			exit, out, stderr := netbench(t, t.Context(), append([]string{"race", "-dir", dir}, tc.args...)...)
			assert.Equal(t, results.ExitBadInput, exit)
			assert.Empty(t, out)
			stderr = withoutPlacement(stderr)
			assert.Contains(t, stderr, "netbench race: ")
			assert.Contains(t, stderr, tc.want)
			assert.Equal(t, 1, strings.Count(stderr, "\n"), "one line: %s", stderr)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left, "no run file without a run")
		})
	}
}

func TestRacesOfCellsThatWereNotHeldChooseNothing(t *testing.T) {
	raceable(t)
	bad := []string{"race", "-models", "goroutine,goroutine-naive", "-cells", "10x64", "-rounds", "1", "-dir", ""}
	exit, out, stderr := netbench(t, t.Context(), bad...)
	assert.Equal(t, results.ExitBadInput, exit)
	assert.Contains(t, stderr, "rounds is 1 (want at least 2")
	assert.Empty(t, out)
	exit, out, _ = netbench(t, t.Context(), append(bad, "-json")...)
	assert.Equal(t, results.ExitBadInput, exit)
	assert.JSONEq(t, "[]", out)
}

func TestABaselineThatACellLacksIsRefusedBeforeTheFirstRace(t *testing.T) {
	raceable(t)
	exit, out, stderr := netbench(t, t.Context(), "race", "-models", "goroutine,reactor,c-epoll", "-baseline", "c-epoll", "-cells", "100x64,http", "-dir", "")
	assert.Equal(t, results.ExitBadInput, exit)
	assert.Empty(t, out)
	assert.Contains(t, stderr, "cell http: the baseline c-epoll cannot race in it: it cannot run service http")
	assert.Equal(t, 1, strings.Count(stderr, "\n"), "nothing was run: %s", stderr)
}

// withoutPlacement takes the line that says where servers and generator run out
// of what a command wrote.
func withoutPlacement(stderr string) string {
	return regexp.MustCompile(`(?m)^[^\n]*server on[^\n]*\n`).ReplaceAllString(stderr, "")
}

func TestRaceRefusesMoreConnectionsThanAServerMayHold(t *testing.T) {
	raceable(t)
	if load.Room() > 9_000_000 {
		t.Skip("a process may hold that many here")
	}
	exit, _, stderr := netbench(t, t.Context(), "race", "-models", "goroutine,goroutine-naive", "-conns", "9000000", "-dir", "")
	assert.Equal(t, results.ExitBadInput, exit)
	assert.Contains(t, stderr, "9000000 connections need a server with 9000064 descriptors, and a process may have")
}

func TestRaceNeedsACompilerOnlyIfTheFloorIsNamed(t *testing.T) {
	raceable(t)
	t.Setenv("PATH", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	exit, _, stderr := netbench(t, t.Context(), "race", "-models", "goroutine,c-epoll", "-dir", "")
	assert.Equal(t, results.ExitBadInput, exit)
	assert.Contains(t, stderr, "netbench race: model c-epoll: ")
	assert.Contains(t, stderr, "there is no cc in PATH")

	exit, out, stderr := netbench(t, t.Context(), "race", "-models", "goroutine,goroutine-naive,floor", "-dir", "",
		"-rounds", "2", "-slice", "10ms", "-slices", "4", "-conns", "2", "-size", "8")
	assert.Contains(t, stderr, "without c-epoll: ")
	assert.Contains(t, out, "absent: c-epoll: ")
	assert.NotEqual(t, results.ExitBadInput, exit, stderr)
}

func TestRaceMeasuresPrintsAndKeepsARun(t *testing.T) {
	raceable(t)
	dir := t.TempDir()
	exit, out, stderr := netbench(t, t.Context(), "race", "-models", "goroutine,goroutine-naive", "-dir", dir,
		"-rounds", "2", "-slice", "20ms", "-slices", "4", "-conns", "4", "-size", "32", "-seed", "9", "-json")
	var r race.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r), stderr)
	assert.Equal(t, 2, r.Rounds)
	assert.Equal(t, 4, r.Conns)
	assert.Equal(t, 32, r.Size)
	assert.Equal(t, "echo", r.Service)
	assert.Equal(t, race.Saturated, r.State)
	assert.Equal(t, "goroutine", r.Baseline)
	assert.EqualValues(t, 9, r.Seed)
	require.Len(t, r.Contenders, 2)
	want := results.ExitGood
	if !r.Valid { // a busy host may spoil a short race; the code has to say so
		want = results.ExitUndecided
	}
	assert.Equal(t, want, exit, "%v", r.Reasons)
	assert.Contains(t, stderr, "round 2 of 2: ")
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	require.NoError(t, err)
	require.Len(t, files, 1, stderr)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	assert.Equal(t, r.RoundsCounted, strings.Count(string(text), "\nBenchmarkRace/model=goroutine-naive/conns=4/size=32/state=saturated "))
	assert.Regexp(t, `(?m)^# server-cpus: \d`, string(text))
	assert.Regexp(t, `(?m)^# netbench-end: complete results=\d+$`, string(text))
}

func TestRaceOfCellsChoosesAModelForEach(t *testing.T) {
	raceable(t)
	page := filepath.Join(t.TempDir(), "page.md")
	_, out, stderr := netbench(t, t.Context(), "race", "-models", "goroutine,goroutine-naive", "-cells", "10x64,block", "-state", "saturated",
		"-dir", "", "-rounds", "2", "-slice", "10ms", "-slices", "4", "-markdown", page)
	assert.Contains(t, stderr, "race 1 of 2: echo, 10 x 64 B, saturated: goroutine, goroutine-naive")
	assert.Contains(t, stderr, "race 2 of 2: echo+wait=1ms, 100 x 64 B, saturated: goroutine, goroutine-naive")
	assert.Contains(t, out, "Which model to choose")
	assert.Regexp(t, `(?m)^echo, 10 x 64 B: (goroutine|undecided)`, out)
	assert.Contains(t, out, "median latency")
	text, err := os.ReadFile(page)
	require.NoError(t, err, stderr)
	assert.Contains(t, string(text), "| echo+wait=1ms, 100 x 64 B | ")
}

func TestAnInterruptedRacePrintsWhatThereIsAndLeavesNoWholeRun(t *testing.T) {
	raceable(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	after := &cancelAt{text: "round 1 of ", cancel: cancel}
	var out strings.Builder
	exit := Run(ctx, []string{"race", "-models", "goroutine,goroutine-naive", "-dir", dir,
		"-rounds", "500", "-slice", "10ms", "-slices", "4", "-conns", "4"}, strings.NewReader(""), &out, after)
	assert.Equal(t, results.ExitUndecided, exit)
	assert.Contains(t, after.String(), "netbench race: interrupted\n")
	assert.Contains(t, out.String(), "note: interrupted after ")
	whole, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	require.NoError(t, err)
	assert.Empty(t, whole)
	partial, err := filepath.Glob(filepath.Join(dir, "*.partial"))
	require.NoError(t, err)
	assert.Len(t, partial, 1, "what was measured is kept as partial")
}

// cancelAt is a log that cancels when a text is written to it. It is written to
// by one goroutine at a time.
type cancelAt struct {
	strings.Builder
	text   string
	cancel context.CancelFunc
}

func (c *cancelAt) Write(b []byte) (int, error) {
	n, err := c.Builder.Write(b)
	if strings.Contains(string(b), c.text) {
		c.cancel()
	}
	return n, err
}

func TestEveryEntrantIsKnownOnceAndInAGroupOrByName(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range entrants() {
		assert.False(t, seen[e.Name], "%s twice", e.Name)
		seen[e.Name] = true
		assert.NotEmpty(t, e.Kind, e.Name)
		chosen, named, err := chooseEntrants(e.Name)
		require.NoError(t, err)
		assert.True(t, named)
		assert.Len(t, chosen, 1)
	}
	for name := range Models() {
		assert.True(t, seen[name], "%s can be served and not raced", name)
	}
	all, named, err := chooseEntrants("all")
	require.NoError(t, err)
	assert.False(t, named)
	assert.Equal(t, "goroutine", all[0].Name)
	for _, e := range all {
		assert.False(t, e.Informs)
		assert.NotEqual(t, "goroutine-naive", e.Name, "variants race by name only")
	}
	more, _, err := chooseEntrants("floor,goroutine,c-epoll")
	require.NoError(t, err)
	assert.Equal(t, "c-epoll, c-uring, goroutine", entrantNames(more), "a model of a group is not listed twice by its name")
}
