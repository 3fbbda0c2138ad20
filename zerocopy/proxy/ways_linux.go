package proxy

import (
	"io"
	"net"

	"golang.org/x/sys/unix"
)

var ways = []Way{Buffer, Splice, Copy}

// newEngine makes the way that o, which is checked, asks for.
func newEngine(o Options, size int) (engine, error) {
	switch o.Way {
	case Splice:
		return newSpliced(o.IdlePipes, size)
	case Copy:
		return copied{}, nil
	}
	return buffered{size}, nil
}

// copied is [Copy].
type copied struct{}

// move leaves it to io.Copy. The destination's ReadFrom splices, because both are
// TCP connections and neither is hidden by another type.
func (copied) move(d *direction) error {
	n, err := io.Copy(d.dst, d.src)
	d.moved.Add(uint64(n))
	return err
}

// progress asks the kernel, as io.Copy tells nothing before it is done.
func (copied) progress(l *link) uint64 {
	client, upstream := l.connections()
	return transferred(client) + transferred(upstream)
}

func (copied) pipes() PipeStats { return PipeStats{} }
func (copied) close()           {}

// transferred is how many bytes a connection has received, and has sent and got
// acknowledged; 0 if that is not known.
func transferred(c *net.TCPConn) uint64 {
	if c == nil {
		return 0
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	var sum uint64
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			sum = info.Bytes_received + info.Bytes_acked
		}
	})
	return sum
}
