//go:build !linux

package proxy

import (
	"fmt"

	"netbench/models"
)

// ReadHoldings looks at the descriptors of a process. It needs Linux.
func ReadHoldings(int) (Holdings, error) {
	return Holdings{}, fmt.Errorf("proxy: descriptors of a process: %w (it needs Linux)", models.ErrUnsupported)
}
