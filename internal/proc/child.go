package proc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// DefaultStartTimeout is how long a child may take until it is ready, if
// [Options] do not say.
const DefaultStartTimeout = 10 * time.Second

// ErrNotReady is wrapped by the error of a [Start] whose child did not say that
// it was ready in time.
var ErrNotReady = errors.New("not ready in time")

// Options say which child to start and where.
type Options struct {
	Role string // one of those given to Main
	Spec any    // encoded as JSON, the role's specification; may be nil

	// Program is the path of the executable to run. It has to speak the same
	// protocol and take the same role: a program of this project that calls
	// [Main], or one in another language. Empty runs this program again.
	Program string

	// Carrier makes the role run elsewhere: see there. Program has to be empty
	// then, and Untied does not matter. nil for a child process.
	Carrier *Carrier

	// CPUs is the set that the child runs on from its first instruction; empty
	// leaves it on the parent's. Needs Linux.
	CPUs []int

	// GoMaxProcs is the child's GOMAXPROCS. 0 leaves it to the child's runtime,
	// which takes the size of CPUs (or less, if a cgroup grants less); a
	// GOMAXPROCS in this process's environment is then passed on only if CPUs
	// is empty.
	GoMaxProcs int

	// Env are further variables, "NAME=value", that override inherited ones.
	Env []string

	// StartTimeout bounds the time until the child is ready; 0 means 10 s.
	StartTimeout time.Duration

	// Untied leaves it to the child to end when its parent has: the kernel does
	// not kill it. It is for a child that has processes of its own to end first;
	// see [Channel.Orphaned].
	Untied bool

	// Log gets a copy of the child's standard error and output while it runs;
	// nil for none. Only one goroutine writes to it at a time.
	Log io.Writer
}

// Child is a running or ended child process. Its methods may be called from
// several goroutines, and also after it ended.
type Child struct {
	role    string
	carried bool // the process is a carrier
	cmd     *exec.Cmd
	pid     int
	info    json.RawMessage
	tail    *tail

	to, from *os.File      // our ends of the pipes
	lines    chan []byte   // to the writer; unbuffered, so nothing piles up
	ready    chan struct{} // closed after info is set
	exited   chan struct{} // closed when the process is reaped
	done     chan struct{} // closed when nothing is left: process, pipes, goroutines
	end      *ExitError    // set before done is closed

	wake chan struct{} // tells the writer of abandoned calls; room for one

	mu        sync.Mutex
	cause     error // why we ended it
	nextID    uint64
	waiting   map[uint64]chan message // calls by id
	abandoned []uint64                // calls whose cancel is not sent yet
}

// PID is the child's process id.
func (c *Child) PID() int { return c.pid }

// Info is what the child passed to [Channel.Ready], as JSON.
func (c *Child) Info() json.RawMessage { return c.info }

// Done is closed when the child has ended and everything that belonged to it is
// released.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err is nil while the child runs and after it exited with status 0 by itself
// or by [Child.Stop]; otherwise it is an [*ExitError].
func (c *Child) Err() error {
	select {
	case <-c.done:
	default:
		return nil
	}
	if c.end.Cause == nil && c.end.State.Success() {
		return nil
	}
	return c.end
}

// Call runs an operation in the child and decodes its result into result, a
// pointer, or nil to ignore it. Several calls may be under way. The error is a
// [*CallError] if the operation failed, an [*ExitError] if the child ended
// before it answered, or wraps ctx's.
func (c *Child) Call(ctx context.Context, op string, arg, result any) error {
	reply := make(chan message, 1)
	c.mu.Lock()
	c.nextID++
	id := c.nextID
	c.waiting[id] = reply
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}()
	line, err := encodeBody(message{Kind: kindCall, ID: id, Op: op}, arg)
	if err != nil {
		return fmt.Errorf("child %q: %s: encode the argument: %w", c.role, op, err)
	}
	select {
	case c.lines <- line:
	case <-c.done:
		return c.end
	case <-ctx.Done():
		return fmt.Errorf("child %q: %s: %w", c.role, op, ctx.Err())
	}
	var m message
	select {
	case m = <-reply:
	case <-c.done:
		// The reply may have been the last thing it said.
		select {
		case m = <-reply:
		default:
			return c.end
		}
	case <-ctx.Done():
		c.abandon(id)
		return fmt.Errorf("child %q: %s: no answer: %w", c.role, op, ctx.Err())
	}
	if m.Error != "" {
		return &CallError{Role: c.role, Op: op, Message: m.Error}
	}
	if result != nil {
		if err := json.Unmarshal(m.Body, result); err != nil {
			return fmt.Errorf("child %q: %s: decode the result: %w", c.role, op, err)
		}
	}
	return nil
}

