//go:build !linux

package zerocopy

import (
	"errors"
	"fmt"
	"net"
	"runtime"
)

// absent is the error of what this system does not have.
func absent(what string) error {
	return fmt.Errorf("%s needs Linux, this is %s (use copy or buffer-64KiB): %w", what, runtime.GOOS, errors.ErrUnsupported)
}

// newNativeSender fails on this system.
func newNativeSender(_ *net.TCPConn, way Way) (Sender, error) {
	return nil, absent("way " + way.String())
}

// ZeroCopyConn sends by MSG_ZEROCOPY. This system does not have it.
type ZeroCopyConn struct{}

// NewZeroCopyConn fails on this system.
func NewZeroCopyConn(*net.TCPConn, int, int) (*ZeroCopyConn, error) {
	return nil, absent("MSG_ZEROCOPY")
}

// Message is a buffer of a [ZeroCopyConn].
type Message struct {
	Bytes []byte
}

// Take fails.
func (z *ZeroCopyConn) Take() (*Message, error) { return nil, absent("MSG_ZEROCOPY") }

// Drop does nothing.
func (z *ZeroCopyConn) Drop(*Message) {}

// Send fails.
func (z *ZeroCopyConn) Send(*Message, int) (int, error) { return 0, absent("MSG_ZEROCOPY") }

// Settle fails.
func (z *ZeroCopyConn) Settle() error { return absent("MSG_ZEROCOPY") }

// Counts are zero.
func (z *ZeroCopyConn) Counts() ZeroCopyCounts { return ZeroCopyCounts{} }

// Close has nothing to do.
func (z *ZeroCopyConn) Close() error { return nil }
