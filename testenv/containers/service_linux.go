package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"netbench/internal/proc"
	"netbench/internal/ptree"
	"netbench/testenv/services"
)

const (
	// stopTimeout bounds ends that have no deadline of their own, and discardTimeout
	// that of a service that did not start.
	stopTimeout    = 10 * time.Second
	discardTimeout = createTimeout + removeTimeout + time.Second

	// probePause is the time between two looks whether a service answers.
	probePause = 5 * time.Millisecond

	// hidden stands where a password would be.
	hidden = "(hidden)"
)

// service is one in a container, seen from the process that uses it.
type service struct {
	name    string // of the program
	ready   func(context.Context) error
	save    func(context.Context) error // before a restart, to keep the data; may be nil
	ending  ending
	timeout time.Duration

	child    *proc.Child
	pid      int
	password func() string

	mu  sync.Mutex // one change of what runs at a time
	cpu struct {
		sync.Mutex
		most time.Duration // that CPU has returned
	}
}

// recipe is what differs between services.
type recipe struct {
	*service
	image   string
	user    string
	prepare string
	command []string
	given   string
	cpus    []int
	shared  int64 // bytes of /dev/shm
	log     io.Writer
}

// start makes the container and starts the service in it. found tells the image and
// the engine.
func (r recipe) start(ctx context.Context) (_ *service, found string, err error) {
	engine, err := Engine(ctx)
	if err != nil {
		return nil, "", err
	}
	s := r.service
	s.child, err = proc.Start(ctx, proc.Options{
		Role: roleHolder, Untied: true, // it removes the container first
		Env: []string{"DOCKER_HOST=" + engine.raw}, Log: r.log,
	})
	if err != nil {
		return nil, "", err
	}
	var id string
	if err := s.call(ctx, opImage, r.image, &id); err != nil {
		return nil, "", s.discard(ctx, err)
	}
	err = s.within(ctx, func(ctx context.Context) error {
		o := opening{Given: r.given, Plan: plan{
			Owner: os.Getpid(), Image: r.image, User: r.user, CPUs: r.cpus, Files: descriptors(), Shared: r.shared,
			Command: append([]string{"/bin/sh", "-c", script(r.prepare), "sh"}, r.command...),
		}}
		if err := s.call(ctx, opOpen, o, &s.pid); err != nil {
			return err
		}
		return s.launch(ctx)
	})
	if err != nil {
		return nil, "", s.discard(ctx, fmt.Errorf("image %s: %w", r.image, err))
	}
	return s, fmt.Sprintf("image %s (%s) as user %s, engine %s", r.image, id, r.user, engine.Version), nil
}

// call runs an operation of the holder; its error does not tell of roles.
func (s *service) call(ctx context.Context, op string, arg, result any) error {
	err := s.child.Call(ctx, op, arg, result)
	var failed *proc.CallError
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &failed):
		return errors.New(failed.Message)
	}
	return err
}

// within bounds an operation by the start's time-out.
func (s *service) within(ctx context.Context, do func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := do(bounded)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("%s was not ready within %v: %w", s.name, s.timeout, err)
	}
	return err
}

// launch starts the service in its container and waits until it answers.
func (s *service) launch(ctx context.Context) error {
	if err := s.call(ctx, opRun, nil, nil); err != nil {
		return err
	}
	probing, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		var how string
		err := s.call(probing, opAwaitEnd, nil, &how)
		if err == nil {
			err = errors.New("it ended before it answered: " + how)
		}
		ended <- err
		cancel()
	})
	var last error // what it said before it was interrupted
	for {
		err := s.ready(probing)
		if err == nil {
			return nil
		}
		if last == nil || probing.Err() == nil {
			last = err
		}
		select {
		case err := <-ended:
			if ctx.Err() == nil {
				return err
			}
			return fmt.Errorf("%w (last: %w)", ctx.Err(), last)
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", ctx.Err(), last)
		case <-time.After(probePause):
		}
	}
}

// discard stops what did not start, and adds what it wrote last to the error.
func (s *service) discard(ctx context.Context, err error) error {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	if e := s.child.Stop(stop); e != nil {
		err = fmt.Errorf("%w; when it was stopped: %w", err, e)
	}
	return s.hide(s.said(err))
}

// said adds the last line that the service wrote.
func (s *service) said(err error) error {
	if said := s.child.Said(); said != "" {
		return fmt.Errorf("%w; it wrote: %s", err, said)
	}
	return err
}

// hide takes the password out of an error, and makes it one line.
func (s *service) hide(err error) error {
	if err == nil || !strings.Contains(err.Error(), s.password()) {
		return oneLine(err)
	}
	return oneLine(errors.New(strings.ReplaceAll(err.Error(), s.password(), hidden)))
}

// Stop removes the container with all that is in it; nothing there needs an end in
// order.
func (s *service) Stop(ctx context.Context) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, stopTimeout)
		defer cancel()
	}
	return s.hide(s.child.Stop(ctx))
}

// Restart ends the service in order and starts it again in the same container.
func (s *service) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fail := func(err error) error { return s.hide(fmt.Errorf("restart: %w", err)) }
	if s.save != nil {
		if err := s.save(ctx); err != nil {
			return fail(fmt.Errorf("save the data: %w", err))
		}
	}
	if err := s.call(ctx, opEnd, s.ending, nil); err != nil {
		return fail(err)
	}
	if err := s.within(ctx, s.launch); err != nil {
		return fail(s.said(err))
	}
	return nil
}

// CPU is the CPU time of all processes that the container has and had.
func (s *service) CPU() (time.Duration, error) {
	select {
	case <-s.child.Done(): // its number could have passed to another process
		return 0, errors.New("CPU time: the service was stopped")
	default:
	}
	used, err := ptree.CPUTime(s.pid)
	if err != nil {
		return 0, fmt.Errorf("CPU time: %w", err)
	}
	s.cpu.Lock()
	defer s.cpu.Unlock()
	s.cpu.most = max(s.cpu.most, used)
	return s.cpu.most, nil
}

// contained is the service as the ladder takes it.
func (s *service) contained(address, found string) services.Contained {
	return services.Contained{Address: address, Found: found, Stop: s.Stop, Restart: s.Restart, CPU: s.CPU}
}
