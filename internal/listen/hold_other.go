//go:build !linux

package listen

import (
	"errors"
	"net"

	"netbench/models"
)

// CanHold tells whether Hold works here.
const CanHold = false

// Held keeps an address; not on this platform.
type Held struct{}

// Hold fails: whether a socket that is bound and does not listen takes part in
// the spreading of connections differs between platforms.
func Hold(models.Config, string) (*Held, error) {
	return nil, Unsupported(errors.New("holding an address without listening on it needs Linux"))
}

// Addr is nil.
func (h *Held) Addr() net.Addr { return nil }

// Config returns cfg.
func (h *Held) Config(cfg models.Config) models.Config { return cfg }

// Close does nothing.
func (h *Held) Close() error { return nil }
