package conditions

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// options reads socket options and keeps the first error.
type options struct {
	fd  int
	err error
}

func (o *options) get(level, option int, name string) int {
	value, err := unix.GetsockoptInt(o.fd, level, option)
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("read %s: %w", name, err)
	}
	return value
}

// buffer is the size of a buffer, 0 if the kernel tunes it.
func (o *options) buffer(option, fixed int, name string) int {
	size := o.get(unix.SOL_SOCKET, option, name)
	if o.get(unix.SOL_SOCKET, unix.SO_BUF_LOCK, "SO_BUF_LOCK")&fixed == 0 {
		return 0
	}
	return size
}

// Bits of SO_BUF_LOCK: the size was set and is not tuned any more.
const (
	sendFixed    = 1
	receiveFixed = 2
)

func (o *options) protocol() string {
	switch n := o.get(unix.SOL_SOCKET, unix.SO_PROTOCOL, "SO_PROTOCOL"); n {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_MPTCP:
		return "mptcp"
	default:
		return fmt.Sprint("protocol ", n)
	}
}

func (c *Conditions) readAccepted(fd int) error {
	o := &options{fd: fd}
	c.NoDelay = o.get(unix.IPPROTO_TCP, unix.TCP_NODELAY, "TCP_NODELAY") != 0
	c.KeepAlive = o.get(unix.SOL_SOCKET, unix.SO_KEEPALIVE, "SO_KEEPALIVE") != 0
	c.RecvBuffer = o.buffer(unix.SO_RCVBUF, receiveFixed, "SO_RCVBUF")
	c.SendBuffer = o.buffer(unix.SO_SNDBUF, sendFixed, "SO_SNDBUF")
	c.UserTimeout = o.get(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT")
	c.NotSentLowMark = o.get(unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT")
	c.Protocol = o.protocol()
	if o.err != nil {
		return o.err
	}
	busy, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL)
	if err != nil && !errors.Is(err, unix.ENOPROTOOPT) { // the kernel may be without it
		return fmt.Errorf("read SO_BUSY_POLL: %w", err)
	}
	c.BusyPoll = busy
	if c.Congestion, err = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION); err != nil {
		return fmt.Errorf("read TCP_CONGESTION: %w", err)
	}
	linger, err := unix.GetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER)
	if err != nil {
		return fmt.Errorf("read SO_LINGER: %w", err)
	}
	if c.Linger = -1; linger.Onoff != 0 {
		c.Linger = int(linger.Linger)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return fmt.Errorf("read the flags: %w", err)
	}
	c.NonBlocking = flags&unix.O_NONBLOCK != 0
	return nil
}

func (c *Conditions) readListeners(all []socket) error {
	if len(all) == 0 {
		return errors.New("none of its processes has a socket that listens on its port")
	}
	c.Listeners = len(all)
	for i, s := range all {
		o := &options{fd: s.fd}
		if i == 0 {
			c.ReusePort = o.get(unix.SOL_SOCKET, unix.SO_REUSEPORT, "SO_REUSEPORT") != 0
			c.DeferAccept = o.get(unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, "TCP_DEFER_ACCEPT") != 0
			c.FastOpen = o.get(unix.IPPROTO_TCP, unix.TCP_FASTOPEN, "TCP_FASTOPEN") != 0
			c.ListenerProtocol = o.protocol()
			if o.err != nil {
				return fmt.Errorf("listener: %w", o.err)
			}
		}
		// On a listener these two are the length of the backlog now and at most.
		info, err := unix.GetsockoptTCPInfo(s.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return fmt.Errorf("listener: read TCP_INFO: %w", err)
		}
		if i == 0 || int(info.Sacked) < c.Backlog {
			c.Backlog = int(info.Sacked)
		}
	}
	return nil
}
