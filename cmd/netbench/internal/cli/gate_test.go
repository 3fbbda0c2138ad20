package cli

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gate"
	"netbench/internal/needs"
	"netbench/results"
)

func TestRowsOfTheGateAreScenariosAndAtMostTenJudge(t *testing.T) {
	cells, err := gateCells(gateRows)
	require.NoError(t, err)
	judging, quick := 0, 0
	for _, c := range cells {
		for _, m := range c.Metrics {
			if m.Gates {
				judging++
			}
		}
	}
	for _, row := range gateRows {
		if row.quick {
			quick++
		}
	}
	assert.LessOrEqual(t, judging, gate.MaxGating)
	assert.Equal(t, 3, quick)
	exit, out, _ := netbench(t, t.Context(), "gate", "-list")
	assert.Equal(t, results.ExitGood, exit)
	for _, row := range gateRows {
		assert.Contains(t, out, row.scenario)
	}
}

func TestBadInputOfAGateIsOneLine(t *testing.T) {
	unpinned(t)
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	ended := filepath.Join(dir, "waivers")
	require.NoError(t, os.WriteFile(ended, []byte("2020-01-01 Echo req/s because\n"), 0o600))
	old := filepath.Join(dir, "netbench") // of before there was a reactor
	require.NoError(t, os.WriteFile(old, []byte("#!/bin/sh\necho 'unknown model \"reactor\"' >&2\nexit 1\n"), 0o700))
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"nothing":              {nil, "base: give either a ref of git or a binary"},
		"both":                 {[]string{"-base", "HEAD", "-base-bin", self}, "base: give either"},
		"two heads":            {[]string{"-base", "HEAD", "-head", "HEAD", "-head-bin", self}, "head: give a ref of git or a binary, not both"},
		"no such binary":       {[]string{"-base-bin", filepath.Join(dir, "none"), "-head-bin", self}, "give an executable netbench"},
		"unknown row":          {[]string{"-base-bin", self, "-head-bin", self, "-rows", "Echo/moon"}, `row "Echo/moon" is unknown`},
		"unknown metric":       {[]string{"-base-bin", self, "-head-bin", self, "-rows", "Echo/model=reactor/conns=10/size=1024:joy"}, `metric "joy" is unknown`},
		"rows and quick":       {[]string{"-base-bin", self, "-quick", "-rows", "x"}, "-quick has no effect with -rows"},
		"rounds":               {[]string{"-base-bin", self, "-rounds", "1"}, "-rounds is 1"},
		"alpha":                {[]string{"-base-bin", self, "-head-bin", self, "-alpha", "0"}, "alpha is 0"},
		"tolerance":            {[]string{"-base-bin", self, "-head-bin", self, "-tolerance-timing", "0.01"}, "tolerance of timing is 0.01"},
		"inconclusive":         {[]string{"-base-bin", self, "-inconclusive", "maybe"}, `-inconclusive is "maybe"`},
		"no waivers":           {[]string{"-base-bin", self, "-waivers", filepath.Join(dir, "none")}, "no such file"},
		"one command":          {[]string{"-base-cmd", "x {addr}", "-url", "tcp://{addr}"}, "head: the command is empty"},
		"command, ref":         {[]string{"-base", "HEAD", "-base-cmd", "x {addr}", "-head-cmd", "x {addr}", "-url", "tcp://{addr}"}, "give both, and neither refs nor binaries"},
		"fixed address":        {[]string{"-base-cmd", "x {addr}", "-head-cmd", "x -listen :80", "-url", "tcp://{addr}"}, "has no {addr} and no {port}"},
		"fixed URL":            {[]string{"-base-cmd", "x {addr}", "-head-cmd", "x {addr}", "-url", "tcp://127.0.0.1:80"}, "want a URL with {addr}"},
		"no URL":               {[]string{"-base-cmd", "x {addr}", "-head-cmd", "x {addr}", "-url", "gopher://{addr}"}, "has an unknown scheme"},
		"URL alone":            {[]string{"-base", "HEAD", "-url", "tcp://{addr}"}, "-url has no effect without -base-cmd"},
		"rows, command":        {[]string{"-base-cmd", "x {addr}", "-head-cmd", "x {addr}", "-rows", "x"}, "-rows has no effect with -base-cmd"},
		"judge":                {[]string{"-base-cmd", "x {addr}", "-head-cmd", "x {addr}", "-url", "tcp://{addr}", "-judge", "allocs"}, `metric "allocs" is unknown here`},
		"deaf command":         {[]string{"-base-cmd", "exec sleep 60 # {addr}", "-head-cmd", "exec sleep 60 # {addr}", "-url", "tcp://{addr}", "-start-timeout", "300ms"}, "it did not listen on 127.0.0.1:"},
		"dead command":         {[]string{"-base-cmd", "echo no disk; exit 4 # {addr}", "-head-cmd", "x {addr}", "-url", "tcp://{addr}"}, "exit status 4; it wrote: no disk"},
		"size of HTTP":         {[]string{"-base-cmd", "x {addr}", "-head-cmd", "x {addr}", "-url", "http://{addr}/", "-size", "5"}, "-size has no effect on http://{addr}/"},
		"another host":         {[]string{"-base-cmd", "x {addr}", "-head-cmd", "x {addr}", "-url", "http://127.0.0.2:80/{addr}"}, "want {addr} as its host and port"},
		"connect row":          {[]string{"-base-bin", self, "-head-bin", self, "-rows", "Connect/model=reactor/conns=100/size=13"}, "is unknown"},
		"a row twice":          {[]string{"-base-bin", self, "-head-bin", self, "-rows", "Idle/model=reactor/conns=5000,Idle/model=reactor/conns=5000"}, "is given twice"},
		"a metric twice":       {[]string{"-base-bin", self, "-head-bin", self, "-rows", "Echo/model=reactor/conns=10/size=1024:cpu+cpu"}, `metric "cpu" is given twice`},
		"none in common":       {[]string{"-base-bin", old, "-head-bin", self, "-rows", "Echo/model=reactor/conns=10/size=1024"}, `unknown model "reactor"`},
		"memory of echo":       {[]string{"-base-bin", self, "-head-bin", self, "-rows", "Echo/model=reactor/conns=100/size=1024:memory"}, "user-B/conn cannot be read from it"},
		"CPU of idle":          {[]string{"-base-bin", self, "-head-bin", self, "-rows", "Idle/model=reactor/conns=5000:cpu"}, "server-cpu-ns/op cannot be read from it"},
		"p99 of a closed loop": {[]string{"-base-bin", self, "-head-bin", self, "-rows", "Echo/model=reactor/conns=100/size=1024:p99"}, "p99-ns cannot be read from it"},
		"no metric":            {[]string{"-base-bin", self, "-head-bin", self, "-rows", "Echo/model=reactor/conns=100/size=1024:"}, "has no metric behind its colon"},
		"no row":               {[]string{"-base-bin", self, "-head-bin", self, "-rows", ""}, `row "" is unknown`},
		"peaceful head":        {[]string{"-base-bin", self, "-head-bin", "/bin/true", "-rows", "Echo/model=reactor/conns=10/size=1024"}, "head ended in peace before it served"},
		"judge twice":          {[]string{"-base-cmd", "x {addr}", "-head-cmd", "x {addr}", "-url", "tcp://{addr}", "-judge", "cpu+cpu"}, `metric "cpu" is given twice`},
		"no time":              {[]string{"-base-cmd", "x {addr}", "-head-cmd", "x {addr}", "-url", "tcp://{addr}", "-start-timeout", "-1s"}, "-start-timeout is -1s"},
		"a name":               {[]string{"-base-cmd", "x {addr}", "-head-cmd", "x {addr}", "-url", "http://no.such.host.invalid:80/{addr}"}, "want {addr} as its host and port"},
		"samples":              {[]string{"-base-bin", self, "-head-bin", self, "-samples", filepath.Join(ended, "x")}, "-samples: "},
		"page":                 {[]string{"-base-bin", self, "-head-bin", self, "-markdown", dir}, "is a directory"},
		"an ended waiver":      {[]string{"-base-bin", self, "-waivers", ended}, "ended on 2020-01-01"},
	} {
		t.Run(name, func(t *testing.T) {
			exit, out, stderr := netbench(t, t.Context(), append([]string{"gate"}, tc.args...)...)
			assert.Equal(t, results.ExitBadInput, exit)
			assert.Empty(t, out)
			assert.Contains(t, stderr, tc.want)
			said := 0 // lines that are not of its progress
			for line := range strings.Lines(stderr) {
				if strings.HasPrefix(line, "netbench gate: ") {
					said++
				}
			}
			assert.Equal(t, 1, said, stderr)
		})
	}
}

