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

func cork(syscall.RawConn, bool) error { return errPlatform("TCP_CORK") }

func quickAck(syscall.RawConn) error { return errPlatform("TCP_QUICKACK") }

func sendMore(syscall.RawConn, []byte) error { return errPlatform("MSG_MORE") }

func setReceiveBuffer(syscall.RawConn, int) error { return errPlatform("a Stream's SO_RCVBUF") }

func setSendBuffer(syscall.RawConn, int) error { return errPlatform("a Stream's SO_SNDBUF") }

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
