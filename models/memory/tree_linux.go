package memory

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"netbench/internal/ptree"
)

func supported() error { return nil }

// ReadTree reads the memory of a process and its descendants from
// /proc/PID/smaps_rollup, which counts pages. It costs the processes nothing but
// that their page tables are locked for a moment.
func ReadTree(pid int) (Tree, error) {
	var t Tree
	pids, err := ptree.Processes(pid)
	if err != nil {
		return t, err
	}
	for i, p := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p))
		if i > 0 && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)) {
			continue // a descendant has ended
		}
		if err != nil {
			return t, fmt.Errorf("memory of process %d: %w", p, err)
		}
		if err := t.add(text); err != nil {
			return t, fmt.Errorf("memory of process %d: %w", p, err)
		}
	}
	return t, nil
}

// add adds one process's rollup, whose lines are like "Anonymous:  1234 kB".
func (t *Tree) add(rollup []byte) error {
	var anonymous bool
	for lines := bufio.NewScanner(bytes.NewReader(rollup)); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		var to *uint64
		switch name {
		case "Rss":
			to = &t.RSS
		case "Pss":
			to = &t.PSS
		case "Anonymous":
			to, anonymous = &t.Anonymous, true
		case "AnonHugePages":
			to = &t.Huge
		case "Swap":
			to = &t.Swap
		default:
			continue
		}
		number, unit, _ := strings.Cut(strings.TrimSpace(rest), " ")
		kib, err := strconv.ParseUint(number, 10, 54)
		if err != nil || unit != "kB" {
			return fmt.Errorf("/proc has %q, want a number of kB", lines.Text())
		}
		*to += kib << 10
	}
	if !anonymous {
		return errors.New("/proc has no line Anonymous")
	}
	t.Processes++
	return nil
}

const hugePagesFile = "/sys/kernel/mm/transparent_hugepage/enabled"

func (r *Result) warnOfHugePages() {
	if text, err := os.ReadFile(hugePagesFile); err == nil && bytes.Contains(text, []byte("[always]")) {
		r.warn("user: the kernel hands out huge pages unasked, which blurs the slope (echo madvise > " + hugePagesFile + ")")
	}
}

// reset makes those connections of this process that go to a server end by a
// reset when they are closed, so that neither end stays in TIME_WAIT for a
// minute, where thousands would take kernel memory while the next server is
// measured. Connections of other generator processes end in the usual way.
func reset(network, address string) error {
	if network != "tcp" {
		return nil
	}
	server, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address of the server: %w", err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// Most are sockets; what is not has no peer, and neither has one that
		// is closed meanwhile.
		if peer, err := unix.Getpeername(fd); err == nil && addrPort(peer) == server {
			_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		}
	}
	return nil
}

func addrPort(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr), uint16(s.Port))
	}
	return netip.AddrPort{}
}
