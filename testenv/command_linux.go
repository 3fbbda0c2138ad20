package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"netbench/internal/proc"
	"netbench/internal/ptree"
)

const (
	// termGrace is how long a command's processes may take to end after SIGTERM.
	termGrace = 3 * time.Second

	// killLimit bounds the wait for processes that were killed.
	killLimit = 5 * time.Second

	// listenPause is the time between two looks whether it listens.
	listenPause = 5 * time.Millisecond
)

// keepCommand is the life of the process that keeps a command. It begins before
// the command, so that a caller who gives up while the command starts can have
// this process end it in order.
func keepCommand(ctx context.Context, ch *proc.Channel, info commandInfo) error {
	// What outlives its parent becomes a child of this process, and so stays in
	// the tree.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	k := &keeper{commandInfo: info, ended: make(chan struct{})}
	ch.Handle(opListen, func(ctx context.Context, _ json.RawMessage) (any, error) {
		if err := k.start(); err != nil {
			return nil, err
		}
		return nil, k.awaitListening(ctx)
	})
	ch.Handle(opRuntime, func(context.Context, json.RawMessage) (any, error) { return Runtime{}, nil })
	ch.Handle(opShutdown, func(_ context.Context, arg json.RawMessage) (any, error) {
		var within time.Duration
		if err := json.Unmarshal(arg, &within); err != nil {
			return nil, err
		}
		return nil, k.stop(within)
	})
	ch.Orphaned(func() { _ = k.stop(0) })
	if err := ch.Ready(nil); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-k.ended:
		if k.unasked() {
			return fmt.Errorf("the command ended: %s", k.status)
		}
		<-ctx.Done()
	}
	return k.stop(termGrace)
}

// keeper keeps one command.
type keeper struct {
	commandInfo

	ended  chan struct{} // closed when nothing of it is left
	status string        // how its first process ended, before ended is closed

	mu       sync.Mutex
	started  bool
	listens  bool
	stopping bool
}

// unasked tells whether a command that listened has ended of itself.
func (k *keeper) unasked() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.listens && !k.stopping
}

func (k *keeper) start() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.started || k.stopping {
		return errors.New("it was started or stopped already")
	}
	started := make(chan error, 1)
	go k.keep(started)
	err := <-started
	k.started = err == nil
	return err
}

// keep forks the command and waits for it and all that it leaves behind, on one
// thread: the kernel kills the command with the thread that forked it.
func (k *keeper) keep(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/bin/sh", "-c", k.Line)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	started <- err
	if err != nil {
		return
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil: // there are no children any more
			close(k.ended)
			return
		case pid == cmd.Process.Pid:
			k.status = describe(status)
		}
	}
}

// describe tells how a process ended.
func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// awaitListening returns when the command accepts a connection.
func (k *keeper) awaitListening(ctx context.Context) error {
	var dialer net.Dialer
	for {
		c, err := dialer.DialContext(ctx, "tcp", k.Addr)
		if err == nil {
			k.mu.Lock()
			k.listens = true
			k.mu.Unlock()
			return c.Close()
		}
		select {
		case <-k.ended:
			return fmt.Errorf("it ended before it listened on %s: %s", k.Addr, k.status)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(listenPause):
		}
	}
}

// stop ends all processes of the command: in order if they do so within the time
// and termGrace, which without any time they are not asked to.
func (k *keeper) stop(within time.Duration) error {
	k.mu.Lock()
	k.stopping = true
	started := k.started
	k.mu.Unlock()
	if !started {
		return nil
	}
	if within > 0 {
		signalDescendants(unix.SIGTERM)
	}
	select {
	case <-k.ended:
		return nil
	case <-time.After(max(0, min(within, termGrace))):
	}
	for deadline := time.Now().Add(killLimit); time.Now().Before(deadline); {
		// Again, as one may have been forked since.
		signalDescendants(unix.SIGKILL)
		select {
		case <-k.ended:
			return nil
		case <-time.After(listenPause):
		}
	}
	return fmt.Errorf("processes of the command did not end within %v of SIGKILL", killLimit)
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

// freeAddr is a loopback address whose port nobody listens on. It is none of those
// that the kernel gives to outgoing connections, so that none takes it before the
// server does.
func freeAddr() (string, error) {
	const least, tries = 10_000, 200
	below := 32_768
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 0 {
			if n, err := strconv.Atoi(fields[0]); err == nil {
				below = n
			}
		}
	}
	for try := range tries {
		port := 0 // whichever, if there are none outside the range
		if below > least+1000 && try < tries/2 {
			port = least + rand.IntN(below-least)
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		addr := l.Addr().String()
		return addr, l.Close()
	}
	return "", errors.New("no port of 127.0.0.1 is free")
}
