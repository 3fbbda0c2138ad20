package testenv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"netbench/internal/counters"
	"netbench/internal/ptree"
)

// ErrStillRunning is wrapped by the error of a [Server.Quiesce] that saw no
// moment at which the server was blocked.
var ErrStillRunning = errors.New("still running")

const (
	// quiesceLimit bounds Quiesce: several times what a server needs that has
	// just answered its last request, and little beside a slice of 100 ms.
	quiesceLimit = 20 * time.Millisecond

	// quiescePause is the time between two looks. It is sleep, so that the
	// looks themselves do not take the CPU from a server that shares it.
	quiescePause = 200 * time.Microsecond
)

// CPU is the CPU time, user and system, that the server has used since it
// started: its process, and its descendants with what they waited for. It is
// read from CPU clocks, in nanoseconds and without the server's doing anything;
// the clock of a thread that runs at the moment lags by up to a scheduler tick
// (4 ms), so Quiesce first. It never goes back: the time of a descendant that has
// ended is known in units of 10 ms only, and the little that is lost then shows
// as no progress. Needs Linux.
func (s *Server) CPU() (time.Duration, error) {
	// Without this, the number could have passed to another process.
	if err := s.alive("read its CPU time"); err != nil {
		return 0, err
	}
	d, err := ptree.CPUTime(s.PID())
	if err != nil {
		return 0, s.explain(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cpu = max(s.cpu, d)
	return s.cpu, nil
}

// Quiesce waits until no thread of the server and its descendants runs or wants
// to run, which a server without input reaches within microseconds. If it does
// not within about 20 ms, or until ctx ends, the error wraps [ErrStillRunning].
// A frozen server is blocked. Needs Linux.
func (s *Server) Quiesce(ctx context.Context) error {
	if err := s.alive("wait until it is blocked"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, quiesceLimit)
	defer cancel()
	for {
		blocked, err := ptree.Blocked(s.PID())
		if err != nil {
			return s.explain(err)
		}
		if blocked {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("server (pid %d): %w", s.PID(), ErrStillRunning)
		case <-time.After(quiescePause):
		}
	}
}

// Counters starts to count the system calls and context switches of every thread
// of the server and its descendants, including those to come. Counting costs the
// server up to 6 % of its time, so times measured meanwhile do not count; it ends
// with Close. The error says why nothing can be counted here, if so: leave the
// metrics out then. Needs Linux, and root or CAP_PERFMON on most hosts.
func (s *Server) Counters() (*counters.Set, error) {
	if err := s.alive("count its system calls"); err != nil {
		return nil, err
	}
	set, err := counters.Open(s.PID())
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return set, nil
}

// freezeLimit bounds the time that the kernel takes to stop every thread.
const freezeLimit = 5 * time.Second

// Freeze stops the server with SIGSTOP and returns when all its threads have
// stopped: a stall to test what a load generator makes of it. Needs Linux.
func (s *Server) Freeze() error {
	if err := s.alive("freeze it"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), freezeLimit)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = true
	if err := ptree.Freeze(ctx, s.PID()); err != nil {
		return fmt.Errorf("freeze server: %w", err)
	}
	return nil
}

// Thaw lets a frozen server continue; it does nothing to one that runs.
func (s *Server) Thaw() error {
	if err := s.alive("thaw it"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.thaw()
}

func (s *Server) thaw() error {
	if err := ptree.Thaw(s.PID()); err != nil {
		return fmt.Errorf("thaw server: %w", err)
	}
	s.frozen = false
	return nil
}

func (s *Server) thawIfFrozen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.Done():
		return nil
	default:
	}
	if !s.frozen {
		return nil
	}
	return s.thaw()
}

// explain tells how the server ended if err says that there is none, which is seen a
// moment before its end is known.
func (s *Server) explain(err error) error {
	if errors.Is(err, ptree.ErrGone) {
		select {
		case <-s.Done():
			if how := s.Err(); how != nil {
				return fmt.Errorf("the server has ended: %w", how)
			}
		case <-time.After(time.Second):
		}
	}
	return fmt.Errorf("server (pid %d): %w", s.PID(), err)
}

// alive returns an error if the server has ended.
func (s *Server) alive(purpose string) error {
	select {
	case <-s.Done():
	default:
		return nil
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%s: the server has ended: %w", purpose, err)
	}
	return fmt.Errorf("%s: the server (pid %d) was stopped", purpose, s.PID())
}