// short is a gate of one row that takes seconds.
var short = []string{"-rows", "Echo/model=reactor/conns=10/size=1024:cpu+syscalls+allocs", "-rounds", "2", "-slice", "10ms", "-slices", "4"}

func TestAGateOfOneProgramAgainstItselfSaysSo(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("CPU time of other processes needs Linux")
	}
	unpinned(t)
	self, err := os.Executable()
	require.NoError(t, err)
	samples := t.TempDir()
	args := append([]string{"gate", "-base-bin", self, "-head-bin", self, "-json", "-samples", samples, "-seed", "7"}, short...)
	exit, out, stderr := netbench(t, t.Context(), args...)
	require.Equal(t, results.ExitUndecided, exit, stderr) // two rounds decide nothing
	var r gate.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	assert.Contains(t, []gate.Verdict{gate.Inconclusive, gate.Unfit}, r.Verdict) // unfit if the canary moved
	assert.True(t, r.Same)
	assert.EqualValues(t, 7, r.Seed)
	require.NotNil(t, r.Canary)
	require.NotNil(t, r.Fingerprint)
	require.Len(t, r.Rows, 3)
	for _, row := range r.Rows {
		if row.Unit == "server-cpu-ns/op" {
			assert.Equal(t, 2, row.N, row.Warnings)
			require.NotNil(t, row.Effect)
		}
	}
	assert.Contains(t, r.Again, "-seed=7")
	for _, arm := range []string{"base", "head"} {
		runs, err := filepath.Glob(filepath.Join(samples, "*-"+arm+".txt"))
		require.NoError(t, err)
		assert.Len(t, runs, 1, "a file for each arm")
	}
}

