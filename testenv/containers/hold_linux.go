package containers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"netbench/internal/proc"
)

// roleHolder is the role of the process that holds a service's container.
const roleHolder = "container-holder"

// Operations of that process.
const (
	opImage    = "image"     // makes sure that it is there, answers its id
	opOpen     = "open"      // makes the container, answers the process id of its first process
	opRun      = "run"       // starts the service in it
	opAwaitEnd = "await end" // answers how the service ended, when it has
	opEnd      = "end"       // ends the service
)

// holdRole runs a service in a container.
var holdRole = proc.Role{Name: roleHolder, Run: hold}

// opening is the argument of opOpen.
type opening struct {
	Plan plan

	// Given is written to the file of that name before anything else; it may be
	// secret.
	Given string
}

// ending is the argument of opEnd: a signal, and how long it may take before the
// service is killed.
type ending struct {
	Signal string
	Grace  time.Duration
}

// hold is the life of a holder's process. It begins before the container, so that
// nothing is left of one whose maker gives up.
func hold(ctx context.Context, ch *proc.Channel, _ json.RawMessage) error {
	h := &holder{}
	ch.Orphaned(func() { _ = h.leave() })
	ch.Handle(opImage, func(ctx context.Context, arg json.RawMessage) (any, error) {
		var image string
		if err := json.Unmarshal(arg, &image); err != nil {
			return nil, err
		}
		c, err := client.New(client.FromEnv)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return ensure(ctx, c, image)
	})
	ch.Handle(opOpen, func(_ context.Context, arg json.RawMessage) (any, error) {
		var o opening
		if err := json.Unmarshal(arg, &o); err != nil {
			return nil, err
		}
		return h.open(o)
	})
	ch.Handle(opRun, func(context.Context, json.RawMessage) (any, error) { return nil, h.run() })
	ch.Handle(opAwaitEnd, func(ctx context.Context, _ json.RawMessage) (any, error) { return h.awaitEnd(ctx) })
	ch.Handle(opEnd, func(ctx context.Context, arg json.RawMessage) (any, error) {
		var e ending
		if err := json.Unmarshal(arg, &e); err != nil {
			return nil, err
		}
		return nil, h.end(ctx, e)
	})
	if err := ch.Ready(nil); err != nil {
		return errors.Join(err, h.leave())
	}
	<-ctx.Done()
	return h.leave()
}

// holder holds one container. Its first process is script's shell, which is told
// what to do by lines.
type holder struct {
	mu     sync.Mutex // while the container is made, too
	closed bool
	box    *box
	runs   *running // the service that was started last
}

// running is a service from its start to its end.
type running struct {
	ended chan struct{}
	how   string // before ended is closed
}

// over tells whether it has ended.
func (r *running) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

func (h *holder) open(o opening) (pid int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.box != nil {
		return 0, errors.New("the container was made or removed already")
	}
	b, err := newBox(o.Plan, &lines{each: h.heard}, os.Stderr)
	if err != nil {
		return 0, err
	}
	h.box = b
	_, err = fmt.Fprintf(b.in, "%s\n.\n", strings.TrimSuffix(o.Given, "\n"))
	return b.pid, err
}

// heard takes a line of the shell's.
func (h *holder) heard(line string) {
	status, ended := strings.CutPrefix(line, "ended ")
	if !ended {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.runs != nil && !h.runs.over() {
		h.runs.how = "exit status " + status
		close(h.runs.ended)
	}
}

func (h *holder) run() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.box == nil {
		return errors.New("there is no container")
	}
	if h.runs != nil && !h.runs.over() {
		return errors.New("the service runs still")
	}
	h.runs = &running{ended: make(chan struct{})}
	_, err := fmt.Fprintln(h.box.in, "run")
	return err
}

// current is the service that was started last, and its container.
func (h *holder) current() (*box, *running, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.runs == nil {
		return nil, nil, errors.New("nothing was started")
	}
	return h.box, h.runs, nil
}

func (h *holder) awaitEnd(ctx context.Context) (string, error) {
	b, r, err := h.current()
	if err != nil {
		return "", err
	}
	select {
	case <-r.ended:
		return r.how, nil
	case <-b.ended:
		return fmt.Sprintf("its container ended with exit status %d", b.code), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (h *holder) end(ctx context.Context, e ending) error {
	b, r, err := h.current()
	if err != nil {
		return err
	}
	for _, step := range []ending{e, {"KILL", removeTimeout}} {
		// An error means that the container has ended.
		_, _ = fmt.Fprintln(b.in, "signal "+step.Signal)
		select {
		case <-r.ended:
			return nil
		case <-b.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(step.Grace):
		}
	}
	return fmt.Errorf("the service did not end within %v of SIGKILL", removeTimeout)
}

// leave removes the container, the last that a holder does.
func (h *holder) leave() error {
	h.mu.Lock()
	h.closed = true
	b := h.box
	h.mu.Unlock()
	if b == nil {
		return nil
	}
	return b.remove()
}

// lines cuts what is written into lines.
type lines struct {
	each func(string)
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, complete := bytes.Cut(l.rest, []byte("\n"))
		if !complete {
			return len(p), nil
		}
		l.each(string(line))
		l.rest = rest
	}
}