// abandon lets the writer tell the child that nobody waits for a reply any more.
// It does not wait for the child to read that.
func (c *Child) abandon(id uint64) {
	c.mu.Lock()
	c.abandoned = append(c.abandoned, id)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // the writer is going to look anyway
	}
}

// cancels makes the lines for the calls abandoned since it was last called.
func (c *Child) cancels() (lines []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.abandoned {
		line, err := encode(message{Kind: kindCancel, ID: id})
		if err != nil {
			panic(err) // a number always encodes
		}
		lines = append(lines, line...)
	}
	c.abandoned = nil
	return lines
}

// Stop asks the child to stop and waits for its end; when ctx ends first it
// kills it. It returns what [Child.Err] then returns: nil if it exited with
// status 0.
func (c *Child) Stop(ctx context.Context) error {
	line, err := encode(message{Kind: kindStop})
	if err != nil {
		return err
	}
	select {
	case c.lines <- line:
	case <-c.done:
	case <-ctx.Done():
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		c.kill(fmt.Errorf("killed, as it did not stop: %w", ctx.Err()))
		<-c.done
	}
	return c.Err()
}

// Kill ends the child with SIGKILL and returns when it is reaped. Killing one
// that has ended is not an error.
func (c *Child) Kill() error {
	err := c.kill(nil)
	if err != nil {
		return err
	}
	<-c.done
	return nil
}

// kill ends the process for a reason, the first of which is kept.
func (c *Child) kill(cause error) error {
	c.mu.Lock()
	if c.cause == nil {
		c.cause = cause
	}
	c.mu.Unlock()
	end := c.cmd.Process.Kill
	if c.carried {
		end = func() error { return killCarrier(c.cmd.Process) }
	}
	if err := end(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill child %q (pid %d): %w", c.role, c.pid, err)
	}
	return nil
}

// read passes on what the child says until its end of the pipe is closed, which
// happens at the latest when it dies.
func (c *Child) read() {
	r := bufio.NewReader(c.from)
	err := c.readHello(r)
	for err == nil {
		var m message
		if m, err = readMessage(r); err != nil {
			break
		}
		err = c.take(m)
	}
	if isEOF(err) {
		// It ends, as a rule. One that only closed its pipe is useless.
		select {
		case <-c.exited:
			return
		case <-time.After(orphanGrace):
			err = errors.New("killed, as it closed its control channel")
		}
	}
	select {
	case <-c.exited: // the pipe was closed under us
	default:
		_ = c.kill(err)
	}
}

// orphanGrace is the time between the end of a child's control channel and the
// end of the child before it counts as not ending.
const orphanGrace = 2 * time.Second

func (c *Child) readHello(r *bufio.Reader) error {
	m, err := readMessage(r)
	if err != nil {
		return err
	}
	var theirs hello
	if m.Kind != kindHello || json.Unmarshal(m.Body, &theirs) != nil {
		return fmt.Errorf("killed, as it began with %q, not with a hello", m.Kind)
	}
	if err := agree(c.hello(), theirs); err != nil {
		return fmt.Errorf("killed: %w", err)
	}
	return nil
}

func (c *Child) hello() hello {
	return hello{Protocol: protocol, Min: minProtocol, PID: os.Getpid(), Role: c.role}
}

func (c *Child) take(m message) error {
	switch m.Kind {
	case kindReady:
		select {
		case <-c.ready:
			return errors.New("killed, as it said twice that it was ready")
		default:
		}
		c.info = m.Body
		close(c.ready)
	case kindReply:
		c.mu.Lock()
		if reply := c.waiting[m.ID]; reply != nil {
			reply <- m // has room for the one reply
			delete(c.waiting, m.ID)
		}
		c.mu.Unlock()
	default:
		return fmt.Errorf("killed, as it sent %q, which this version does not know", m.Kind)
	}
	return nil
}

// write sends the first lines, then those of calls, until the child is gone. A
// failed write means that the child has closed its end, which read deals with.
func (c *Child) write(first [][]byte) {
	for _, line := range first {
		if _, err := c.to.Write(line); err != nil {
			return
		}
	}
	for {
		var lines []byte
		select {
		case lines = <-c.lines:
		case <-c.wake:
			lines = c.cancels()
		case <-c.exited:
			return
		}
		if _, err := c.to.Write(lines); err != nil {
			return
		}
	}
}
