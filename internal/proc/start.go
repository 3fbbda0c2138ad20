package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"netbench/internal/cpu"
)

// drainGrace bounds how long the output of an ended child is read on, should a
// process that it left behind hold it open.
const drainGrace = 500 * time.Millisecond

// Start runs a child and returns when it is ready. When it is not ready within
// the time, or ctx ends, or it fails, nothing is left of it and the error tells
// what it wrote last.
func Start(ctx context.Context, o Options) (*Child, error) {
	if o.Program == "" {
		known := roles.Load()
		if known == nil {
			return nil, fmt.Errorf("start child %q: this program cannot execute itself as a child (call proc.Main, or testenv.Main, first in main or TestMain)", o.Role)
		}
		if _, err := findRole(o.localRole(), *known); err != nil {
			return nil, fmt.Errorf("start child: %w", err)
		}
	}
	if o.Carrier != nil && o.Program != "" {
		return nil, fmt.Errorf("start child %q: it has both a carrier and a program of its own (give the program to what the carrier starts)", o.Role)
	}
	if o.GoMaxProcs < 0 {
		return nil, fmt.Errorf("start child %q: GoMaxProcs is %d (want 1 or more, or 0 for the default)", o.Role, o.GoMaxProcs)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start child %q: %w", o.Role, err)
	}
	timeout := o.StartTimeout
	if timeout <= 0 {
		timeout = DefaultStartTimeout
	}
	c := &Child{
		role:    o.Role,
		carried: o.Carrier != nil,
		tail:    &tail{log: o.Log},
		lines:   make(chan []byte),
		wake:    make(chan struct{}, 1),
		ready:   make(chan struct{}),
		exited:  make(chan struct{}),
		done:    make(chan struct{}),
		waiting: map[uint64]chan message{},
	}
	greeting, err := encodeBody(message{Kind: kindHello}, c.hello())
	if err != nil {
		return nil, err
	}
	start, err := encodeBody(message{Kind: kindStart}, o.Spec)
	if err != nil {
		return nil, fmt.Errorf("start child %q: encode its specification: %w", o.Role, err)
	}

	timer := time.NewTimer(timeout)
	defer timer.Stop()
	if err := c.launch(o, greeting, start); err != nil {
		return nil, fmt.Errorf("start child %q: %w", o.Role, err)
	}
	select {
	case <-c.ready:
		return c, nil
	case <-c.done:
		select {
		case <-c.ready: // and ended since; the caller will see
			return c, nil
		default:
			return nil, c.end
		}
	case <-ctx.Done():
		err = c.kill(fmt.Errorf("killed, as it was not ready yet: %w", ctx.Err()))
	case <-timer.C:
		err = c.kill(fmt.Errorf("killed, as it was not ready within %v: %w", timeout, ErrNotReady))
	}
	if err != nil {
		return nil, err
	}
	<-c.done
	return nil, c.end
}

// launch makes the pipes, and the goroutine that forks and waits. The child is
// sent the lines of first before any other.
func (c *Child) launch(o Options, first ...[]byte) error {
	childIn, to, err := os.Pipe()
	if err != nil {
		return err
	}
	from, childOut, err := os.Pipe()
	if err != nil {
		return errors.Join(err, childIn.Close(), to.Close())
	}
	c.to, c.from = to, from

	program, image := o.Program, o.Program
	if program == "" {
		if program, err = os.Executable(); err == nil {
			image = imagePath(program)
		}
	}
	if err == nil {
		c.cmd = exec.Command(image)
		c.cmd.Args = []string{program}
		if c.cmd.Env, err = childEnv(o); err != nil {
			return errors.Join(err, childIn.Close(), childOut.Close(), to.Close(), from.Close())
		}
		c.cmd.Stdout, c.cmd.Stderr = c.tail, c.tail
		c.cmd.WaitDelay = drainGrace
		// The kernel would kill a carrier before it has ended what it carries.
		err = passPipes(c.cmd, childIn, childOut, !o.Untied && o.Carrier == nil)
	}
	if err == nil {
		started := make(chan error, 1)
		cpus := o.CPUs
		if o.Carrier != nil {
			cpus = nil // they are for what it carries
		}
		go c.keep(cpus, first, started)
		err = <-started
	}
	// Left open here, the child's ends would hide its death from us.
	_ = childIn.Close()
	_ = childOut.Close()
	if err != nil {
		_ = to.Close()
		_ = from.Close()
	}
	return err
}

// keep forks the child and waits for it on one thread, which has to outlive the
// child: the kernel kills a child with the thread that forked it.
func (c *Child) keep(cpus []int, first [][]byte, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cpu.RunOn(cpus, c.cmd.Start); err != nil {
		if c.cmd.Process != nil { // it runs, but this thread is on the wrong CPUs
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
		started <- err
		return
	}
	c.pid = c.cmd.Process.Pid
	var talk sync.WaitGroup
	talk.Go(c.read)
	talk.Go(func() { c.write(first) })
	started <- nil

	// Its error repeats the state, or says that output was cut off.
	_ = c.cmd.Wait()
	close(c.exited)
	// What the child said last is still in the pipe. The end of the pipe comes
	// right behind it, unless somebody else holds the child's end.
	_ = c.from.SetReadDeadline(time.Now().Add(drainGrace))
	_ = c.to.SetWriteDeadline(time.Now())
	talk.Wait()
	_ = c.to.Close()
	_ = c.from.Close()

	last, fault := c.tail.text()
	c.mu.Lock()
	c.end = &ExitError{Role: c.role, PID: c.pid, State: c.cmd.ProcessState, Stderr: last, Fault: fault, Cause: c.cause}
	c.mu.Unlock()
	close(c.done)
}

// localRole is the role that the child process takes.
func (o Options) localRole() string {
	if o.Carrier != nil {
		return o.Carrier.Role
	}
	return o.Role
}

// ownEnv is what o adds to an environment.
func (o Options) ownEnv() []string {
	env := slices.Clone(o.Env)
	if o.GoMaxProcs > 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(o.GoMaxProcs))
	}
	return env
}

// childEnv is this process's environment with what o asks for.
func childEnv(o Options) ([]string, error) {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return len(o.CPUs) > 0 && strings.HasPrefix(v, "GOMAXPROCS=")
	})
	// A build with the race detector sleeps for a second when it exits, unless
	// told otherwise, which is most of the life of a test's child.
	if _, set := os.LookupEnv("GORACE"); !set {
		env = append(env, "GORACE=atexit_sleep_ms=0")
	}
	if o.Carrier == nil {
		env = append(env, o.ownEnv()...)
	} else {
		cargo, err := o.cargo()
		if err != nil {
			return nil, err
		}
		env = append(env, cargo)
	}
	return append(env, envRole+"="+o.localRole()), nil
}
