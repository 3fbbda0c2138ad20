package results

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

func (h hostRoot) readHost(f *Fingerprint) {
	f.Kernel = strings.TrimSpace("Linux " + h.line(h.proc, "sys/kernel/osrelease"))
	if f.Kernel == "Linux" {
		f.Kernel = ""
	}
	f.NoFile = noFile()
	f.THP = bracketed(h.line(h.sys, "kernel/mm/transparent_hugepage/enabled"))
	f.Governor = h.governor()
	f.CPUs = cpuListLen(h.line(h.sys, "devices/system/cpu/online"))

	fs, err := procfs.NewFS(h.proc)
	if err != nil {
		return
	}
	if l, err := fs.LoadAvg(); err == nil {
		f.LoadAverage = []float64{l.Load1, l.Load5, l.Load15}
	}
	if m, err := fs.Meminfo(); err == nil && m.MemTotalBytes != nil {
		f.Memory = *m.MemTotalBytes
	}
	var vm bool
	if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 {
		f.CPUModel = strings.TrimSpace(cpus[0].ModelName)
		vm = slices.Contains(cpus[0].Flags, "hypervisor")
	}
	f.Virt = h.virt(vm)
	for _, name := range sysctlNames {
		if v, err := fs.SysctlStrings(name); err == nil && len(v) > 0 {
			if f.Sysctls == nil {
				f.Sysctls = make(map[string]string)
			}
			f.Sysctls[name] = strings.Join(v, " ")
		}
	}
	self, err := fs.Self()
	if err != nil {
		return
	}
	if status, err := self.NewStatus(); err == nil {
		f.CPUSet = formatCPUList(status.CpusAllowedList)
	}
	f.CgroupCPUs, f.CgroupVersion = cgroupQuota(self)
}

// line reads a file of one line, "" if it cannot be read.
func (h hostRoot) line(root, name string) string {
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// governor returns what scales the frequency of the CPUs, all of them if they
// differ.
func (h hostRoot) governor() string {
	files, err := filepath.Glob(filepath.Join(h.sys, "devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
	if err != nil {
		return ""
	}
	var names []string
	for _, file := range files {
		if g := h.line("", file); g != "" && !slices.Contains(names, g) {
			names = append(names, g)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// virt is a hint only: a hypervisor may hide.
func (h hostRoot) virt(vm bool) string {
	var parts []string
	if vm {
		parts = append(parts, strings.TrimSpace("vm "+h.line(h.sys, "class/dmi/id/product_name")))
	}
	for _, marker := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(marker); err == nil {
			parts = append(parts, "container")
			break
		}
	}
	return strings.Join(parts, ", ")
}

// noFile returns the limits in force in this process. Go raises the soft one to
// the hard one at start, so they are mostly equal.
func noFile() string {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return ""
	}
	text := func(n uint64) string {
		if n == unix.RLIM_INFINITY {
			return "unlimited"
		}
		return strconv.FormatUint(n, 10)
	}
	return text(r.Cur) + "/" + text(r.Max)
}

// bracketed returns the choice that the kernel marks in "always [madvise] never".
func bracketed(s string) string {
	if _, rest, ok := strings.Cut(s, "["); ok {
		if choice, _, ok := strings.Cut(rest, "]"); ok {
			return choice
		}
	}
	return s
}

// formatCPUList writes CPU numbers in the kernel's list format: 0-3,8.
func formatCPUList(cpus []uint64) string {
	cpus = slices.Clone(cpus)
	slices.Sort(cpus)
	cpus = slices.Compact(cpus)
	var b strings.Builder
	for i := 0; i < len(cpus); {
		j := i
		for j+1 < len(cpus) && cpus[j+1] == cpus[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		if i == j {
			fmt.Fprintf(&b, "%d", cpus[i])
		} else {
			fmt.Fprintf(&b, "%d-%d", cpus[i], cpus[j])
		}
		i = j + 1
	}
	return b.String()
}

// cpuListLen counts the CPUs of a list, 0 if it is not one.
func cpuListLen(list string) int {
	n := 0
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA != nil || errB != nil || a < 0 || b < a {
			return 0
		}
		n += b - a + 1
	}
	return n
}
