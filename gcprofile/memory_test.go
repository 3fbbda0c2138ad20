package gcprofile_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"netbench/gcprofile"
)

// host is a file system with the given files.
func host(files map[string]string) gcprofile.Host {
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return gcprofile.Host{Root: root}
}

// meminfo has so many MiB available.
func meminfo(mib int) string {
	return fmt.Sprintf("MemTotal:       99999999 kB\nMemFree:          100000 kB\nMemAvailable:   %8d kB\nBuffers: 1 kB\n", mib<<10)
}

func TestAvailableMemoryIsTheLeastOfAllLimits(t *testing.T) {
	const mib = "048576" // of a number of bytes
	for name, c := range map[string]struct {
		files  map[string]string
		mib    int64
		source string
	}{
		"host alone":       {map[string]string{"proc/meminfo": meminfo(500)}, 500, "MemAvailable"},
		"group of v2":      {map[string]string{"proc/meminfo": meminfo(500), "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "104857600\n", "sys/fs/cgroup/a/b/memory.current": "1" + mib + "\n"}, 99, "control group"},
		"group above":      {map[string]string{"proc/meminfo": meminfo(500), "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "104857600\n"}, 100, "control group"},
		"cache is no use":  {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "104857600\n", "sys/fs/cgroup/memory.current": "52428800\n", "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 20971520\n"}, 70, "control group"},
		"other namespace":  {map[string]string{"proc/meminfo": meminfo(500), "proc/self/cgroup": "0::/../outside\n", "sys/fs/cgroup/memory.max": "104857600\n"}, 100, "control group"},
		"group of v1":      {map[string]string{"proc/meminfo": meminfo(500), "proc/self/cgroup": "5:cpu:/x\n4:hugetlb,memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "104857600\n", "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "52428800\n"}, 50, "control group"},
		"no limit of v1":   {map[string]string{"proc/meminfo": meminfo(500), "proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 500, "MemAvailable"},
		"larger than host": {map[string]string{"proc/meminfo": meminfo(50), "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "104857600\n"}, 50, "MemAvailable"},
		"used up":          {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "2000\n"}, 0, "control group"},
	} {
		left, source, known := host(c.files).Available()
		require.True(t, known, name)
		assert.Equal(t, c.mib, left>>20, name)
		assert.Contains(t, source, c.source, name)
	}
	_, _, known := host(nil).Available()
	assert.False(t, known, "a host that does not tell")
}

func TestALiveSetLargerThanMemoryIsRefused(t *testing.T) {
	small := host(map[string]string{"proc/meminfo": meminfo(200)})
	group := host(map[string]string{"proc/meminfo": meminfo(9000), "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "209715200\n"})
	for _, h := range []gcprofile.Host{small, group} {
		err := gcprofile.Spec{Live: 256 * mebibyte}.Check(h)
		require.ErrorIs(t, err, gcprofile.ErrInput)
		assert.ErrorContains(t, err, "live set of 256MiB: a heap of 256MiB does not fit")
		assert.ErrorContains(t, err, "leaves 200MiB")
		assert.NotContains(t, err.Error(), "\n")

		assert.NoError(t, gcprofile.Spec{Live: 64 * mebibyte}.Check(h))
		err = gcprofile.Spec{Live: 64 * mebibyte, GOGC: 400}.Check(h)
		require.ErrorIs(t, err, gcprofile.ErrInput, "what it would grow to does not fit")
		assert.ErrorContains(t, err, "GOGC=400 with a live set of 64MiB: a heap of 320MiB does not fit")
		assert.NoError(t, gcprofile.Spec{Live: 64 * mebibyte, GOGC: 400, MemLimit: 100 * mebibyte}.Check(h), "a limit bounds it")
		assert.NoError(t, gcprofile.Spec{Live: 64 * mebibyte, GOGC: 400, MemLimit: 168 * mebibyte}.Check(h), "to what is left beside all else")
		assert.Error(t, gcprofile.Spec{Live: 64 * mebibyte, GOGC: 400, MemLimit: 169 * mebibyte}.Check(h), "and not more")

		_, err = gcprofile.Sweep(t.Context(), gcprofile.Plan{Spec: gcprofile.Spec{Live: 256 * mebibyte}, Host: h})
		require.ErrorIs(t, err, gcprofile.ErrInput)
	}
	assert.NoError(t, gcprofile.Spec{Live: 2048 * mebibyte, GOGC: 100}.Check(host(nil)), "nothing is known")
}
