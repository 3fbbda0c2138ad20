package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"netbench/internal/proc"
	"netbench/internal/ptree"
)

const (
	// killLimit bounds the wait for processes that were killed.
	killLimit = 5 * time.Second

	// killPause is the time between two rounds of killing.
	killPause = 5 * time.Millisecond
)

func supported() error { return nil }

// keep is the life of a keeper's process. It begins before the program, so that a
// caller who gives up while the program starts can have this process end it in
// order.
func keep(ctx context.Context, ch *proc.Channel, spec Spec) error {
	// What outlives its parent becomes a child of this process, and so stays in
	// the tree.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	k := &keeper{spec: spec, lost: make(chan string, 1)}
	ch.Orphaned(func() { _ = k.leave(true) })
	ch.Handle(opDir, func(context.Context, json.RawMessage) (any, error) { return k.makeDir() })
	ch.Handle(opRun, func(ctx context.Context, arg json.RawMessage) (any, error) {
		p, err := k.start(arg)
		if err != nil {
			return nil, err
		}
		select {
		case <-p.ended:
			return p.end, nil
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), k.abort(p))
		}
	})
	ch.Handle(opLaunch, func(_ context.Context, arg json.RawMessage) (any, error) {
		_, err := k.start(arg)
		return nil, err
	})
	ch.Handle(opAwaitEnd, func(ctx context.Context, _ json.RawMessage) (any, error) {
		p := k.program()
		if p == nil {
			return nil, errors.New("nothing was launched")
		}
		select {
		case <-p.ended:
			return p.end, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	ch.Handle(opConfirm, func(context.Context, json.RawMessage) (any, error) { return k.confirm() })
	ch.Handle(opEnd, func(_ context.Context, arg json.RawMessage) (any, error) {
		var within time.Duration
		if err := json.Unmarshal(arg, &within); err != nil {
			return nil, err
		}
		return nil, k.endInOrder(within)
	})
	if err := ch.Ready(nil); err != nil {
		return errors.Join(err, k.leave(true))
	}
	select {
	case <-ctx.Done():
		return k.leave(false)
	case status := <-k.lost:
		return errors.Join(fmt.Errorf("the command ended: %s", status), k.leave(true))
	}
}

// keeper keeps one program at a time.
type keeper struct {
	spec Spec
	lost chan string // how a program ended that was ready and not asked to end

	leaving sync.Mutex

	mu      sync.Mutex
	dir     string
	current *program // the last one started
	closed  bool     // nothing is started any more
}

// program is a command that was started, with all its processes.
type program struct {
	Command

	ended chan struct{} // closed when nothing of it is left
	end   outcome       // before ended is closed

	// Under the keeper's mu.
	pid      int  // of its first process, 0 when that is gone
	ready    bool // by the parent's word
	stopping bool
}

// makeDir makes the program's directory.
func (k *keeper) makeDir() (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return "", errors.New("it was stopped already")
	}
	dir, err := os.MkdirTemp("", k.spec.Dir)
	if err != nil {
		return "", err
	}
	k.dir = dir
	if o := k.spec.Owner; o != nil {
		err = os.Chown(dir, int(o.UID), int(o.GID))
	}
	return dir, err
}

func (k *keeper) program() *program {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

func (k *keeper) confirm() (outcome, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		return outcome{}, errors.New("nothing was launched")
	}
	select {
	case <-k.current.ended:
		return k.current.end, nil
	default:
		k.current.ready = true
		return outcome{}, nil
	}
}

func (k *keeper) start(raw json.RawMessage) (*program, error) {
	p := &program{ended: make(chan struct{})}
	if err := json.Unmarshal(raw, &p.Command); err != nil {
		return nil, err
	}
	if len(p.Args) == 0 {
		return nil, errors.New("a command without a program")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, errors.New("it was stopped already")
	}
	if k.current != nil {
		select {
		case <-k.current.ended:
		default:
			return nil, errors.New("another command runs still")
		}
	}
	started := make(chan error, 1)
	go k.hold(p, started)
	if err := <-started; err != nil {
		return nil, err
	}
	k.current = p
	return p, nil
}

// hold forks the command and waits for it and all that it leaves behind, on one
// thread: the kernel signals the command when the thread that forked it ends.
func (k *keeper) hold(p *program, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = os.Stderr, os.Stderr, p.Dir
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if p.Abort != 0 {
		cmd.SysProcAttr.Pdeathsig = p.Abort
	}
	if o := k.spec.Owner; o != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: o.UID, Gid: o.GID}
	}
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	first := cmd.Process.Pid
	_ = cmd.Process.Release() // it is waited for below, with the others
	p.pid = first             // start holds mu
	started <- nil
	for {
		var status unix.WaitStatus
		// Looked at before it is reaped, so that nobody signals a number that
		// has passed to another process.
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil { // there are no children any more
			break
		}
		k.mu.Lock()
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == nil && pid == first {
			p.pid = 0
			p.end = outcome{Status: describe(status), Good: status.Exited() && status.ExitStatus() == 0}
		}
		k.mu.Unlock()
	}
	k.mu.Lock()
	unasked := p.ready && !p.stopping
	k.mu.Unlock()
	close(p.ended)
	if unasked {
		k.lost <- p.end.Status
	}
}

