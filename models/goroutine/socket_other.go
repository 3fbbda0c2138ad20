//go:build !unix || aix || solaris || illumos

package goroutine

import (
	"errors"
	"net"
	"syscall"

	"netbench/models"
)

// Winsock's numbers of the errors that matter here.
const (
	wsaEMFILE       = syscall.Errno(10024)
	wsaEADDRINUSE   = syscall.Errno(10048)
	wsaECONNABORTED = syscall.Errno(10053)
	wsaECONNRESET   = syscall.Errno(10054)
	wsaENOBUFS      = syscall.Errno(10055)
	wsaECONNREFUSED = syscall.Errno(10061)
)

// temporary tells whether an accept that failed may succeed later.
func temporary(err error) bool {
	for _, number := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ECONNRESET, syscall.ENOBUFS, syscall.ENOMEM,
		wsaEMFILE, wsaECONNABORTED, wsaECONNRESET, wsaENOBUFS,
	} {
		if errors.Is(err, number) {
			return true
		}
	}
	return false
}

func inUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaEADDRINUSE)
}

func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, wsaECONNREFUSED)
}

// inheritsBuffers tells whether the listener hands its buffer sizes down.
const inheritsBuffers = false

func setBuffers(syscall.RawConn, models.Config) error { return nil }

func setBacklog(net.Listener, int) error { return models.ErrUnsupported }

func queued(net.Listener) (ready, known bool) { return false, false }

func unread(net.Conn) (n int, known bool) { return 0, false }
