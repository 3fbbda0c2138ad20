package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"netbench/models"
)

// CanHold tells whether Hold works here.
const CanHold = true

// Held keeps an address by a socket that is bound to it and does not listen, so
// that nobody gets it while no listener is open. Sockets of the same user that
// share addresses may listen on it; nobody else can.
type Held struct {
	fd      int
	network string
	addr    *net.TCPAddr
}

// Hold takes the address that cfg, which is valid and not about a Unix socket,
// asks for. An address that anybody listens on is an error, even if they would
// share it. Errors begin with model.
func Hold(cfg models.Config, model string) (*Held, error) {
	if cfg.Network == "unix" {
		return nil, errUnix(cfg)
	}
	h, err := hold(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: hold %s %s: %w", model, cfg.Network, cfg.Address, err)
	}
	return h, nil
}

func hold(cfg models.Config) (*Held, error) {
	addr, err := net.ResolveTCPAddr(cfg.Network, cfg.Address)
	if err != nil {
		return nil, err
	}
	wildcard := addr.IP == nil || addr.IP.IsUnspecified()
	h := &Held{network: cfg.Network, addr: addr}
	four := cfg.Network == "tcp4" || cfg.Network == "tcp" && !wildcard && addr.IP.To4() != nil
	if !four {
		err = h.bind(unix.AF_INET6)
		// Package net takes "tcp" without an address as both families, or as
		// IPv4 alone on a host that has no other.
		four = err != nil && cfg.Network == "tcp" && wildcard && !errors.Is(err, unix.EADDRINUSE)
	}
	if four {
		h.network = "tcp4"
		err = h.bind(unix.AF_INET)
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// bind makes the socket. While it is bound it is exclusive, so that it fails
// where others share the address; afterwards it lets others share.
func (h *Held) bind(family int) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	h.fd = fd
	set := func(level, option, value int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, option, value))
	}
	if family == unix.AF_INET6 {
		only := 0
		if h.network == "tcp6" {
			only = 1
		}
		err = set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if err == nil {
		// Connections of an earlier server that linger in TIME_WAIT are in
		// nobody's way.
		err = set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, h.sockaddr(family)))
	}
	if err == nil {
		// With this option off, nobody else can bind and listen either.
		err = set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
	}
	if err == nil {
		err = set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	var name unix.Sockaddr
	if err == nil {
		name, err = unix.Getsockname(fd)
	}
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		h.addr = &net.TCPAddr{IP: name.Addr[:], Port: name.Port}
	case *unix.SockaddrInet6:
		h.addr = &net.TCPAddr{IP: name.Addr[:], Port: name.Port, Zone: h.addr.Zone}
	}
	return nil
}

func (h *Held) sockaddr(family int) unix.Sockaddr {
	if family == unix.AF_INET {
		sa := &unix.SockaddrInet4{Port: h.addr.Port}
		copy(sa.Addr[:], h.addr.IP.To4())
		return sa
	}
	sa := &unix.SockaddrInet6{Port: h.addr.Port, ZoneId: zoneID(h.addr.Zone)}
	if !h.addr.IP.IsUnspecified() { // the wildcard of IPv4 stands for both families
		copy(sa.Addr[:], h.addr.IP.To16())
	}
	return sa
}

func zoneID(zone string) uint32 {
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32) // a zone that is no number is none
	return uint32(n)
}

// Addr is the address held, with the port that the kernel chose.
func (h *Held) Addr() net.Addr { return h.addr }

// Config returns cfg with the address held, for listeners that share it.
func (h *Held) Config(cfg models.Config) models.Config {
	cfg.Network, cfg.Address = h.network, h.addr.String()
	return cfg
}

// Close gives the address up.
func (h *Held) Close() error { return os.NewSyscallError("close", unix.Close(h.fd)) }
