package load

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// descriptorRoom is the number of descriptors that this process may still open.
func descriptorRoom() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 1024
	}
	open := 16
	if names, err := os.ReadDir("/proc/self/fd"); err == nil {
		open = len(names)
	}
	return int(min(r.Cur, 1<<30)) - open
}

// manySources tells whether connections to t may come from many addresses: on
// Linux each address of 127.0.0.0/8 is this host.
func manySources(t Target) bool {
	ap, err := netip.ParseAddrPort(t.Address)
	return err == nil && ap.Addr().Unmap().Is4() && ap.Addr().Unmap().IsLoopback()
}
