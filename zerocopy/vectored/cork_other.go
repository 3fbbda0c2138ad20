//go:build !linux

package vectored

import (
	"net"

	"netbench/models"
)

const corkSupported = false

// cork is what Linux has.
type cork struct{}

func newCork(*net.TCPConn) (*cork, error) { return nil, models.ErrUnsupported }

func (*cork) set(bool) error { return models.ErrUnsupported }
