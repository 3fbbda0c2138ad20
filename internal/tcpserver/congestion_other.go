//go:build !linux

package tcpserver

import (
	"fmt"
	"net"

	"netbench/models"
)

// CheckCongestion fails on this system.
func CheckCongestion(name string) error {
	return fmt.Errorf("congestion control %.20q: %w (it needs Linux)", name, models.ErrUnsupported)
}

// SetCongestion fails on this system.
func SetCongestion(_ *net.TCPConn, name string) error { return CheckCongestion(name) }

// SetPacing fails on this system.
func SetPacing(*net.TCPConn, int64) error {
	return fmt.Errorf("pacing: %w (it needs Linux)", models.ErrUnsupported)
}
