package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
)

// End is one of the hosts of a [Link].
type End struct {
	namespace *namespace
	device    int // of the TUN device
	addr      netip.Addr
	context   context.Context // the link's
}

func newEnd(ctx context.Context, addr netip.Prefix, mtu int) (*End, error) {
	n, err := newNamespace()
	if err != nil {
		return nil, err
	}
	e := &End{namespace: n, addr: addr.Addr(), context: ctx}
	err = n.byKeeper(func() (err error) {
		e.device, err = openDevice(addr, mtu)
		return err
	})
	if err != nil {
		n.close()
		return nil, err
	}
	return e, nil
}

// Addr is the end's address, which the other end reaches.
func (e *End) Addr() netip.Addr { return e.addr }

// Namespace is a path of the end's network namespace, for programs such as
// nsenter. It is one of this process' and ends with the link. Other processes have
// to put this process' number in the place of self.
func (e *End) Namespace() string { return e.namespace.path }

// Do runs f on a thread that is in the end's network namespace meanwhile. Sockets
// that f opens are in the namespace and stay there. Goroutines that f starts are
// not, nor is what they open; that includes the package net when it has more than
// one address to try. Calls of Do may run side by side, and Close waits for them.
func (e *End) Do(f func() error) error { return e.namespace.inside(f) }

// Listen is [net.Listen] at this end, for TCP. An address without a host, such as
// ":0", is the end's own on the link; otherwise the host is an IP address.
func (e *End) Listen(network, address string) (l net.Listener, err error) {
	if address, err = e.resolve("listen", "tcp", network, address, e.addr.String()); err != nil {
		return nil, err
	}
	err = e.Do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// ListenPacket is [net.ListenPacket] at this end, for UDP. The address is as for
// [End.Listen].
func (e *End) ListenPacket(network, address string) (c net.PacketConn, err error) {
	if address, err = e.resolve("listen", "udp", network, address, e.addr.String()); err != nil {
		return nil, err
	}
	err = e.Do(func() (err error) {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}

// Dial connects from this end, by TCP or UDP, to an IP address and a port. It has
// the form of a DialContext function. Closing the link ends it. It takes a thread
// while it goes on.
func (e *End) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	kind := "tcp"
	if network == "udp" || network == "udp4" {
		kind = "udp"
	}
	if address, err = e.resolve("dial", kind, network, address, ""); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.context, cancel)()
	err = e.Do(func() (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// resolve checks a network, which is kind or that with a 4 behind, and an address.
// Names are refused: to look them up takes sockets that were not in the namespace.
func (e *End) resolve(op, kind, network, address, anyHost string) (string, error) {
	if network != kind && network != kind+"4" {
		return "", fmt.Errorf("link: %s %s %s: unknown network (use %s)", op, network, address, kind)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("link: %s %s: %w", op, network, err)
	}
	if host == "" {
		host = anyHost
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return "", fmt.Errorf("link: %s %s %s: the host %q is not an IP address (names are not resolved at an end)", op, network, address, host)
	}
	return net.JoinHostPort(host, port), nil
}

// Start starts a command in the end's network namespace, in a process group of its
// own. It dies with the link and with this process, as does the group when the
// context of the command ends. The caller waits for it as always.
func (e *End) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = !cmd.SysProcAttr.Setsid // a session's first process has a group
	// The signal comes when the thread that started the process ends, and the keeper
	// ends with the link.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if cmd.Cancel != nil { // it was made with a context
		cmd.Cancel = func() error {
			err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			if errors.Is(err, syscall.ESRCH) {
				return os.ErrProcessDone
			}
			return err
		}
	}
	if err := e.namespace.byKeeper(cmd.Start); err != nil {
		return fmt.Errorf("link: start %s at %v: %w", cmd.Path, e.addr, err)
	}
	return nil
}

// Run starts a command as [End.Start] does, and waits for it.
func (e *End) Run(cmd *exec.Cmd) error {
	if err := e.Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}
