package reuseport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"netbench/internal/listen"
	"netbench/internal/proc"
	"netbench/models"
	"netbench/testenv"
)

// Waits before a worker is restarted: the first, and the longest.
const (
	firstBackoff = 10 * time.Millisecond
	lastBackoff  = time.Second
)

const (
	// askLimit bounds what Stats waits for workers, which answer within
	// milliseconds unless they are stopped or starved.
	askLimit = 2 * time.Second

	// lastAskLimit is that of the last question before a worker is killed.
	lastAskLimit = 250 * time.Millisecond

	// startTries is how often a worker is started that SIGTERM ends before it can
	// ignore it: more often than anybody sends one.
	startTries = 5

	// stopLimit bounds the orderly end of a worker that has drained.
	stopLimit = 5 * time.Second
)

// supervisor is the first process of a prefork server.
type supervisor struct {
	o      PreforkOptions
	name   string
	held   *listen.Held
	addr   net.Addr
	places []*place

	// life ends when Shutdown or Close begins, or the server has failed: no
	// worker is started from then on.
	life    context.Context
	end     context.CancelFunc
	keepers sync.WaitGroup // a goroutine for each place, which restarts

	patience context.Context // of the drain; ends with Close
	hurry    context.CancelFunc

	failed  chan struct{} // closed when failure is set
	done    chan struct{} // closed when no worker is left
	closing sync.Once

	mu       sync.Mutex
	served   bool
	draining bool
	drained  error // of the drain, after done
	deaths   []time.Time
	restarts uint64
	failure  error
}

// newSupervisor holds the address and starts the workers.
func newSupervisor(cfg models.Config, o PreforkOptions) (models.Server, error) {
	cpus, err := affinity()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	asked := cfg.Listeners
	if cfg, err = cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Listeners = asked; asked == 0 {
		cfg.Listeners = len(cpus)
	}
	if int(o.Over) >= len(kinds) {
		return nil, fmt.Errorf("reuseport: PreforkOptions.Over is %d (want Goroutine or Reactor)", o.Over)
	}
	name := nameOf("prefork", o.Over, false)
	held, err := listen.Hold(cfg, name)
	if err != nil {
		return nil, err
	}
	specs, err := plan(cfg, o, held, cpus)
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	s := &supervisor{
		o: o, name: name, held: held, addr: held.Addr(),
		failed: make(chan struct{}), done: make(chan struct{}),
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.patience, s.hurry = context.WithCancel(context.Background())
	if err := s.startAll(specs); err != nil {
		s.end()
		s.hurry()
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), held.Close())
	}
	return s, nil
}

// startAll starts the workers, all at once. If one fails none is left.
func (s *supervisor) startAll(specs []testenv.ServerSpec) error {
	errs := make([]error, len(specs))
	var starting sync.WaitGroup
	for i, spec := range specs {
		p := &place{index: i, spec: spec}
		s.places = append(s.places, p)
		starting.Go(func() {
			w, err := s.startFirst(spec)
			if err != nil {
				errs[i] = fmt.Errorf("worker %d: %w", i, err)
				s.end() // the others need not go on
				return
			}
			p.settle(s.life, w)
		})
	}
	starting.Wait()
	if s.life.Err() != nil {
		for _, p := range s.places {
			if p.worker != nil {
				_ = p.worker.Kill()
			}
		}
		return firstCause(errs)
	}
	for _, p := range s.places {
		s.keepers.Go(func() { s.keep(p) })
	}
	return nil
}

// startFirst starts the first worker of a place. A service manager that sends
// SIGTERM to all processes at once may hit one that cannot leave it to the
// supervisor yet. It is started again, so that the supervisor gets to drain it.
func (s *supervisor) startFirst(spec testenv.ServerSpec) (*testenv.Server, error) {
	for tries := startTries; ; tries-- {
		w, err := testenv.StartServer(s.life, spec)
		if err == nil || tries == 1 || s.life.Err() != nil || !terminated(err) {
			return w, err
		}
	}
}

// terminated tells whether a worker was ended by a signal that asks for an end in
// order.
func terminated(err error) bool {
	var exit *proc.ExitError
	if !errors.As(err, &exit) || exit.Cause != nil {
		return false
	}
	status, ok := exit.State.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && (status.Signal() == syscall.SIGTERM || status.Signal() == syscall.SIGINT)
}

// firstCause is the first error that is not the consequence of another one.
func firstCause(errs []error) error {
	var first error
	for _, err := range errs {
		if err != nil && (first == nil || errors.Is(first, context.Canceled)) {
			first = err
		}
	}
	return first
}

