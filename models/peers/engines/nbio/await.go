package main

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/lesismal/nbio"
	"golang.org/x/sys/unix"
)

// await waits until all pollers run, by having each read a byte. Nothing else
// tells, and one that is stopped before it runs forgets that it was, and spins for
// ever.
func (e *engine) await() error {
	e.starting.Store(true)
	defer e.starting.Store(false)
	running := make([]bool, e.nb.NPoller)
	var open []func()
	defer func() {
		for _, end := range open {
			end()
		}
	}()
	// A connection belongs to the poller of its descriptor modulo their number.
	// Descriptors that stay open until the end make the next ones differ.
	for left := len(running); left > 0; {
		nc, peer, err := e.pair()
		if err != nil {
			return err
		}
		open = append(open, func() { _, _ = nc.Close(), unix.Close(peer) })
		poller := nc.Hash() % len(running)
		if running[poller] {
			continue
		}
		if _, err := unix.Write(peer, []byte{1}); err != nil {
			return os.NewSyscallError("write", err)
		}
		select {
		case <-e.reached:
		case <-time.After(10 * time.Second):
			return errors.New("a poller does not run after 10 s")
		}
		running[poller] = true
		left--
	}
	return nil
}

// pair makes a connection of nbio and its peer.
func (e *engine) pair() (*nbio.Conn, int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	file := os.NewFile(uintptr(fds[0]), "poller")
	conn, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		_ = unix.Close(fds[1])
		return nil, -1, err
	}
	nc, err := e.nb.AddConn(conn)
	if err != nil {
		_ = unix.Close(fds[1])
		return nil, -1, err
	}
	return nc, fds[1], nil
}