// A program that dies under load is a failure of head, and no verdict if it is base.
func TestAnArmThatDiesIsHeldAgainstIt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("CPU time of other processes needs Linux")
	}
	unpinned(t)
	self, err := os.Executable()
	require.NoError(t, err)
	counter := filepath.Join(t.TempDir(), "starts")
	mortal := filepath.Join(t.TempDir(), "netbench")
	// The first start is to see whether it serves at all.
	script := "#!/bin/sh\necho >>" + counter + "\n[ $(wc -l <" + counter + ") -gt 1 ] && (sleep 0.4; kill -9 $$) &\nexec " + self + "\n"
	require.NoError(t, os.WriteFile(mortal, []byte(script), 0o700))
	longer := append([]string{"-slice", "100ms", "-slices", "6"}, short[:4]...) // of both arms 1.2 s, so it dies within
	for want, arms := range map[int][]string{
		results.ExitFailed:    {"-base-bin", self, "-head-bin", mortal},
		results.ExitUndecided: {"-base-bin", mortal, "-head-bin", self},
	} {
		_ = os.Remove(counter)
		exit, out, stderr := netbench(t, t.Context(), append(append([]string{"gate"}, arms...), longer...)...)
		assert.Equal(t, want, exit, "%s%s", out, stderr)
		assert.Contains(t, out, "failed in 2 of 2 rounds")
	}
}

// A command line that serves one load and then no more is not a wrong command line.
func TestACommandThatStartsForOneRowOnlyIsHeldAgainstIt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("CPU time of other processes needs Linux")
	}
	unpinned(t)
	self, err := os.Executable()
	require.NoError(t, err)
	counter := filepath.Join(t.TempDir(), "starts")
	good := "NETBENCH_TEST_FOREIGN={addr} exec " + self
	once := "echo >>" + counter + "; [ $(wc -l <" + counter + ") -gt 1 ] && exit 3; " + good
	exit, out, stderr := netbench(t, t.Context(), "gate", "-base-cmd", good, "-head-cmd", once, "-url", "tcp://{addr}",
		"-conns", "10", "-size", "64", "-judge", "cpu+p99", "-rounds", "2", "-slice", "10ms", "-slices", "4")
	assert.Equal(t, results.ExitFailed, exit, "%s%s", out, stderr)
	assert.Contains(t, out, "head cannot serve it")
	assert.Contains(t, stderr, "no slowdown fails, however large: rounds 2, rows that judge 2")
}

