package beforeafter

import (
	"bytes"
	"os"
	"strconv"
)

// resetPeakRSS makes the kernel forget this process's largest resident set: proc(5),
// clear_refs. Where it refuses, the peak has the start of the process in it.
func resetPeakRSS() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peakRSS is this process's largest resident set, in bytes; nil if it cannot be told.
func peakRSS() *uint64 { return kernelField("/proc/self/status", "VmHWM:") }

// availableMemory is what new programs may have without swapping, in bytes, and not
// more than the control group grants; nil if it cannot be told.
func availableMemory() *uint64 {
	available := kernelField("/proc/meminfo", "MemAvailable:")
	text, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil || available == nil {
		return available
	}
	if granted, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64); err == nil {
		*available = min(*available, granted)
	}
	return available
}

// kernelField reads a line of the form "name 123 kB".
func kernelField(path, name string) *uint64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) == 3 && string(fields[0]) == name {
			if kib, err := strconv.ParseUint(string(fields[1]), 10, 64); err == nil {
				bytes := kib << 10
				return &bytes
			}
		}
	}
	return nil
}
