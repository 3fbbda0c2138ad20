//go:build !unix || aix || solaris || illumos

package listen

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

// Temporary tells whether an accept that failed may succeed later.
func Temporary(err error) bool {
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

// InheritsBuffers tells whether the listener hands its buffer sizes down.
const InheritsBuffers = false

func setBuffers(syscall.RawConn, models.Config) error { return nil }

func setNoDelay(syscall.RawConn, Options) error { return nil }

func setBacklog(net.Listener, int) error { return models.ErrUnsupported }

// Queued tells whether a connection waits in the backlog, which is not known here.
func Queued(net.Listener) (ready, known bool) { return false, false }

// Unread is how many bytes have arrived, which is not known here.
func Unread(net.Conn) (n int, known bool) { return 0, false }

// Readable tells whether a descriptor has input, which is not known here.
func Readable(int) (bool, error) { return false, models.ErrUnsupported }
