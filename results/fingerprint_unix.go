//go:build unix && !linux

package results

import (
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// readHost reads what the BSDs and macOS tell through uname, sysctl and
// getrlimit. The rest stays absent.
func (h hostRoot) readHost(f *Fingerprint) {
	f.CPUs = runtime.NumCPU()
	f.Kernel, f.CPUModel = bsdHost()
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err == nil {
		f.NoFile = strings.Join([]string{
			strconv.FormatUint(uint64(r.Cur), 10), strconv.FormatUint(uint64(r.Max), 10)}, "/")
	}
}
