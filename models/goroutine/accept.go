package goroutine

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"netbench/internal/listen"
	"netbench/models"
)

// queueMax bounds how many connections Shutdown takes from the backlog: none is
// ever longer.
const queueMax = 65535

// Serve accepts connections until Shutdown or Close. It takes a slot first, so
// at MaxConns it does not accept, or, with Reject, closes what it accepts.
//
// An accept that fails because the process or the host lacks descriptors or
// memory, or because the peer has gone already, is retried after 5 ms, then
// after twice as long each time up to 1 s, until one succeeds.
func (s *server) Serve() error {
	s.mu.Lock()
	switch {
	case s.draining.Load() || s.closed:
		s.mu.Unlock()
		return models.ErrServerClosed
	case s.served:
		s.mu.Unlock()
		return errors.New("goroutine: Serve was called twice (make another server)")
	}
	s.served, s.accepting = true, true
	s.running.Add(1)
	s.mu.Unlock()

	var others sync.WaitGroup
	for _, l := range s.listeners[1:] {
		others.Go(func() { s.serveListener(l) })
	}
	s.serveListener(s.listeners[0])
	others.Wait()
	s.mu.Lock()
	s.accepting = false
	err := s.failure
	s.checkDrained()
	s.mu.Unlock()
	s.running.Done()
	if err == nil {
		err = models.ErrServerClosed
	}
	return err
}

// serveListener accepts from one listener until the end, and closes it.
func (s *server) serveListener(l *listener) {
	defer l.close()
	if err := s.accept(l); err != nil {
		s.giveUp(err)
		return
	}
	select {
	case <-s.swept: // from here on nobody else sets the listener's deadline
		s.acceptQueued(l)
	case <-s.broken:
	}
}

// giveUp ends the accept loops of all listeners, as one is beyond use.
func (s *server) giveUp(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil || s.draining.Load() {
		return
	}
	s.failure = err
	close(s.broken)
	for _, l := range s.listeners {
		l.close()
	}
}

// accept accepts until Shutdown or Close begins or another listener is beyond
// use, then returns nil, or until this one is.
func (s *server) accept(l *listener) error {
	var backoff time.Duration
	for {
		if l.backlog != nil {
			// An error is that of a listener that was woken or closed, which
			// reserve and Accept find out about.
			_ = l.backlog.Wait()
		}
		if !s.reserve(s.drain) {
			return nil
		}
		nc, err := l.Accept()
		if err == nil {
			backoff = 0
			s.take(l, nc)
			continue
		}
		s.unreserve()
		select {
		case <-s.drain:
			return nil
		default:
		}
		if !listen.Temporary(err) {
			return fmt.Errorf("goroutine: accept on %v: %w", s.Addr(), err)
		}
		if backoff = s.backOff(backoff, s.drain); backoff == 0 {
			return nil
		}
	}
}

// acceptQueued accepts what was in the backlog when Shutdown began, and with it
// what comes until the backlog is empty for a moment: the kernel would reset all
// of it when the listener is closed, and there may be whole requests on it. At
// MaxConns it waits for slots, which the drain frees.
func (s *server) acceptQueued(l *listener) {
	var backoff time.Duration
	for range queueMax {
		ready, known := listen.Queued(l.Listener)
		if known && !ready {
			return
		}
		if !s.reserve(s.killed) {
			return
		}
		// The deadline is for a connection that was reset while it waited and
		// so is not there any more, and for platforms that cannot tell.
		_ = l.SetDeadline(time.Now().Add(shortWait))
		nc, err := l.Accept()
		if err == nil {
			backoff = 0
			s.take(l, nc)
			continue
		}
		s.unreserve()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && known:
			continue
		case errors.Is(err, os.ErrDeadlineExceeded), !listen.Temporary(err):
			return
		}
		if backoff = s.backOff(backoff, s.killed); backoff == 0 {
			return
		}
	}
}

// shortWait is how long a look at something that should be there may take.
const shortWait = 100 * time.Millisecond

// reserve takes a slot before a connection is accepted. At MaxConns it waits for
// one, unless connections beyond it are rejected. It returns false when end is
// closed.
func (s *server) reserve(end <-chan struct{}) bool {
	if s.slots == nil || s.cfg.OnLimit == models.Reject {
		select {
		case <-end:
			return false
		default:
			return true
		}
	}
	select {
	case s.slots <- struct{}{}:
		return true
	case <-end:
		return false
	case <-s.broken:
		return false
	}
}

// unreserve undoes reserve when no connection came.
func (s *server) unreserve() {
	if s.cfg.OnLimit == models.Wait {
		s.release()
	}
}

// take admits a connection, or closes it if it is beyond MaxConns. It ends the
// stream before it closes, so that the peer sees an end rather than a reset even
// if it has sent something already.
func (s *server) take(l *listener, nc net.Conn) {
	if s.slots != nil && s.cfg.OnLimit == models.Reject {
		select {
		case s.slots <- struct{}{}:
		default:
			s.mu.Lock()
			s.totals.Rejected++
			s.mu.Unlock()
			closeWrite(nc)
			_ = nc.Close()
			return
		}
	}
	s.admit(l, nc)
}

// backOff counts a failed accept and waits, longer than the last time. It
// returns how long it has waited, or 0 when end was closed meanwhile.
func (s *server) backOff(last time.Duration, end <-chan struct{}) time.Duration {
	s.mu.Lock()
	s.totals.AcceptErrors++
	s.mu.Unlock()
	wait := listen.Backoff(last)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return wait
	case <-end:
		return 0
	case <-s.broken:
		return 0
	}
}