// describe tells how a process ended.
func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// endInOrder ends what runs, killing what takes longer than the program's grace or
// the time given.
func (k *keeper) endInOrder(within time.Duration) error {
	p := k.program()
	if p == nil {
		return nil
	}
	signal, grace := p.Signal, p.Grace
	if signal == 0 {
		signal = unix.SIGTERM
	}
	if grace <= 0 {
		grace = DefaultGrace
	}
	if within <= 0 {
		signal = 0
	}
	return k.end(p, signal, max(0, min(within, grace)))
}

// abort ends what runs at once, but for what it removes before.
func (k *keeper) abort(p *program) error {
	if p.Abort == 0 {
		return k.end(p, 0, 0)
	}
	grace := p.AbortGrace
	if grace <= 0 {
		grace = DefaultAbortGrace
	}
	return k.end(p, p.Abort, grace)
}

// end ends all processes of the program: by the signal, unless it is 0, if they do
// so within the time, else by SIGKILL.
func (k *keeper) end(p *program, signal syscall.Signal, within time.Duration) error {
	k.mu.Lock()
	p.stopping = true
	if signal != 0 && p.First && p.pid != 0 {
		_ = unix.Kill(p.pid, signal)
	}
	k.mu.Unlock()
	if signal != 0 && !p.First {
		signalDescendants(signal)
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(within):
	}
	for deadline := time.Now().Add(killLimit); time.Now().Before(deadline); {
		// Again, as one may have been forked since.
		signalDescendants(unix.SIGKILL)
		select {
		case <-p.ended:
			return nil
		case <-time.After(killPause):
		}
	}
	return fmt.Errorf("processes of the command did not end within %v of SIGKILL", killLimit)
}

// leave ends what runs, in order or at once, and removes the directory; the last
// that a keeper does.
func (k *keeper) leave(atOnce bool) error {
	k.leaving.Lock()
	defer k.leaving.Unlock()
	k.mu.Lock()
	k.closed = true
	p, dir := k.current, k.dir
	k.mu.Unlock()
	var err error
	switch {
	case p == nil:
	case !atOnce:
		err = k.endInOrder(time.Hour)
	default:
		err = k.abort(p)
	}
	if dir != "" {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// signalDescendants signals all descendants of this process.
func signalDescendants(signal unix.Signal) {
	tree, err := ptree.Processes(os.Getpid())
	if err != nil {
		return
	}
	for _, pid := range tree[1:] {
		_ = unix.Kill(pid, signal) // it may have ended meanwhile
	}
}
