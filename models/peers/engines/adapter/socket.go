package adapter

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"netbench/internal/listen"
	"netbench/models"
)

// OneListener is the error of a configuration that asks for more listeners.
func OneListener(cfg models.Config) error {
	return listen.Unsupported(&models.ConfigError{
		Field: "Listeners", Value: cfg.Listeners,
		Want: "1: other people's engines open their listeners themselves",
	})
}

// ListenError says what was asked for when an engine could not listen.
func ListenError(model string, cfg models.Config, err error) error {
	return fmt.Errorf("%s: listen %s %s: %w", model, cfg.Network, cfg.Address, err)
}

// Backlog changes the length of a listener's queue, if n is not 0.
func Backlog(fd, n int) error {
	if n == 0 {
		return nil
	}
	return os.NewSyscallError("listen", unix.Listen(fd, n))
}

// AddrOf is the local address of a socket.
func AddrOf(fd int) (net.Addr, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: name.Addr[:], Port: name.Port}, nil
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: name.Addr[:], Port: name.Port}, nil
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: name.Name, Net: "unix"}, nil
	}
	return nil, fmt.Errorf("a socket of an unknown family %T", name)
}

// Unread is how many bytes wait in a socket.
func Unread(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// OwnListener finds the descriptor of this process's socket that listens on addr,
// for engines that do not tell. It still belongs to the engine.
func OwnListener(addr net.Addr) (int, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1, err
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 0 {
			continue
		}
		if own, err := AddrOf(fd); err == nil && own.String() == addr.String() {
			return fd, nil
		}
	}
	return -1, fmt.Errorf("no descriptor listens on %v (is /proc mounted?)", addr)
}

// Inherit sets on a listener what its connections inherit, for engines that do
// not set it.
func Inherit(fd int, cfg models.Config) error {
	set := func(level, option, value int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, option, value))
	}
	if cfg.Network != "unix" && cfg.NoDelay != models.Off {
		if err := set(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
	}
	if cfg.RecvBuffer > 0 {
		if err := set(unix.SOL_SOCKET, unix.SO_RCVBUF, cfg.RecvBuffer); err != nil {
			return err
		}
	}
	if cfg.SendBuffer > 0 {
		return set(unix.SOL_SOCKET, unix.SO_SNDBUF, cfg.SendBuffer)
	}
	return nil
}

// Polls counts the epoll descriptors of this process, and their event descriptors,
// whichever are fewer.
func Polls() (int, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	polls, events := 0, 0
	for _, entry := range entries {
		switch to, _ := os.Readlink("/proc/self/fd/" + entry.Name()); to {
		case "anon_inode:[eventpoll]":
			polls++
		case "anon_inode:[eventfd]":
			events++
		}
	}
	return min(polls, events), nil
}

// AwaitPolls waits until there are n, for engines that do not tell when all their
// loops have theirs.
func AwaitPolls(n int) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		now, err := Polls()
		if err != nil || now >= n {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d loops were made after 10 s, want %d", now, n)
		}
	}
}

// LetIn waits until nobody waits to be accepted, and then as long as a connection
// may be on its way to its loop, for engines that would lose it. A queue that does
// not get empty is not waited for longer.
func LetIn(fd int) {
	for range 50 {
		if !queued(fd) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(5 * time.Millisecond)
}

// queued tells whether connections wait to be accepted.
func queued(fd int) bool {
	if fd < 0 {
		return false
	}
	ready, err := listen.Readable(fd)
	return err == nil && ready
}
