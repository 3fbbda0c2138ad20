package main

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/lesismal/nbio"
	"golang.org/x/sys/unix"
)

// awaitTries bounds the descriptors that await opens for each poller. Other
// threads take descriptors too, so a try may miss its poller.
const awaitTries = 64

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
	for poller := range running {
		for try := 0; !running[poller]; try++ {
			if try == awaitTries {
				return fmt.Errorf("no connection came to poller %d of %d in %d tries", poller, len(running), try)
			}
			nc, peer, err := e.pair(poller)
			if err != nil {
				return err
			}
			open = append(open, func() { _, _ = nc.Close(), unix.Close(peer) })
			if nc.Hash()%len(running) != poller {
				continue
			}
			if _, err := unix.Write(peer, []byte{1}); err != nil {
				return os.NewSyscallError("write", err)
			}
			select {
			case <-e.reached:
				running[poller] = true
			case <-time.After(10 * time.Second):
				return fmt.Errorf("poller %d of %d does not run after 10 s", poller, len(running))
			}
		}
	}
	return nil
}

// pair makes a connection of nbio for a poller, and its peer. It belongs to the
// poller of its descriptor modulo their number, unless another thread took that
// descriptor in between.
func (e *engine) pair(poller int) (*nbio.Conn, int, error) {
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
	// AddConn duplicates the descriptor, and the kernel hands out the lowest that
	// is free: what is in the way of one for this poller is taken meanwhile.
	var taken []int
	defer func() {
		for _, fd := range taken {
			_ = unix.Close(fd)
		}
	}()
	for {
		fd, err := unix.FcntlInt(uintptr(fds[1]), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			_, _ = conn.Close(), unix.Close(fds[1])
			return nil, -1, os.NewSyscallError("fcntl", err)
		}
		if fd%e.nb.NPoller == poller {
			_ = unix.Close(fd)
			break
		}
		taken = append(taken, fd)
	}
	nc, err := e.nb.AddConn(conn)
	if err != nil {
		_ = unix.Close(fds[1])
		return nil, -1, err
	}
	return nc, fds[1], nil
}
