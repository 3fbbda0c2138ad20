//go:build !linux

package zerocopy

import "net"

// checkCongestion fails on this system.
func checkCongestion(string) error { return absent("a choice of congestion control") }

// setCongestion is never reached on this system, as checkCongestion fails.
func setCongestion(*net.TCPConn, string) error { return absent("a choice of congestion control") }

// checkPacing fails on this system.
func checkPacing() error { return absent("pacing") }

// setPacing is never reached on this system, as checkPacing fails.
func setPacing(*net.TCPConn, int64) error { return absent("pacing") }
