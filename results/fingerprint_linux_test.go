package results

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tree writes files below a directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return root
}

func TestFingerprintReadsAHost(t *testing.T) {
	proc := tree(t, map[string]string{
		"sys/kernel/osrelease":             "6.1.0-test\n",
		"sys/net/core/somaxconn":           "4096\n",
		"sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
		"sys/net/ipv4/tcp_fin_timeout":     "0\n",
		"loadavg":                          "0.25 0.50 0.75 1/100 42\n",
		"meminfo":                          "MemTotal:       1024 kB\nMemFree:        1 kB\n",
		"cpuinfo":                          "processor\t: 0\nvendor_id\t: X\nmodel name\t: Test CPU \nflags\t\t: fpu hypervisor\n\nprocessor\t: 1\nmodel name\t: Test CPU\nflags\t\t: fpu\n",
		"7/status":                         "Name:\ttest\nCpus_allowed_list:\t0-2,5\n",
	})
	require.NoError(t, os.Symlink("7", filepath.Join(proc, "self")))
	sys := tree(t, map[string]string{
		"kernel/mm/transparent_hugepage/enabled":           "always [madvise] never\n",
		"devices/system/cpu/online":                        "0-3,6\n",
		"devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
		"devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
		"devices/system/cpu/cpu2/cpufreq/scaling_governor": "powersave\n",
		"class/dmi/id/product_name":                        "Virtual Machine\n",
	})
	f, err := hostRoot{proc: proc, sys: sys, dir: t.TempDir()}.collect(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "Linux 6.1.0-test", f.Kernel)
	assert.Equal(t, map[string]string{
		"net.core.somaxconn": "4096", "net.ipv4.ip_local_port_range": "32768 60999",
		"net.ipv4.tcp_fin_timeout": "0", // a zero that is there is not absent
	}, f.Sysctls)
	assert.Equal(t, []float64{0.25, 0.5, 0.75}, f.LoadAverage)
	assert.Equal(t, uint64(1<<20), f.Memory)
	assert.Equal(t, "Test CPU", f.CPUModel)
	assert.Contains(t, f.Virt, "vm Virtual Machine")
	assert.Equal(t, "0-2,5", f.CPUSet)
	assert.Equal(t, 5, f.CPUs)
	assert.Equal(t, "madvise", f.THP)
	assert.Equal(t, "performance,powersave", f.Governor)
}

func TestCgroupQuotaIsTheTightestOnTheWayUp(t *testing.T) {
	for name, c := range map[string]struct {
		cgroup string            // /proc/self/cgroup
		mounts []string          // root, type, super options, subdirectory of the tree
		files  map[string]string // below the tree
		cpus   string
		ver    int
	}{
		"v2": {
			cgroup: "0::/a/b\n", mounts: []string{"/ cgroup2 rw v2"},
			files: map[string]string{"v2/a/cpu.max": "150000 100000\n", "v2/a/b/cpu.max": "400000 100000\n"}, cpus: "1.5", ver: 2,
		},
		"v2 without a limit": {
			cgroup: "0::/a\n", mounts: []string{"/ cgroup2 rw v2"},
			files: map[string]string{"v2/a/cpu.max": "max 100000\n"}, cpus: "max", ver: 2,
		},
		"v2 root has no file": {
			cgroup: "0::/\n", mounts: []string{"/ cgroup2 rw v2"}, files: map[string]string{"v2/cgroup.procs": "1\n"},
		},
		"v1": {
			cgroup: "3:cpu,cpuacct:/job\n0::/\n", mounts: []string{"/ cgroup rw,cpu,cpuacct v1", "/ cgroup2 rw v2"},
			files: map[string]string{"v1/cpu.cfs_quota_us": "-1\n", "v1/cpu.cfs_period_us": "100000\n",
				"v1/job/cpu.cfs_quota_us": "50000\n", "v1/job/cpu.cfs_period_us": "100000\n"}, cpus: "0.5", ver: 1,
		},
		"v1 without a limit": {
			cgroup: "3:cpu:/\n", mounts: []string{"/ cgroup rw,cpu v1"},
			files: map[string]string{"v1/cpu.cfs_quota_us": "-1\n", "v1/cpu.cfs_period_us": "100000\n"}, cpus: "max", ver: 1,
		},
		"v1 in a container, whose mount begins at the group": {
			cgroup: "3:cpu:/docker/abc\n", mounts: []string{"/docker/abc cgroup rw,cpu v1"},
			files: map[string]string{"v1/cpu.cfs_quota_us": "200000\n", "v1/cpu.cfs_period_us": "100000\n"}, cpus: "2", ver: 1,
		},
		"hybrid with the controller in v2": {
			cgroup: "4:memory:/m\n0::/a\n", mounts: []string{"/ cgroup rw,memory v1", "/ cgroup2 rw v2"},
			files: map[string]string{"v2/a/cpu.max": "100000 100000\n"}, cpus: "1", ver: 2,
		},
		"nonsense": {
			cgroup: "0::/a\n", mounts: []string{"/ cgroup2 rw v2"}, files: map[string]string{"v2/a/cpu.max": "lots of it\n"},
		},
		"no cgroups": {cgroup: "", mounts: nil},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, c.files)
			var mountinfo strings.Builder
			for i, m := range c.mounts {
				f := strings.Fields(m)
				id := string(rune('1' + i))
				mountinfo.WriteString("3" + id + " 2" + id + " 0:2" + id + " " + f[0] + " " + filepath.Join(root, f[3]) + " rw - " + f[1] + " none " + f[2] + "\n")
			}
			proc := tree(t, map[string]string{"7/cgroup": c.cgroup, "7/mountinfo": mountinfo.String()})
			require.NoError(t, os.Symlink("7", filepath.Join(proc, "self")))
			var f Fingerprint
			hostRoot{proc: proc, sys: t.TempDir()}.readHost(&f)
			assert.Equal(t, c.cpus, f.CgroupCPUs)
			assert.Equal(t, c.ver, f.CgroupVersion)
		})
	}
}

func TestCPUListsAreReadAndWrittenAsTheKernelDoes(t *testing.T) {
	for list, n := range map[string]int{"0": 1, "0-3": 4, "0-1,4,6-7": 5, "": 0, "x": 0, "3-1": 0, "1,": 0} {
		assert.Equal(t, n, cpuListLen(list), "%q", list)
	}
	assert.Equal(t, "0-2,5,7-8", formatCPUList([]uint64{8, 0, 1, 2, 5, 7, 7}))
	assert.Equal(t, "", formatCPUList(nil))
}

func TestStealMeterReadsThisHost(t *testing.T) {
	m := StartSteal()
	require.Eventually(t, func() bool {
		share, ok := m.Share()
		return ok && share >= 0 && share <= 1
	}, 10*time.Second, 20*time.Millisecond, "the counters step by 10 ms")
}
