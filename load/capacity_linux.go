package load

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// descriptorRoom is the number of descriptors that this process may still open.
func descriptorRoom() int {
	open := 16
	if names, err := os.ReadDir("/proc/self/fd"); err == nil {
		open = len(names)
	}
	return descriptorLimit() - open
}

// descriptorLimit is the number of descriptors that a process may have open,
// this one or a child that it starts.
func descriptorLimit() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 1024
	}
	return int(min(r.Cur, 1<<30))
}

// manySources tells whether connections to t may come from many addresses: on
// Linux each address of 127.0.0.0/8 is this host.
func manySources(t Target) bool {
	ap, err := netip.ParseAddrPort(t.Address)
	return err == nil && ap.Addr().Unmap().Is4() && ap.Addr().Unmap().IsLoopback()
}
