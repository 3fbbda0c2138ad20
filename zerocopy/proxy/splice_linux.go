package proxy

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// spliced is [Splice].
type spliced struct {
	pool *pipePool
	size int // most bytes in a pipe
}

func newSpliced(keep, size int) (*spliced, error) {
	pool, err := newPipePool(keep, size)
	if err != nil {
		return nil, err
	}
	return &spliced{pool: pool, size: size}, nil
}

func (s *spliced) pipes() PipeStats { return s.pool.stats() }
func (s *spliced) close()           { s.pool.close() }

func (s *spliced) move(d *direction) error {
	src, err := d.src.SyscallConn()
	if err != nil {
		return err
	}
	dst, err := d.dst.SyscallConn()
	if err != nil {
		return err
	}
	m := &splicing{pool: s.pool, size: s.size, src: src, dst: dst, moved: &d.moved}
	m.fillFrom, m.emptyInto = m.fill, m.empty
	defer m.giveBack()
	for {
		if err := m.read(); err != nil || m.held == 0 {
			return err
		}
		if err := m.write(); err != nil {
			return err
		}
	}
}

// splicing is a direction that is under way.
type splicing struct {
	pool     *pipePool
	size     int
	src, dst syscall.RawConn
	moved    *atomic.Uint64

	pipe *pipe // nil while there is nothing to put into it
	held int   // bytes in it
	err  error // of the last call of either function below

	// The two functions that the runtime's poller calls, as values: making them
	// anew for each call would allocate.
	fillFrom, emptyInto func(fd uintptr) bool
}

// read waits until the source has bytes, and moves some into a pipe. At the end of
// the stream none are held.
func (m *splicing) read() error {
	if err := m.src.Read(m.fillFrom); err != nil {
		return err
	}
	return m.err
}

// fill moves bytes from a socket into a pipe that is empty, so it is the socket that
// has nothing if nothing can be moved: then the pipe goes back to the pool, and the
// poller waits.
func (m *splicing) fill(fd uintptr) bool {
	if m.pipe == nil {
		if m.pipe, m.err = m.pool.get(); m.err != nil {
			return true
		}
	}
	m.held, m.err = splice(int(fd), m.pipe.w, m.size)
	if m.err == unix.EAGAIN {
		m.giveBack()
		return false
	}
	m.err = os.NewSyscallError("splice", m.err)
	return true
}

// write moves all that the pipe holds into the destination.
func (m *splicing) write() error {
	if err := m.dst.Write(m.emptyInto); err != nil {
		return err
	}
	return m.err
}

// errEmpty cannot happen, as nobody else reads the pipe.
var errEmpty = errors.New("proxy: a pipe held fewer bytes than were put into it")

// empty moves what the pipe holds into a socket, and waits whenever that is full.
func (m *splicing) empty(fd uintptr) bool {
	for m.held > 0 {
		n, err := splice(m.pipe.r, int(fd), m.held)
		switch {
		case n > 0:
			m.held -= n
			m.moved.Add(uint64(n))
		case err == unix.EAGAIN:
			return false
		case err == nil:
			m.err = errEmpty
			return true
		default:
			m.err = os.NewSyscallError("splice", err)
			return true
		}
	}
	m.err = nil
	return true
}

// giveBack parts with the pipe: into the pool if nothing is in it.
func (m *splicing) giveBack() {
	if m.pipe == nil {
		return
	}
	if m.held > 0 {
		m.pool.discard(m.pipe)
	} else {
		m.pool.put(m.pipe)
	}
	m.pipe, m.held = nil, 0
}

// splice moves up to n bytes without blocking. With an error it has moved none.
func splice(from, to, n int) (int, error) {
	for {
		moved, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if err == unix.EINTR {
			continue
		}
		return max(0, int(moved)), err
	}
}
