//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package results

import (
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

func bsdHost() (kernel, cpu string) {
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		kernel = strings.TrimSpace(unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]))
	}
	name := "hw.model"
	if runtime.GOOS == "darwin" {
		name = "machdep.cpu.brand_string"
	}
	if s, err := unix.Sysctl(name); err == nil {
		cpu = strings.TrimSpace(s)
	}
	return kernel, cpu
}