// checkout makes a repository with one commit of these files, enters it, and
// gives temporary files a place of their own.
func checkout(t *testing.T, files map[string]string) (git func(args ...string) string, temporary string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		needs.Skip(t, needs.Git, err)
	}
	dir := t.TempDir()
	git = func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-c", "user.name=x", "-c", "user.email=x@y"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	git("init", "-q")
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	git("add", ".")
	git("commit", "-qm", "a")
	temporary = t.TempDir()
	t.Chdir(dir)
	t.Setenv("TMPDIR", temporary)
	return git, temporary
}

// nothingLeft fails the test if a worktree or a temporary file is left.
func nothingLeft(t *testing.T, git func(args ...string) string, temporary string) {
	t.Helper()
	assert.Equal(t, 1, strings.Count(git("worktree", "list"), "\n"), "no worktree is left")
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// A row that head cannot serve any more, though it has its model, is no row that is
// lacking.
func TestAnArmThatDoesNotStartIsHeldAgainstIt(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("CPU time of other processes needs Linux")
	}
	unpinned(t)
	self, err := os.Executable()
	require.NoError(t, err)
	broken := filepath.Join(t.TempDir(), "netbench")
	require.NoError(t, os.WriteFile(broken, []byte("#!/bin/sh\necho 'panic: no ring' >&2\nexit 2\n"), 0o700))
	for want, arms := range map[int][]string{
		results.ExitFailed:    {"-base-bin", self, "-head-bin", broken},
		results.ExitUndecided: {"-base-bin", broken, "-head-bin", self},
	} {
		exit, out, stderr := netbench(t, t.Context(), append(append([]string{"gate"}, arms...), short...)...)
		assert.Equal(t, want, exit, "%s%s", out, stderr)
		assert.Contains(t, out, "failed in 1 of 1 rounds")
		assert.Contains(t, out, "panic: no ring")
	}
}

func TestAWaiverMayBeOfARowThatIsNotDriven(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "waivers")
	write := func(row string) []string {
		require.NoError(t, os.WriteFile(file, []byte("2999-12-31 "+row+" server-cpu-ns/op because\n"), 0o600))
		return []string{"-base-bin", self, "-head-bin", "/none", "-waivers", file, "-quick"}
	}
	_, _, stderr := netbench(t, t.Context(), append([]string{"gate"}, write("HTTP/model=reactor/conns=1000")...)...)
	assert.Contains(t, stderr, "head: ", "it gets as far as to the arms")
	assert.NotContains(t, stderr, "waiver")
	_, _, stderr = netbench(t, t.Context(), append([]string{"gate"}, write("HTTP/model=moon/conns=1")...)...)
	assert.Contains(t, stderr, "waivers:1: HTTP/model=moon/conns=1 server-cpu-ns/op is not a row that gates")
}

func TestAGateLeavesTheCheckoutAsItWas(t *testing.T) {
	git, temporary := checkout(t, map[string]string{"go.mod": "module m\n\ngo 1.26\n"})
	for _, tc := range []struct{ ref, want string }{
		{"moon", `base: "moon" is not a commit here`},
		{"HEAD", "base does not build: exit status 1"},
	} {
		exit, _, stderr := netbench(t, t.Context(), "gate", "-base", tc.ref)
		assert.Equal(t, results.ExitBadInput, exit)
		assert.Contains(t, stderr, tc.want)
		nothingLeft(t, git, temporary)
	}
}

// A hook of git is told by variables which index the commit is made from.
func TestAGateInAHookLeavesTheIndexAsItWas(t *testing.T) {
	git, temporary := checkout(t, map[string]string{"go.mod": "module m\n\ngo 1.26\n", "a": "1"})
	require.NoError(t, os.WriteFile("a", []byte("2"), 0o600))
	git("commit", "-qam", "b")
	dir, err := os.Getwd()
	require.NoError(t, err)
	t.Setenv("GIT_DIR", filepath.Join(dir, ".git"))
	t.Setenv("GIT_WORK_TREE", dir)
	t.Setenv("GIT_INDEX_FILE", filepath.Join(dir, ".git", "index"))
	exit, _, stderr := netbench(t, t.Context(), "gate", "-base", "HEAD~1")
	assert.Equal(t, results.ExitBadInput, exit)
	assert.Contains(t, stderr, "base does not build")
	assert.Empty(t, git("status", "--porcelain"))
	nothingLeft(t, git, temporary)
}

