package vectored

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const corkSupported = true

// cork switches TCP_CORK of a connection.
type cork struct {
	raw   syscall.RawConn
	value int
	err   error
	apply func(fd uintptr) // as a value, since making it anew would allocate
}

func newCork(c *net.TCPConn) (*cork, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	k := &cork{raw: raw}
	k.apply = func(fd uintptr) {
		k.err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, k.value)
	}
	return k, nil
}

// set corks the connection, or lets go what the cork has held back.
func (k *cork) set(on bool) error {
	k.value = 0
	if on {
		k.value = 1
	}
	if err := k.raw.Control(k.apply); err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt TCP_CORK", k.err)
}
