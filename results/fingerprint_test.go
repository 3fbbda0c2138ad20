package results

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/internal/needs"
)

func TestFingerprintOfThisHostKnowsTheProcess(t *testing.T) {
	f, err := Collect(t.Context())
	require.NoError(t, err)
	assert.Equal(t, runtime.Version(), f.GoVersion)
	assert.Equal(t, runtime.GOOS, f.GOOS)
	assert.Equal(t, runtime.GOMAXPROCS(0), f.GOMAXPROCS)
	if runtime.GOOS == "linux" {
		assert.NotEmpty(t, f.Kernel)
		assert.NotEmpty(t, f.CPUSet)
		assert.NotEmpty(t, f.NoFile)
		assert.Positive(t, f.CPUs)
		assert.Positive(t, f.Memory)
		assert.Len(t, f.LoadAverage, 3)
		assert.NotEmpty(t, f.Sysctls["net.core.somaxconn"])
	}
	host, err := os.Hostname()
	require.NoError(t, err)
	if len(host) > 3 { // shorter ones may be part of a word
		for _, kv := range f.Lines() {
			assert.NotContains(t, kv.Value, host, "%s tells the name of the host", kv.Key)
		}
	}
}

func TestFingerprintKnowsWhatIsInForceInTheCollector(t *testing.T) {
	gogc := debug.SetGCPercent(150)
	limit := debug.SetMemoryLimit(1 << 40)
	defer func() {
		debug.SetGCPercent(gogc)
		debug.SetMemoryLimit(limit)
	}()
	percent, bytes := collectorSettings()
	assert.Equal(t, "150", percent)
	assert.Equal(t, "1099511627776", bytes)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1<<63 - 1)
	percent, bytes = collectorSettings()
	assert.Equal(t, "off", percent)
	assert.Equal(t, "off", bytes)
}

func TestFingerprintLinesAreStableKeysOfBenchmarkFormat(t *testing.T) {
	f := aHost()
	f.ServerCPUs, f.GeneratorCPUs = "0", "1"
	lines := f.Lines()
	assert.Equal(t, lines, f.Lines())
	key := regexp.MustCompile(`^[a-z][a-z0-9._-]*$`)
	var text string
	seen := make(map[string]bool)
	for _, kv := range lines {
		assert.Regexp(t, key, kv.Key)
		assert.False(t, seen[kv.Key], "%s twice", kv.Key)
		seen[kv.Key] = true
		text += kv.line() + "\n"
	}
	golden(t, "fingerprint.txt", text)
}

func TestWhatIsAbsentIsNeitherPrintedNorEncoded(t *testing.T) {
	assert.Empty(t, Fingerprint{}.Lines())
	f := hostRoot{proc: t.TempDir(), sys: t.TempDir(), dir: t.TempDir()}
	got, err := f.collect(t.Context())
	require.NoError(t, err)
	for _, kv := range got.Lines() {
		assert.NotContains(t, []string{"commit", "dirty", "load-average", "memory", "cpu-set", "cgroup-cpus", "cgroup-version", "governor", "thp"}, kv.Key)
		assert.NotContains(t, kv.Key, "sysctl.")
	}
	data, err := json.Marshal(got)
	require.NoError(t, err)
	for _, key := range []string{"commit", "dirty", "load_average", "memory_bytes", "cgroup_cpus", "cgroup_version", "sysctls", "server_cpus"} {
		assert.NotContains(t, string(data), `"`+key+`"`)
	}
}

func TestFingerprintSurvivesJSON(t *testing.T) {
	data, err := json.Marshal(aHost())
	require.NoError(t, err)
	var back Fingerprint
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, aHost(), back)
}

func TestCollectEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Collect(ctx)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestRevisionTellsCommitAndWhetherAnythingDiffers(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		needs.Skip(t, needs.Git, err)
	}
	dir := t.TempDir()
	for _, v := range []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"} {
		t.Setenv(v, "") // restores it afterwards
		os.Unsetenv(v)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(dir))
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@b.invalid"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	commit, dirty := revision(t.Context(), dir)
	assert.Empty(t, commit, "no checkout")
	assert.Nil(t, dirty)

	git("init", "-q")
	commit, dirty = revision(t.Context(), dir)
	assert.Empty(t, commit, "no commit yet")
	assert.Nil(t, dirty)

	file := filepath.Join(dir, "a")
	require.NoError(t, os.WriteFile(file, []byte("1"), 0o644))
	git("add", "a")
	git("commit", "-q", "-m", "a")
	commit, dirty = revision(t.Context(), dir)
	assert.Regexp(t, `^[0-9a-f]{40}$`, commit)
	require.NotNil(t, dirty)
	assert.False(t, *dirty)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.go"), nil, 0o644))
	_, dirty = revision(t.Context(), dir)
	require.NotNil(t, dirty)
	assert.True(t, *dirty, "a new file may be part of the build")

	t.Setenv("PATH", t.TempDir())
	commit, dirty = revision(t.Context(), dir)
	assert.Empty(t, commit, "no git")
	assert.Nil(t, dirty)
}

func TestStealIsTheShareOfAllTimeSinceTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		steal, total float64
		ok           bool
		share        float64
		found        bool
	}{
		"a tenth":           {12, 120, true, 0.1, true},
		"none":              {10, 120, true, 0, true},
		"no time passed":    {10, 100, true, 0, false},
		"counters ran back": {9, 120, true, 0, false},
		"more than all":     {40, 120, true, 0, false},
		"cannot be read":    {12, 120, false, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			readings := [][2]float64{{10, 100}, {c.steal, c.total}}
			oks := []bool{true, c.ok}
			i := 0
			m := startSteal(func() (float64, float64, bool) {
				r, ok := readings[i], oks[i]
				i++
				return r[0], r[1], ok
			})
			share, found := m.Share()
			assert.Equal(t, c.found, found)
			assert.InDelta(t, c.share, share, 1e-12)
		})
	}
	_, found := startSteal(func() (float64, float64, bool) { return 0, 0, false }).Share()
	assert.False(t, found)
}