// keep restarts the worker of a place whenever it dies.
func (s *supervisor) keep(p *place) {
	backoff := firstBackoff
	for {
		w := p.current()
		since := time.Now()
		select {
		case <-w.Done():
		case <-s.life.Done():
			return
		}
		if time.Since(since) > s.o.Within {
			backoff = firstBackoff
		}
		for died := cause(w); ; {
			if !s.mayRestart(p, died) {
				return
			}
			select {
			case <-time.After(backoff):
			case <-s.life.Done():
				return
			}
			backoff = min(2*backoff, lastBackoff)
			next, err := testenv.StartServer(s.life, p.spec)
			if err == nil {
				s.restarted(p, w, next, died)
				break
			}
			if s.life.Err() != nil {
				return
			}
			died = err
		}
	}
}

// cause says how a worker ended.
func cause(w *testenv.Server) error {
	if err := w.Err(); err != nil {
		return err
	}
	return fmt.Errorf("server (pid %d) ended by itself without an error", w.PID())
}

// mayRestart counts a death, and ends the server if there are too many.
func (s *supervisor) mayRestart(p *place, died error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil || s.failure != nil {
		return false
	}
	now := time.Now()
	for len(s.deaths) > 0 && now.Sub(s.deaths[0]) > s.o.Within {
		s.deaths = s.deaths[1:]
	}
	s.deaths = append(s.deaths, now)
	if len(s.deaths) <= s.o.Deaths {
		return true
	}
	s.failure = fmt.Errorf("%s: %d workers died within %v, and at most %d are restarted; the last was worker %d: %w",
		s.name, len(s.deaths), s.o.Within, max(0, s.o.Deaths), p.index, died)
	close(s.failed)
	s.end()
	return false
}

// restarted gives a place to the successor of a worker, and tells whoever reads
// the server's log.
func (s *supervisor) restarted(p *place, dead, next *testenv.Server, died error) {
	p.settle(s.life, next)
	s.mu.Lock()
	s.restarts++
	s.mu.Unlock()
	fmt.Fprintf(os.Stderr, "%s: worker %d (pid %d) died and was restarted as pid %d: %v\n", s.name, p.index, dead.PID(), next.PID(), died)
}

func (s *supervisor) Addr() net.Addr { return s.addr }

// Serve returns when the server was shut down or closed, or too many workers
// have died.
func (s *supervisor) Serve() error {
	s.mu.Lock()
	if s.served && s.life.Err() == nil {
		s.mu.Unlock()
		return fmt.Errorf("%s: Serve was called twice (make another server)", s.name)
	}
	s.served = true
	s.mu.Unlock()
	select {
	case <-s.failed:
		return errors.Join(s.failure, s.Close())
	case <-s.done:
		return models.ErrServerClosed
	}
}

// Shutdown drains all workers. One that dies meanwhile is not restarted, and is
// an error.
func (s *supervisor) Shutdown(ctx context.Context) error {
	s.end()
	s.mu.Lock()
	if !s.draining {
		s.draining = true
		go s.drain()
	}
	s.mu.Unlock()
	select {
	case <-s.done:
	default:
		select {
		case <-s.done:
		case <-ctx.Done():
			_ = s.Close()
			return ctx.Err()
		}
	}
	return s.drained
}

// drain ends all workers in order.
func (s *supervisor) drain() {
	s.keepers.Wait()
	err := s.each(func(p *place) error {
		if ended(p.worker) {
			return nil
		}
		if err := p.worker.Shutdown(s.patience); err != nil && s.patience.Err() == nil {
			return fmt.Errorf("%s: worker %d did not drain: %w", s.name, p.index, err)
		}
		return s.stop(p)
	})
	s.finish(err)
}

// stop ends a worker that has no connections any more, or kills it in a hurry.
func (s *supervisor) stop(p *place) error {
	if s.patience.Err() != nil {
		ctx, cancel := context.WithTimeout(context.Background(), lastAskLimit)
		defer cancel()
		_, _ = p.ask(ctx) // what it does not tell is lost
		return p.worker.Kill()
	}
	ctx, cancel := context.WithTimeout(s.patience, stopLimit)
	defer cancel()
	_, _ = p.ask(ctx)
	if err := p.worker.Stop(ctx); err != nil && s.patience.Err() == nil {
		return fmt.Errorf("%s: worker %d did not stop: %w", s.name, p.index, err)
	}
	return nil
}

// finish gives the address up and tells everybody that nothing is left.
func (s *supervisor) finish(err error) {
	s.drained = errors.Join(err, s.held.Close())
	close(s.done)
}

// each calls f for all places at once.
func (s *supervisor) each(f func(*place) error) error {
	errs := make([]error, len(s.places))
	var all sync.WaitGroup
	for i, p := range s.places {
		all.Go(func() { errs[i] = f(p) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Close kills all workers, after it has asked them for their last figures.
func (s *supervisor) Close() error {
	s.end()
	s.hurry()
	s.closing.Do(func() {
		s.mu.Lock()
		draining := s.draining
		s.draining = true
		s.mu.Unlock()
		if !draining {
			s.keepers.Wait()
			s.finish(s.each(s.stop))
		}
	})
	<-s.done
	return nil
}
