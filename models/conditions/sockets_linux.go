package conditions

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"netbench/internal/ptree"
)

// tree is what the processes of a server have open. Its sockets are descriptors
// of this process, taken over from there.
type tree struct{ processes []*process }

type process struct {
	pid     int
	sockets []socket
	sets    []epollSet
	rings   int
}

type socket struct {
	process     *process
	number      int // of its descriptor there
	fd          int // of ours
	inode       string
	local, peer netip.AddrPort // peer is zero if it is not connected
	listens     bool
}

// epollSet is one of the places where a process waits for sockets.
type epollSet struct {
	number  int
	watched []int // descriptors
}

func (e epollSet) watches(number int) bool { return slices.Contains(e.watched, number) }

func openTree(pid int) (*tree, error) {
	pids, err := ptree.Processes(pid)
	if err != nil {
		return nil, err
	}
	t := &tree{}
	for _, pid := range pids {
		p := &process{pid: pid}
		t.processes = append(t.processes, p)
		if err := p.open(); err != nil {
			return nil, errors.Join(err, t.close())
		}
	}
	return t, nil
}

func (t *tree) close() error {
	var err error
	for _, p := range t.processes {
		for _, s := range p.sockets {
			err = errors.Join(err, unix.Close(s.fd))
		}
		p.sockets = nil
	}
	return err
}

// open takes the sockets over and notes what else there is.
func (p *process) open() error {
	handle, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return fmt.Errorf("open process %d: %w", p.pid, err)
	}
	defer unix.Close(handle)
	dir := fmt.Sprintf("/proc/%d/fd", p.pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("descriptors of process %d: %w (needs the rights of that process)", p.pid, err)
	}
	for _, e := range entries {
		number, err := strconv.Atoi(e.Name())
		if err != nil {
			return fmt.Errorf("%s lists %q", dir, e.Name())
		}
		target, err := os.Readlink(dir + "/" + e.Name())
		switch {
		case errors.Is(err, fs.ErrNotExist): // closed since
		case err != nil:
			return err
		case strings.HasPrefix(target, "socket:"):
			if err := p.takeOver(handle, number, target); err != nil {
				return err
			}
		case target == "anon_inode:[eventpoll]":
			set, err := readSet(p.pid, number)
			if err != nil {
				return err
			}
			// A set may have two descriptors, and then they watch the same.
			same := func(o epollSet) bool { return slices.Equal(o.watched, set.watched) }
			if !slices.ContainsFunc(p.sets, same) {
				p.sets = append(p.sets, set)
			}
		case target == "anon_inode:[io_uring]":
			p.rings++
		}
	}
	return nil
}

func (p *process) takeOver(handle, number int, inode string) error {
	fd, err := unix.PidfdGetfd(handle, number, 0)
	if errors.Is(err, unix.EBADF) {
		return nil // closed since
	}
	if err != nil {
		return fmt.Errorf("take over descriptor %d of process %d: %w (needs the right to trace it)", number, p.pid, err)
	}
	s := socket{process: p, number: number, fd: fd, inode: inode}
	if own, err := unix.Getsockname(fd); err == nil {
		s.local = addrPort(own)
	}
	if peer, err := unix.Getpeername(fd); err == nil {
		s.peer = addrPort(peer)
	}
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	s.listens = err == nil && listens != 0
	p.sockets = append(p.sockets, s)
	return nil
}

// addrPort is zero for addresses that are not of the internet.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// readSet lists what an epoll set watches.
func readSet(pid, number int) (epollSet, error) {
	set := epollSet{number: number}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, number))
	if err != nil {
		return set, fmt.Errorf("epoll set %d of process %d: %w", number, pid, err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		rest, watched := strings.CutPrefix(lines.Text(), "tfd:")
		if !watched {
			continue
		}
		var fd int
		if _, err := fmt.Sscan(rest, &fd); err != nil {
			return set, fmt.Errorf("epoll set %d of process %d: %q: %w", number, pid, lines.Text(), err)
		}
		set.watched = append(set.watched, fd)
	}
	slices.Sort(set.watched)
	return set, nil
}

// accepted finds the server's end of a connection.
func (t *tree) accepted(client *net.TCPConn) (socket, error) {
	peer := unmapped(client.LocalAddr())
	local := unmapped(client.RemoteAddr())
	for _, p := range t.processes {
		for _, s := range p.sockets {
			if s.peer == peer && s.local == local {
				return s, nil
			}
		}
	}
	return socket{}, fmt.Errorf("none of its %d processes has the socket of the connection from %v", len(t.processes), peer)
}

func unmapped(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// listeners returns the sockets that listen on a port; one that several processes
// share is one.
func (t *tree) listeners(port int) []socket {
	var found []socket
	for _, p := range t.processes {
		for _, s := range p.sockets {
			same := func(o socket) bool { return o.inode == s.inode }
			if s.listens && int(s.local.Port()) == port && !slices.ContainsFunc(found, same) {
				found = append(found, s)
			}
		}
	}
	return found
}
