package results

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// writerDir makes this binary write half a run into the directory it names, and
// then wait to be killed.
const writerDir = "RESULTS_TEST_WRITER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		w, err := Create(dir, aHost())
		if err == nil {
			err = w.Result("BenchmarkEcho-2 100 12 ns/op")
		}
		fmt.Println("written", err)
		time.Sleep(time.Minute) // the bound in case nobody kills it
		os.Exit(1)
	}
	// Every run is synced to the disk, which takes half a second when others
	// write a lot; memory is always quick.
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err == nil && info.IsDir() && os.Getenv("TMPDIR") == "" {
		os.Setenv("TMPDIR", memory)
	}
	before := descriptors()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		// The poller and a pipe of the runtime may be opened by the first use.
		if after := descriptors(); code == 0 && after > before+4 {
			fmt.Fprintf(os.Stderr, "%d descriptors before the tests, %d after\n", before, after)
			code = 1
		}
		os.Exit(code)
	}))
}

// descriptors counts the open descriptors of this process, 0 where it cannot.
func descriptors() int {
	if runtime.GOOS != "linux" {
		return 0
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(files)
}

// aHost is a fingerprint that never changes.
func aHost() Fingerprint {
	dirty := true
	return Fingerprint{
		Start:     time.Date(2026, 11, 21, 1, 2, 3, 4e6, time.UTC),
		GoVersion: "go1.26.8", GOOS: "linux", GOARCH: "amd64", GOMAXPROCS: 2,
		GOGC: "100", GOMEMLIMIT: "off",
		Kernel: "Linux 6.18.44", CPUModel: "Some CPU @ 2.60GHz", CPUs: 4, Memory: 8 << 30,
		CPUSet: "0-1", CgroupCPUs: "1.5", CgroupVersion: 2, NoFile: "20000/20000", THP: "madvise",
		Sysctls: map[string]string{"net.core.somaxconn": "4096", "net.ipv4.tcp_rmem": "4096 131072 6291456"},
		Commit:  "0123456789abcdef0123456789abcdef01234567", Dirty: &dirty,
		LoadAverage: []float64{0.5, 1, 2.25},
	}
}

// aRun writes a complete run with the given result lines and returns its path.
func aRun(t *testing.T, dir string, f Fingerprint, lines ...string) string {
	t.Helper()
	w, err := Create(dir, f)
	require.NoError(t, err)
	for _, line := range lines {
		require.NoError(t, w.Result(line))
	}
	require.NoError(t, w.Commit())
	return w.Path()
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

// names lists the files in dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	var list []string
	for _, f := range files {
		list = append(list, f.Name())
	}
	return list
}
