//go:build !linux

package buffers

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// hasCork tells that there are no TCP_CORK, MSG_MORE and TCP_QUICKACK, or none that
// this package knows.
const hasCork = false

func errPlatform(what string) error {
	return fmt.Errorf("buffers: %s needs Linux: %w", what, errors.ErrUnsupported)
}

// setter sets an option that there is not.
type setter struct{ what string }

func (s *setter) to(int) error { return errPlatform(s.what) }

func newCork(syscall.RawConn) *setter { return &setter{"TCP_CORK"} }

func newQuickAck(syscall.RawConn) *setter { return &setter{"TCP_QUICKACK"} }

// more sends with a flag that there is not.
type more struct{}

func newMore(syscall.RawConn) *more { return &more{} }

func (*more) send([]byte) error { return errPlatform("MSG_MORE") }

func setReceiveBuffer(syscall.RawConn, int, bool) error { return errPlatform("a Stream's SO_RCVBUF") }

func setSendBuffer(syscall.RawConn, int, bool) error { return errPlatform("a Stream's SO_SNDBUF") }

func setCongestion(syscall.RawConn, string) error { return errPlatform("TCP_CONGESTION") }

func stateOf(syscall.RawConn) (SocketState, error) {
	return SocketState{}, errPlatform("the state of a socket")
}

// ReadKernelLimits fails on this platform.
func ReadKernelLimits() (KernelLimits, error) { return KernelLimits{}, errPlatform("kernel limits") }

// listenIn listens; there are no network namespaces here.
func listenIn(namespace, address string) (net.Listener, error) {
	if namespace != "" {
		return nil, errPlatform("a network namespace")
	}
	return listenTCP(address)
}
