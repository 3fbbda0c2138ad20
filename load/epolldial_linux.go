package load

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sockaddr is a target in the form that the kernel wants.
type sockaddr struct {
	domain int
	sa     unix.Sockaddr
	loop4  bool // 127.0.0.0/8, where any source address of that net may be used
}

func newSockaddr(t Target) (*sockaddr, error) {
	if t.Network == "unix" {
		if len(t.Address) > 107 {
			return nil, badInput("socket path %q is longer than 107 bytes", t.Address)
		}
		return &sockaddr{domain: unix.AF_UNIX, sa: &unix.SockaddrUnix{Name: t.Address}}, nil
	}
	ap, err := netip.ParseAddrPort(t.Address)
	if err != nil {
		return nil, badInput("target address %q: %v", t.Address, err)
	}
	if a := ap.Addr().Unmap(); a.Is4() {
		return &sockaddr{
			domain: unix.AF_INET,
			sa:     &unix.SockaddrInet4{Port: int(ap.Port()), Addr: a.As4()},
			loop4:  a.IsLoopback(),
		}, nil
	}
	sa := &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16()}
	return &sockaddr{domain: unix.AF_INET6, sa: sa}, nil
}

// source returns the loopback address that connection i is to come from next.
func (w *epollWorker) source(i int) (addr [4]byte, set bool) {
	if w.p.Mode == Connect {
		return connectSource(w.shard, w.dialled)
	}
	return heldSource(i*w.shards+w.shard, len(w.addrs))
}

// dial begins to connect. It returns false where the kernel has no room in a
// Unix socket's backlog yet.
func (w *epollWorker) dial(i int, c *epollConn) bool {
	// The connections of all workers and processes are dealt out over targets.
	t := w.addrs[(i*w.shards+w.shard)%len(w.addrs)]
	now := nanos()
	c.since, c.state = now, connDialing
	w.dialling++
	fd, err := unix.Socket(t.domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		w.dialFailed(i, c, DialError, err)
		return true
	}
	c.fd = int32(fd)
	w.dialled++
	if t.domain != unix.AF_UNIX {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if src, set := w.source(i); err == nil && set && t.loop4 {
		if err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err == nil {
			err = unix.Bind(fd, &unix.SockaddrInet4{Addr: src})
		}
	}
	if err == nil {
		c.since = nanos()
		err = unix.Connect(fd, t.sa)
	}
	if err == unix.EAGAIN {
		w.dialling--
		w.hangUp(c, connClosed)
		return false
	}
	if err == nil || err == unix.EINPROGRESS {
		ev := unix.EpollEvent{
			Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff,
			Fd:     int32(i),
		}
		err = unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, fd, &ev)
	}
	if err != nil {
		w.dialFailed(i, c, DialError, err)
	}
	return true
}

// dialDone is called when a connect has ended, well or not.
func (w *epollWorker) dialDone(i int, c *epollConn, events uint32) {
	if soerr, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil || soerr != 0 {
		w.dialFailed(i, c, classify(syscall.Errno(soerr), DialError), syscall.Errno(soerr))
		return
	}
	now := nanos()
	w.dialling--
	w.liveConns.Add(1)
	c.state = connOpen
	w.m.begin(&c.flow, i*w.shards+w.shard)
	if w.seg.mode == Connect {
		w.record(w.connect, now-c.since)
		w.begin(i, c, 1, now, now)
	} else if c.reissue > 0 {
		k := int(c.reissue)
		c.reissue = 0
		w.proceed(i, c, k, now)
	}
	if c.state == connOpen && events&^uint32(unix.EPOLLOUT) != 0 {
		w.readable(i, c, events)
	}
}

func (w *epollWorker) dialFailed(i int, c *epollConn, kind ErrorKind, err error) {
	w.dialling--
	if w.firstFailed == nil {
		w.firstFailed = err
	}
	w.lose(i, c, kind, fmt.Errorf("connect to %s: %w", w.p.Targets[(i*w.shards+w.shard)%len(w.addrs)].Address, err))
}

// redial replaces a connection that the server closed after a whole reply, as
// HTTP allows. Places is how many requests it may take up again at once;
// requests that were sent behind that reply are lost.
func (w *epollWorker) redial(i int, c *epollConn, places int) {
	if c.inflight > 0 {
		w.account(nanos())
		w.errors[ShortError] += int64(c.inflight)
		w.note(ShortError, errShort)
		w.inflight -= int64(c.inflight)
		places += int(c.inflight)
	}
	w.hangUp(c, connClosed)
	c.reissue = int16(places)
	w.dial(i, c) // after the window too: the next segment needs it
}

// dialAll opens all connections. It returns an error only if none could be made.
func (w *epollWorker) dialAll() error {
	w.seg = segment{mode: Idle}
	w.tally = tally{series: w.series}
	w.series.reset()
	next, retryAt := 0, int64(0)
	for (next < len(w.conns) || w.dialling > 0) && !w.stop.Load() {
		now := nanos()
		for next < len(w.conns) && w.dialling < dialsAtOnce && now >= retryAt {
			c := &w.conns[next]
			if !w.dial(next, c) {
				retryAt = now + int64(time.Millisecond)
				break
			}
			next++
			if w.firstFailed != nil && w.liveConns.Load() == 0 && w.lost >= min(int64(len(w.conns)), dialsAtOnce) {
				return w.dialError() // nobody is there; do not try thousands of times
			}
		}
		until := now + int64(50*time.Millisecond)
		if retryAt > now {
			until = retryAt
		}
		w.wait(until)
		if now = nanos(); now-w.lastScan > scanEvery {
			w.scan(now)
		}
	}
	if w.firstFailed != nil && w.liveConns.Load() == 0 && !w.stop.Load() {
		return w.dialError()
	}
	return nil
}

func (w *epollWorker) dialError() error {
	return dialError(w.p.Targets[w.shard%len(w.addrs)], w.firstFailed)
}