func TestAnInterruptWhileAnArmIsBuiltLeavesNothing(t *testing.T) {
	git, temporary := checkout(t, map[string]string{
		"go.mod":               "module m\n\ngo 1.26\n",
		"cmd/netbench/main.go": "package main\n\nimport _ \"net/http\"\n\nfunc main() {}\n",
	})
	t.Setenv("GOCACHE", t.TempDir()) // empty, so that all there is has to be compiled
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer cancel()
		for {
			if found, _ := filepath.Glob(filepath.Join(temporary, "*", "go-build*")); len(found) > 0 {
				return
			}
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	exit, _, stderr := netbench(t, ctx, "gate", "-base", "HEAD")
	close(ended)
	assert.Equal(t, results.ExitUndecided, exit)
	assert.Contains(t, stderr, "netbench gate: interrupted")
	nothingLeft(t, git, temporary)
}

func TestAnInterruptedGateEndsItsServers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("CPU time of other processes needs Linux")
	}
	unpinned(t)
	self, err := os.Executable()
	require.NoError(t, err)
	pids := filepath.Join(t.TempDir(), "pids")
	noting := filepath.Join(t.TempDir(), "netbench")
	require.NoError(t, os.WriteFile(noting, []byte("#!/bin/sh\necho $$ >>"+pids+"\nexec "+self+"\n"), 0o700))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			// Both were started once to see that they serve, and then for a round.
			if text, _ := os.ReadFile(pids); strings.Count(string(text), "\n") >= 4 {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	exit, _, stderr := netbench(t, ctx, append([]string{"gate", "-base-bin", noting, "-head-bin", noting}, short...)...)
	assert.Equal(t, results.ExitUndecided, exit)
	assert.Contains(t, stderr, "netbench gate: interrupted")
	text, err := os.ReadFile(pids)
	require.NoError(t, err)
	for pid := range strings.FieldsSeq(string(text)) {
		_, err := os.Stat("/proc/" + pid)
		assert.ErrorIs(t, err, os.ErrNotExist, "process %s is left", pid)
	}
}

// A gate of commands needs no netbench in them, and judges what it is told to.
func TestAGateOfCommandsJudgesServersOfAnyMake(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("CPU time of other processes needs Linux")
	}
	unpinned(t)
	self, err := os.Executable()
	require.NoError(t, err)
	line := "NETBENCH_TEST_FOREIGN={addr} exec " + self
	exit, out, stderr := netbench(t, t.Context(), "gate", "-base-cmd", line, "-head-cmd", line, "-url", "tcp://{addr}",
		"-conns", "10", "-size", "64", "-judge", "cpu+p99", "-rounds", "2", "-slice", "10ms", "-slices", "4", "-json", "-seed", "7")
	require.Equal(t, results.ExitUndecided, exit, stderr) // two rounds decide nothing
	var r gate.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	assert.Contains(t, []gate.Verdict{gate.Inconclusive, gate.Unfit}, r.Verdict) // unfit if the canary moved
	assert.True(t, r.Same)
	assert.Equal(t, line, r.Arms[1].Command)
	judged := map[string]bool{}
	for _, row := range r.Rows {
		judged[row.Unit] = row.Verdict != gate.Informs
		if row.Unit == "server-cpu-ns/op" {
			assert.Equal(t, 2, row.N, row.Warnings)
			require.NotNil(t, row.Base)
			assert.Greater(t, *row.Base, 100.0)
		}
	}
	assert.Equal(t, map[string]bool{"server-cpu-ns/op": true, "p99-ns": true, "req/s": false, "syscalls/op": false}, judged)
	assert.Contains(t, r.Again, "-head-cmd='NETBENCH_TEST_FOREIGN={addr} exec ")
}
