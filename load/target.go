package load

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Protocol is what is spoken over a connection.
type Protocol string

const (
	EchoProtocol  Protocol = "echo"  // what is sent comes back
	FrameProtocol Protocol = "frame" // 4-byte big-endian length, payload; comes back whole
	LineProtocol  Protocol = "line"  // ping is answered by pong
	HTTPProtocol  Protocol = "http"  // HTTP/1.1
)

// Target is a server's address and protocol.
type Target struct {
	Protocol Protocol
	Network  string // "tcp" or "unix"
	Address  string // numeric host:port, or a path
	Host     string // as the user wrote it, for HTTP's Host header
	Path     string // request target of HTTP, with its query
	raw      string
}

// String is the URL that the target was parsed from, or its address.
func (t Target) String() string { return cmp.Or(t.raw, t.Address) }

// schemes lists what ParseTarget takes, as error messages show it.
const schemes = "tcp://host:port, frame://host:port, line://host:port, unix:///path or http://host:port/path"

// ParseTarget reads a URL of one of the forms tcp://host:port (echo),
// frame://host:port, line://host:port, unix:///path (echo) or
// http://host:port/path. A host name is resolved once, here; its first address
// is used.
func ParseTarget(ctx context.Context, s string) (Target, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" {
		return Target{}, badInput("target %q is not a URL (want %s)", s, schemes)
	}
	t := Target{Network: "tcp", Host: u.Host, raw: s}
	switch u.Scheme {
	case "tcp":
		t.Protocol = EchoProtocol
	case "frame":
		t.Protocol = FrameProtocol
	case "line":
		t.Protocol = LineProtocol
	case "http":
		t.Protocol, t.Path = HTTPProtocol, u.RequestURI()
	case "unix":
		t.Protocol, t.Network, t.Address = EchoProtocol, "unix", u.Path
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return Target{}, badInput("target %q has no absolute path (want unix:///path, with three slashes)", s)
		}
		return t, nil
	default:
		return Target{}, badInput("target %q has an unknown scheme (want %s)", s, schemes)
	}
	if t.Protocol != HTTPProtocol && u.Path != "" && u.Path != "/" {
		return Target{}, badInput("target %q has a path, which only http:// takes", s)
	}
	host, port := u.Hostname(), u.Port()
	if port == "" && u.Scheme == "http" {
		port = "80"
	}
	if host == "" || port == "" {
		return Target{}, badInput("target %q lacks host or port (want %s)", s, schemes)
	}
	addr, err := resolve(ctx, host)
	if err != nil {
		return Target{}, badInput("target %q: %v", s, err)
	}
	ap, err := netip.ParseAddrPort(net.JoinHostPort(addr.String(), port))
	if err != nil || ap.Port() == 0 {
		return Target{}, badInput("target %q: port %q is not a number from 1 to 65535", s, port)
	}
	t.Address = ap.String()
	return t, nil
}

func resolve(ctx context.Context, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(all) == 0 {
		return netip.Addr{}, fmt.Errorf("host %q has no address", host)
	}
	return all[0].Unmap(), nil
}

// Loopback tells whether the target is on this host: a loopback address or a
// Unix socket.
func (t Target) Loopback() bool {
	if t.Network == "unix" {
		return true
	}
	ap, err := netip.ParseAddrPort(t.Address)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}
