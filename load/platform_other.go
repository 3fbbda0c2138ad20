//go:build !linux

package load

import "syscall"

const defaultEngine = Portable

func newEpollEngine(*Plan, int) (engine, error) {
	return nil, badInput("engine epoll is not available on this platform (use portable)")
}

// bindNoPort is not needed where connections come from one source address.
func bindNoPort(_, _ string, _ syscall.RawConn) error { return nil }
