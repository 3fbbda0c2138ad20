package proxy

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// pipe is empty whenever it is in the pool.
type pipe struct {
	r, w     int
	capacity int // bytes
}

// pipePool hands out empty pipes. The one that came back last goes out first, as its
// pages are the likeliest to be in a cache; what is kept beyond need is bounded.
type pipePool struct {
	size int // capacity to ask for, bytes
	keep int // most pipes that are kept

	mu     sync.Mutex
	idle   []*pipe
	held   PipeStats
	closed bool
}

// newPipePool makes a pool with one pipe in it, to see that there can be one and how
// large.
func newPipePool(keep, size int) (*pipePool, error) {
	p := &pipePool{size: size, keep: keep}
	first, err := p.get()
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p.put(first)
	return p, nil
}

// get returns an empty pipe, for put or discard.
func (p *pipePool) get() (*pipe, error) {
	p.mu.Lock()
	if last := len(p.idle) - 1; last >= 0 {
		out := p.idle[last]
		p.idle[last] = nil
		p.idle = p.idle[:last]
		p.mu.Unlock()
		return out, nil
	}
	p.mu.Unlock()
	made, short, err := makePipe(p.size)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held.Open++
	p.held.Made++
	p.held.Bytes += made.capacity
	if short != "" {
		p.held.Short = short
	}
	return made, nil
}

// put takes back a pipe that is empty.
func (p *pipePool) put(x *pipe) {
	p.mu.Lock()
	if !p.closed && len(p.idle) < p.keep {
		p.idle = append(p.idle, x)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.discard(x)
}

// discard closes a pipe, whatever is in it.
func (p *pipePool) discard(x *pipe) {
	_ = unix.Close(x.r)
	_ = unix.Close(x.w)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held.Open--
	p.held.Bytes -= x.capacity
}

func (p *pipePool) stats() PipeStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.held
	s.Idle = len(p.idle)
	return s
}

// close closes the pipes that are idle, and has those that come back closed.
func (p *pipePool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, x := range idle {
		p.discard(x)
	}
}

// makePipe makes a pipe that holds size bytes. The kernel rounds that up to pages
// and a power of two, and gives 64 KiB unasked; a smaller one is left at that. A user
// without privileges gets no more than pipe-max-size, and pipes of a page or two
// beyond pipe-user-pages-soft (pipe(7)): then short says so.
func makePipe(size int) (made *pipe, short string, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, "", os.NewSyscallError("pipe2", err)
	}
	made = &pipe{r: fds[0], w: fds[1]}
	made.capacity, err = unix.FcntlInt(uintptr(made.r), unix.F_GETPIPE_SZ, 0)
	if err == nil && made.capacity < size {
		var larger int
		if larger, err = unix.FcntlInt(uintptr(made.r), unix.F_SETPIPE_SZ, size); err == nil {
			made.capacity = larger
		} else {
			short = fmt.Sprintf("pipes hold %d bytes where %d were asked for (%v: see fs.pipe-max-size and fs.pipe-user-pages-soft)", made.capacity, size, err)
			err = nil
		}
	}
	if err != nil {
		_ = unix.Close(made.r)
		_ = unix.Close(made.w)
		return nil, "", os.NewSyscallError("fcntl F_GETPIPE_SZ", err)
	}
	return made, short, nil
}
