//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package reactor

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"netbench/internal/cpu"
	"netbench/internal/listen"
	"netbench/models"
)

// Connections that are accepted in one go: enough to be quick, few enough for
// those that are served. Loops that share a listener take less, to leave the
// others some.
const (
	acceptBudget       = 64
	sharedAcceptBudget = 8
)

// socket is a listening socket, which one loop or several use.
type socket struct {
	fd    int
	users atomic.Int32
	path  string // of a Unix socket's file
}

// release closes the socket when its last user has no use for it any more.
func (k *socket) release() {
	if k.users.Add(-1) == 0 {
		// First, or it could be the file of a successor.
		if k.path != "" {
			_ = os.Remove(k.path)
		}
		closeFD(k.fd)
	}
}

// acceptor is a loop's part in accepting.
type acceptor struct {
	socket  *socket
	open    bool // it accepts, or will again
	heeded  bool // the poller tells of connections
	backoff time.Duration
	retryAt time.Duration // when to try again after a failure; 0 if not
}

func (a *acceptor) fd() int {
	if a.socket == nil {
		return -1
	}
	return a.socket.fd
}

func (a *acceptor) release() {
	if a.socket != nil {
		a.socket.release()
		a.socket = nil
	}
}

// listen opens the listeners and gives them to the loops.
func (s *server) listen() error {
	var cpus []int
	if s.opts.Steer {
		var err error
		if cpus, err = cpu.Thread(0); err != nil {
			return listen.Unsupported(err)
		}
	}
	cfg := s.cfg
	var k *socket
	for i, l := range s.loops {
		if k == nil || s.opts.Share {
			o := listen.Options{Model: Name, Share: s.opts.Share, Steer: s.opts.Steer, NoDelay: cfg.NoDelay != models.Off}
			if s.opts.Steer {
				o.IncomingCPU = cpus[i%len(cpus)]
			}
			opened, err := listen.Open(cfg, o)
			if err != nil {
				return err
			}
			if i == 0 {
				s.addr = opened.Addr()
				if cfg.Network != "unix" {
					cfg.Address = s.addr.String()
				}
			}
			if k, err = detach(opened); err != nil {
				return err
			}
		}
		k.users.Add(1)
		l.accept.socket = k
	}
	return nil
}

// detach takes a listener's descriptor from package net, whose poller would be
// told of every connection too.
func detach(l listen.Listener) (*socket, error) {
	k := &socket{fd: -1}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
		k.path = u.Addr().String()
	}
	err := listen.Control(l, func(fd uintptr) (err error) {
		k.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	err = errors.Join(os.NewSyscallError("fcntl", err), l.Close())
	if err != nil && k.fd >= 0 {
		closeFD(k.fd)
	}
	return k, err
}

func (l *loop) startAccepting() {
	l.accept.open = true
	l.heed()
}

// heed lets the poller tell of connections that wait to be accepted.
func (l *loop) heed() {
	if err := l.poller.addListener(l.accept.fd(), len(l.s.loops) > 1 && !l.s.opts.Share); err != nil {
		l.retryLater()
		return
	}
	l.accept.heeded = true
}

// ignore is the opposite of heed.
func (l *loop) ignore() {
	if l.accept.heeded {
		l.accept.heeded = false
		l.poller.removeListener(l.accept.fd())
	}
}

// acceptSome accepts what waits, up to the budget.
func (l *loop) acceptSome() {
	budget := acceptBudget
	if len(l.s.loops) > 1 && !l.s.opts.Share {
		budget = sharedAcceptBudget
	}
	for ; l.accept.open && (budget > 0 || l.draining); budget-- {
		// To wait, a slot has to be there before a connection is taken. To
		// reject, one that may not be needed must not be kept from another loop.
		first := l.s.cfg.OnLimit == models.Wait
		if first && !l.s.reserve() {
			l.starve()
			return
		}
		fd, err := acceptFD(l.accept.fd())
		if err != nil {
			if first {
				l.s.release()
			}
			if l.acceptFailed(err) {
				continue
			}
			return
		}
		l.accept.backoff = 0
		if !first && !l.s.reserve() {
			l.reject(fd)
			continue
		}
		if err := configure(fd, &l.s.cfg); err != nil {
			closeFD(fd)
			l.s.release()
			continue
		}
		l.assign(fd)
	}
}

// acceptFailed deals with an accept that has failed; it tells whether to go on
// at once.
func (l *loop) acceptFailed(err error) bool {
	switch {
	case err == again:
		if l.draining {
			l.stopAccepting()
		}
		return false
	case err == interrupted:
		return true
	case listen.Temporary(err):
		l.counts.AcceptErrors++
		l.retryLater()
		return false
	}
	l.broken = err
	l.stopAccepting()
	return false
}

// reject closes a connection beyond MaxConns. It ends the stream before, so that
// the peer sees an end rather than a reset even if it has sent something.
func (l *loop) reject(fd int) {
	l.counts.Rejected++
	shutdownWrite(fd)
	closeFD(fd)
}

// retryLater stops accepting for a while that is longer each time.
func (l *loop) retryLater() {
	l.ignore()
	l.accept.backoff = listen.Backoff(l.accept.backoff)
	l.accept.retryAt = l.now + l.accept.backoff
}

// starve stops accepting until a connection ends, of whichever loop.
func (l *loop) starve() {
	l.ignore()
	if l.starved.Load() {
		return
	}
	l.starved.Store(true)
	l.s.short.Add(1)
	if l.s.active.Load() < l.s.maxConns { // one has ended before it could know
		l.resumeAccept()
	}
}

// resumeAccept goes on accepting after it had to wait.
func (l *loop) resumeAccept() {
	if l.starved.Load() {
		l.starved.Store(false)
		l.s.short.Add(-1)
	}
	if !l.accept.open || l.accept.heeded || l.accept.retryAt > 0 {
		return
	}
	if l.draining {
		l.acceptSome()
		if !l.accept.open || l.accept.retryAt > 0 || l.starved.Load() {
			return
		}
	}
	l.heed()
}

// stopAccepting gives the listener up, for good.
func (l *loop) stopAccepting() {
	if !l.accept.open {
		return
	}
	l.ignore()
	if l.starved.Load() {
		l.starved.Store(false)
		l.s.short.Add(-1)
	}
	l.accept.open = false
	l.accept.retryAt = 0
	l.accept.release()
	l.s.accepting.Done()
}
