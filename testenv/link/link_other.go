//go:build !linux

package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
)

// Link is a pair of hosts and what joins them. This system has none.
type Link struct{}

// End is one of the hosts of a [Link].
type End struct{}

var errAbsent = fmt.Errorf("link: not on %s: %w (use Linux: links need its network namespaces)", runtime.GOOS, errors.ErrUnsupported)

// Supported returns the reason why this system has no links.
func Supported() error { return errAbsent }

// New fails: this system has no links.
func New(context.Context, Config) (*Link, error) { return nil, errAbsent }

// A is the one end.
func (l *Link) A() *End { return &End{} }

// B is the other end.
func (l *Link) B() *End { return &End{} }

// Change fails.
func (l *Link) Change(aToB, bToA Shape) error { return errAbsent }

// Stats fails.
func (l *Link) Stats() (Stats, error) { return Stats{}, errAbsent }

// Close has nothing to do.
func (l *Link) Close() error { return nil }

// Addr is no address.
func (e *End) Addr() netip.Addr { return netip.Addr{} }

// Namespace is empty.
func (e *End) Namespace() string { return "" }

// Do fails.
func (e *End) Do(func() error) error { return errAbsent }

// Listen fails.
func (e *End) Listen(network, address string) (net.Listener, error) { return nil, errAbsent }

// ListenPacket fails.
func (e *End) ListenPacket(network, address string) (net.PacketConn, error) { return nil, errAbsent }

// Dial fails.
func (e *End) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return nil, errAbsent
}

// Start fails.
func (e *End) Start(*exec.Cmd) error { return errAbsent }

// Run fails.
func (e *End) Run(*exec.Cmd) error { return errAbsent }
