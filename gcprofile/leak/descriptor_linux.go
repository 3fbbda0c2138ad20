package leak

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// descriptors are the open ones of this process. One that is closed meanwhile is left
// out; one whose number is given anew between two looks at it may be named wrong, for
// one sample.
func descriptors() ([]descriptor, error) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("leak: list descriptors: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("leak: list descriptors: %w", err)
	}
	own := strconv.Itoa(int(dir.Fd()))
	listening := map[uint16]bool{} // ports
	var open []descriptor
	var sockets []socket // zero for what is none
	for _, name := range names {
		n, err := strconv.Atoi(name)
		if err != nil || name == own {
			continue
		}
		to, err := os.Readlink("/proc/self/fd/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("leak: descriptor %d: %w", n, err)
		}
		d := descriptor{target: targetOf(to), exact: to}
		var e socket
		if strings.HasPrefix(to, "socket:") {
			e = socketOf(n)
			if e.listens {
				listening[e.local.Port()] = true
			}
		}
		open, sockets = append(open, d), append(sockets, e)
	}
	for i := range open {
		if e := sockets[i]; e.family != "" {
			open[i].target, open[i].exact = e.name(listening)
		}
	}
	return open, nil
}

// targetOf is what descriptors are counted by that lead to something: files without
// the digits of their names, and pipes without their numbers.
func targetOf(to string) string {
	if strings.HasPrefix(to, "anon_inode:") {
		return to
	}
	if kind, _, ok := strings.Cut(to, ":["); ok && !strings.HasPrefix(to, "/") {
		return kind
	}
	to = strings.TrimSuffix(to, " (deleted)")
	dir, name := path.Split(to)
	var b strings.Builder
	digits := false
	for _, c := range name {
		if is := c >= '0' && c <= '9'; !is {
			b.WriteRune(c)
			digits = false
		} else if !digits {
			b.WriteByte('#')
			digits = true
		}
	}
	return "file " + dir + b.String()
}

// socket is what a descriptor that is one is bound and connected to.
type socket struct {
	family        string // empty: unknown
	local, remote netip.AddrPort
	path          string // of a Unix socket, this end or else the other
	listens       bool
}

// socketOf asks the kernel.
func socketOf(fd int) socket {
	var s socket
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return s
	}
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	s.listens = err == nil && listens != 0
	local, err := unix.Getsockname(fd)
	if err != nil {
		return s
	}
	remote, _ := unix.Getpeername(fd) // most errors say that there is none
	if u, ok := local.(*unix.SockaddrUnix); ok {
		s.family, s.path = "unix", u.Name
		if r, ok := remote.(*unix.SockaddrUnix); ok && s.path == "" {
			s.path = r.Name
		}
		return s
	}
	var ok bool
	if s.local, ok = addrPort(local); !ok {
		return s
	}
	s.remote, _ = addrPort(remote)
	s.family = "tcp"
	if kind == unix.SOCK_DGRAM {
		s.family = "udp"
	}
	return s
}

func addrPort(a unix.Sockaddr) (netip.AddrPort, bool) {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), true
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)), true
	}
	return netip.AddrPort{}, false
}

// name is the target without the ephemeral port, and both ends.
func (s socket) name(listening map[uint16]bool) (target, exact string) {
	switch {
	case s.family == "unix":
		target = strings.TrimSpace("unix socket " + s.path)
		return target, target
	case s.listens:
		target = s.family + " listener at " + s.local.String()
		return target, target
	case !s.remote.IsValid():
		return s.family + " socket without a peer", s.family + " " + s.local.String()
	case listening[s.local.Port()]:
		target = s.family + " accepted at " + s.local.String()
	default:
		target = s.family + " to " + s.remote.String()
	}
	return target, s.local.String() + " to " + s.remote.String()
}
