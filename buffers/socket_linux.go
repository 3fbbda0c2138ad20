package buffers

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hasCork tells whether there are TCP_CORK, MSG_MORE and TCP_QUICKACK.
const hasCork = true

// control calls f with the descriptor of a socket.
func control(raw syscall.RawConn, f func(fd int) error) error {
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// setter sets an option of one socket, also again and again, without an allocation for
// each time. It is not for several goroutines at once.
type setter struct {
	raw           syscall.RawConn
	level, option int
	value         int
	set           func(fd uintptr)
	failed        error
}

func newSetter(raw syscall.RawConn, level, option int) *setter {
	s := &setter{raw: raw, level: level, option: option}
	s.set = func(fd uintptr) { s.failed = unix.SetsockoptInt(int(fd), s.level, s.option, s.value) }
	return s
}

func (s *setter) to(value int) error {
	s.value = value
	if err := s.raw.Control(s.set); err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt", s.failed)
}

// newCork makes what holds small segments back (1), or sends what is held and holds no
// more (0).
func newCork(raw syscall.RawConn) *setter { return newSetter(raw, unix.IPPROTO_TCP, unix.TCP_CORK) }

// newQuickAck makes what has the kernel acknowledge at once (1), until it decides
// otherwise.
func newQuickAck(raw syscall.RawConn) *setter {
	return newSetter(raw, unix.IPPROTO_TCP, unix.TCP_QUICKACK)
}

// setReceiveBuffer sets SO_RCVBUF, or SO_RCVBUFFORCE, which rmem_max does not bound.
func setReceiveBuffer(raw syscall.RawConn, size int, force bool) error {
	return setBuffer(raw, size, force, unix.SO_RCVBUF, unix.SO_RCVBUFFORCE)
}

// setSendBuffer sets SO_SNDBUF, or SO_SNDBUFFORCE, which wmem_max does not bound.
func setSendBuffer(raw syscall.RawConn, size int, force bool) error {
	return setBuffer(raw, size, force, unix.SO_SNDBUF, unix.SO_SNDBUFFORCE)
}

func setBuffer(raw syscall.RawConn, size int, force bool, asks, forces int) error {
	if !force {
		return newSetter(raw, unix.SOL_SOCKET, asks).to(size)
	}
	if err := newSetter(raw, unix.SOL_SOCKET, forces).to(size); err != nil {
		return fmt.Errorf("force a socket buffer of %d bytes: %w (CAP_NET_ADMIN is needed)", size, err)
	}
	return nil
}

func setCongestion(raw syscall.RawConn, name string) error {
	err := control(raw, func(fd int) error {
		return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	})
	if err != nil {
		return fmt.Errorf("congestion control %q: %w (see net.ipv4.tcp_available_congestion_control)", name, os.NewSyscallError("setsockopt", err))
	}
	return nil
}

// more sends with the word that more follows at once, on one socket. It is not for several
// goroutines at once.
type more struct {
	raw    syscall.RawConn
	left   []byte
	try    func(fd uintptr) bool
	failed error
}

func newMore(raw syscall.RawConn) *more {
	m := &more{raw: raw}
	m.try = m.attempt
	return m
}

// send sends all of p.
func (m *more) send(p []byte) error {
	m.left, m.failed = p, nil
	err := m.raw.Write(m.try)
	m.left = nil
	return errors.Join(err, m.failed)
}

// attempt sends what the socket takes, and tells whether that was the end.
func (m *more) attempt(fd uintptr) bool {
	for len(m.left) > 0 {
		n, err := unix.SendmsgN(int(fd), m.left, nil, nil, unix.MSG_MORE)
		switch {
		case err == unix.EAGAIN:
			return false
		case err == unix.EINTR:
		case err != nil:
			m.failed = os.NewSyscallError("sendmsg", err)
			return true
		default:
			m.left = m.left[n:]
		}
	}
	return true
}

// stateOf asks the kernel about a TCP socket.
func stateOf(raw syscall.RawConn) (SocketState, error) {
	var s SocketState
	err := control(raw, func(fd int) error {
		for _, o := range []struct {
			level, option int
			value         *int
		}{
			{unix.SOL_SOCKET, unix.SO_SNDBUF, &s.SendBuffer},
			{unix.SOL_SOCKET, unix.SO_RCVBUF, &s.ReceiveBuffer},
		} {
			v, err := unix.GetsockoptInt(fd, o.level, o.option)
			if err != nil {
				return err
			}
			*o.value = v
		}
		noDelay, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY)
		if err != nil {
			return err
		}
		s.NoDelay = noDelay != 0
		name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if err != nil {
			return err
		}
		s.Congestion = strings.TrimRight(name, "\x00")
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return err
		}
		s.RTT = time.Duration(info.Rtt) * time.Microsecond
		s.Window = int64(info.Snd_cwnd) * int64(info.Snd_mss)
		s.Retransmits = info.Total_retrans
		s.Busy = time.Duration(info.Busy_time) * time.Microsecond
		s.ReceiverBound = time.Duration(info.Rwnd_limited) * time.Microsecond
		s.BufferBound = time.Duration(info.Sndbuf_limited) * time.Microsecond
		return nil
	})
	if err != nil {
		return SocketState{}, fmt.Errorf("buffers: ask a socket for its state: %w", os.NewSyscallError("getsockopt", err))
	}
	return s, nil
}

