package link

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name. A thread that is in it for as
// long as it lives, the keeper, holds it, so that it ends with the process however
// that ends. A descriptor of it lets other threads in.
type namespace struct {
	path  string // of the keeper's namespace, in /proc
	task  string // the keeper's directory in /proc
	inode uint64 // tells namespaces apart

	requests chan func()   // what the keeper is to run
	quit     chan struct{} // closed to end the keeper
	ended    chan struct{} // closed when it has

	mu    sync.Mutex
	fd    int // -1 when closed
	users sync.WaitGroup
}

// newNamespace makes a namespace in which there is a loopback device that is down.
func newNamespace() (*namespace, error) {
	n := &namespace{fd: -1, requests: make(chan func()), quit: make(chan struct{}), ended: make(chan struct{})}
	made := make(chan error, 1)
	onOwnThread(func() (asItWas bool) {
		defer close(n.ended)
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err != nil {
			made <- explainUnshare(err)
			return true
		}
		if err = n.open(); err != nil {
			made <- err
			return false
		}
		made <- nil
		for {
			select {
			case f := <-n.requests:
				f()
			case <-n.quit:
				return false
			}
		}
	})
	if err := <-made; err != nil {
		return nil, err
	}
	return n, nil
}

func explainUnshare(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("link: make a network namespace: %w (run as root, or with CAP_SYS_ADMIN)", err)
	}
	return fmt.Errorf("link: make a network namespace: %w", err)
}

// open opens the namespace that the calling thread is in.
func (n *namespace) open() error {
	n.task = fmt.Sprintf("/proc/self/task/%d", unix.Gettid())
	n.path = n.task + "/ns/net"
	fd, err := unix.Open(n.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: n.path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return &os.PathError{Op: "stat", Path: n.path, Err: err}
	}
	n.fd, n.inode = fd, st.Ino
	return nil
}

// byKeeper runs f on the keeper. Calls wait for each other. A process that f starts
// may ask to die with its thread: it dies with the namespace.
func (n *namespace) byKeeper(f func() error) error {
	result := make(chan error, 1)
	select {
	case n.requests <- func() { result <- f() }:
		return <-result
	case <-n.ended:
		return net.ErrClosed
	}
}

// inside runs f on a thread that is in the namespace meanwhile. Calls run side by
// side. Sockets that f's own goroutine opens are in the namespace, and stay there.
func (n *namespace) inside(f func() error) error {
	n.mu.Lock()
	fd := n.fd
	if fd < 0 {
		n.mu.Unlock()
		return net.ErrClosed
	}
	n.users.Add(1) // from here on the descriptor stays open
	n.mu.Unlock()
	defer n.users.Done()

	result := make(chan error, 1)
	onOwnThread(func() (asItWas bool) {
		home, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			result <- fmt.Errorf("link: open this thread's network namespace: %w", err)
			return true
		}
		defer unix.Close(home)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("link: enter the network namespace: %w", err)
			return true
		}
		err = f()
		// If there is no way back the thread is given up, and nothing is lost.
		asItWas = unix.Setns(home, unix.CLONE_NEWNET) == nil
		result <- err
		return asItWas
	})
	return <-result
}

// close lets go of the namespace when all calls of inside have returned, and ends
// the processes in it.
func (n *namespace) close() error {
	n.mu.Lock()
	fd := n.fd
	n.fd = -1
	n.mu.Unlock()
	if fd < 0 {
		return nil
	}
	n.users.Wait()
	close(n.quit)
	<-n.ended
	// Nothing is started from here on. While the descriptor is open no other
	// namespace gets this one's inode.
	defer unix.Close(fd)
	return n.killAll()
}
