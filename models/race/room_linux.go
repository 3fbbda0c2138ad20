package race

import (
	"fmt"
	"os"
)

// limitsOfHost reads what the kernel allows. What cannot be read is unknown.
func limitsOfHost() (l limits) {
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		var low, high int
		if n, _ := fmt.Sscan(string(b), &low, &high); n == 2 {
			l.ports = high - low + 1
		}
	}
	if b, err := os.ReadFile("/proc/sys/fs/file-nr"); err == nil {
		var used, free, most float64 // the last may be as large as an uint64
		if n, _ := fmt.Sscan(string(b), &used, &free, &most); n == 3 {
			l.files = int(min(most-used, 1<<40))
		}
	}
	return l
}
