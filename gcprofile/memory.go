package gcprofile

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// Host tells how much memory is left. Root is the file system that /proc and
// /sys/fs/cgroup are read from.
type Host struct{ Root fs.FS }

// ThisHost is the host that this process runs on.
func ThisHost() Host { return Host{os.DirFS("/")} }

// overhead is what a server needs beside its heap: program, stacks, the runtime's own.
const overhead = 32 << 20

// Available is how many bytes a process may still take before something is killed or
// swapped out, and what says so: what the kernel estimates to be available
// (MemAvailable), or what is left of a limit of the control group that this process is
// in, or of one above it, whichever is less. known is false where the host does not
// tell, as those that are not Linux.
func (h Host) Available() (left int64, source string, known bool) {
	if m, ok := h.memAvailable(); ok {
		left, source, known = m, "MemAvailable", true
	}
	if c, ok := h.cgroupRoom(); ok && (!known || c < left) {
		left, source, known = c, "the control group's limit", true
	}
	return left, source, known
}

// fits is nil if so many bytes of heap can be had.
func (h Host) fits(heap int64) error {
	left, source, known := h.Available()
	if heap == 0 || !known || heap+overhead <= left {
		return nil
	}
	return fmt.Errorf("a heap of %s does not fit: %s leaves %s, of which %s are for all else (give a smaller live set, or raise the limit)",
		roundSize(float64(heap)), source, roundSize(float64(max(0, left))), roundSize(overhead))
}

func (h Host) memAvailable() (int64, bool) {
	text, err := fs.ReadFile(h.Root, "proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("MemAvailable:")); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(rest)), "kB")), 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

// hierarchies say where a version of control groups keeps its limits.
var hierarchies = []struct {
	root, limit, usage string
	inactive           string // in memory.stat: page cache that the kernel gives up first
	v1                 bool
}{
	{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file", false},
	{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", true},
}

// cgroupRoom is the least that a limit leaves on the way from the group up to the
// root. A path that is not there belongs to another namespace: the root is the
// closest group that can be seen then.
func (h Host) cgroupRoom() (room int64, limited bool) {
	text, err := fs.ReadFile(h.Root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	for _, line := range strings.Split(string(text), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		for _, version := range hierarchies {
			controllers := "," + parts[1] + ","
			if version.v1 && !strings.Contains(controllers, ",memory,") || !version.v1 && parts[1] != "" {
				continue
			}
			for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
				if r, ok := h.groupRoom(path.Join(version.root, group), version.limit, version.usage, version.inactive); ok && (!limited || r < room) {
					room, limited = r, true
				}
				if group == "/" {
					break
				}
			}
		}
	}
	return room, limited
}

func (h Host) groupRoom(dir, limitFile, usageFile, inactive string) (int64, bool) {
	limit, ok := h.number(path.Join(dir, limitFile))
	if !ok || limit >= 1<<60 { // version 1 writes a huge number for none
		return 0, false
	}
	usage, ok := h.number(path.Join(dir, usageFile))
	if !ok {
		return limit, true
	}
	stat, _ := fs.ReadFile(h.Root, path.Join(dir, "memory.stat"))
	for _, line := range strings.Split(string(stat), "\n") {
		if rest, is := strings.CutPrefix(line, inactive+" "); is {
			if n, err := strconv.ParseInt(rest, 10, 64); err == nil {
				usage -= min(n, usage)
			}
		}
	}
	return max(0, limit-usage), true
}

// number reads a file that holds one; "max" is none.
func (h Host) number(name string) (int64, bool) {
	text, err := fs.ReadFile(h.Root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}