// ReadKernelLimits reads the bounds that hold in the network namespace of the
// calling thread. Linux.
func ReadKernelLimits() (KernelLimits, error) {
	var k KernelLimits
	for _, f := range []struct {
		name   string
		values []*int
	}{
		{"ipv4/tcp_rmem", []*int{&k.ReceiveTuning[0], &k.ReceiveTuning[1], &k.ReceiveTuning[2]}},
		{"ipv4/tcp_wmem", []*int{&k.SendTuning[0], &k.SendTuning[1], &k.SendTuning[2]}},
		{"core/rmem_max", []*int{&k.ReceiveMost}},
		{"core/wmem_max", []*int{&k.SendMost}},
	} {
		text, err := os.ReadFile("/proc/sys/net/" + f.name)
		if errors.Is(err, os.ErrNotExist) && strings.HasPrefix(f.name, "core/") {
			continue // a namespace does not show what belongs to the whole host
		}
		if err != nil {
			return KernelLimits{}, fmt.Errorf("buffers: kernel limits: %w", err)
		}
		into := make([]any, len(f.values))
		for i, v := range f.values {
			into[i] = v
		}
		if _, err := fmt.Sscan(string(text), into...); err != nil {
			return KernelLimits{}, fmt.Errorf("buffers: kernel limits: %s is %q: %w", f.name, text, err)
		}
	}
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	if err != nil {
		return KernelLimits{}, fmt.Errorf("buffers: kernel limits: %w", err)
	}
	k.Congestion = strings.TrimSpace(string(text))
	return k, nil
}

// listenIn listens in a network namespace, of which namespace is a path, or in this
// process' if it is empty. The socket stays there; the thread comes back.
func listenIn(namespace, address string) (l net.Listener, err error) {
	if namespace == "" {
		return listenTCP(address)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // which ends with this goroutine unless it is as it was
		var asItWas bool
		asItWas, err = inNamespace(namespace, func() (err error) {
			l, err = listenTCP(address)
			return err
		})
		if asItWas {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return l, err
}

// inNamespace runs f in a network namespace, on the thread that its caller has locked,
// and tells whether the thread has come back.
func inNamespace(path string, f func() error) (asItWas bool, err error) {
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true, fmt.Errorf("open this thread's network namespace: %w", err)
	}
	defer unix.Close(home)
	there, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true, fmt.Errorf("open the network namespace %s: %w", path, err)
	}
	defer unix.Close(there)
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		return true, fmt.Errorf("enter the network namespace %s: %w", path, err)
	}
	err = f()
	return unix.Setns(home, unix.CLONE_NEWNET) == nil, err
}
