package results

import (
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// cgroupQuota returns how many CPUs' worth of time the control group of a
// process may use, "max" if it is not limited, and the version of the interface
// that said so; both are absent where no group with a CPU controller is visible.
//
// A group is also bound by those above it, so the smallest quota on the way up
// to the root of the mount is in force.
func cgroupQuota(p procfs.Proc) (cpus string, version int) {
	groups, err := p.Cgroups()
	if err != nil {
		return "", 0
	}
	mounts, err := p.MountInfo()
	if err != nil {
		return "", 0
	}
	// A hybrid host has both; the CPU controller belongs to one of them, and to
	// version 1 if that mounts it.
	for _, version := range []int{1, 2} {
		for _, g := range groups {
			if version == 1 && !slices.Contains(g.Controllers, "cpu") || version == 2 && g.HierarchyID != 0 {
				continue
			}
			for _, m := range mounts {
				dir, ok := cgroupDir(m, g.Path, version)
				if !ok {
					continue
				}
				if quota, ok := tightestQuota(m.MountPoint, dir, version); ok {
					if math.IsInf(quota, 1) {
						return "max", version
					}
					return strconv.FormatFloat(quota, 'f', -1, 64), version
				}
			}
		}
	}
	return "", 0
}

// cgroupDir is where the group's files are, if the mount holds them. In a
// container the root of the mount is often the group itself.
func cgroupDir(m *procfs.MountInfo, group string, version int) (string, bool) {
	switch version {
	case 1:
		if _, ok := m.SuperOptions["cpu"]; m.FSType != "cgroup" || !ok {
			return "", false
		}
	case 2:
		if m.FSType != "cgroup2" {
			return "", false
		}
	}
	if m.Root != "/" {
		rest, ok := strings.CutPrefix(group, m.Root)
		if !ok || rest != "" && rest[0] != '/' {
			// The path is that of another namespace: the mount's root is the
			// closest group that can be seen.
			rest = "/"
		}
		group = rest
	}
	return filepath.Join(m.MountPoint, path.Clean("/"+group)), true
}

func tightestQuota(root, dir string, version int) (cpus float64, ok bool) {
	cpus = math.Inf(1)
	for {
		if q, found := readQuota(dir, version); found {
			cpus, ok = min(cpus, q), true
		}
		if dir == root || len(dir) <= len(root) {
			return cpus, ok
		}
		dir = filepath.Dir(dir)
	}
}

// readQuota reads one group's quota in CPUs, +Inf if it has none.
func readQuota(dir string, version int) (float64, bool) {
	read := func(name string) []string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil
		}
		return strings.Fields(string(b))
	}
	var fields []string
	if version == 2 {
		fields = read("cpu.max")
	} else {
		fields = append(read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")...)
	}
	if len(fields) != 2 {
		return 0, false
	}
	if fields[0] == "max" || fields[0] == "-1" {
		return math.Inf(1), true
	}
	quota, err1 := strconv.ParseFloat(fields[0], 64)
	period, err2 := strconv.ParseFloat(fields[1], 64)
	if err1 != nil || err2 != nil || quota <= 0 || period <= 0 {
		return 0, false
	}
	return quota / period, true
}
