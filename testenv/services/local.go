package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"netbench/internal/keeper"
	"netbench/internal/ptree"
)

// local is the body of a service that runs by a local binary, held by a keeper.
type local struct {
	keeper   *keeper.Keeper
	command  keeper.Command
	ready    func(context.Context) error
	save     func(context.Context) error // before a restart, to keep the data; may be nil
	timeout  time.Duration
	password secret

	mu  sync.Mutex
	cpu time.Duration // the most that CPU has returned
}

// launch starts the service's program and waits until it is ready.
func (l *local) launch(ctx context.Context) error {
	return l.within(ctx, func(ctx context.Context) error { return l.keeper.Launch(ctx, l.command, l.ready) })
}

// within bounds an operation by the start's time-out, and makes its error tell
// what the program wrote last.
func (l *local) within(ctx context.Context, do func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	err := do(bounded)
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("%s was not ready within %v: %w", filepath.Base(l.command.Args[0]), l.timeout, err)
	}
	return err
}

// discard stops what did not start, and adds what it wrote last to the error.
func (l *local) discard(ctx context.Context, err error) error {
	// In order, so that nothing is left; what it wrote last is known afterwards.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if e := l.keeper.Stop(stop); e != nil {
		err = fmt.Errorf("%w; when it was stopped: %w", err, e)
	}
	return hide(l.said(err), l.password())
}

// said adds the last line that the program wrote.
func (l *local) said(err error) error {
	if said := l.keeper.Child().Said(); said != "" {
		return fmt.Errorf("%w; it wrote: %s", err, said)
	}
	return err
}

func (l *local) Stop(ctx context.Context) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, stopTimeout)
		defer cancel()
	}
	return hide(l.keeper.Stop(ctx), l.password())
}

func (l *local) Restart(ctx context.Context) error {
	fail := func(err error) error { return hide(fmt.Errorf("restart: %w", err), l.password()) }
	if l.save != nil {
		if err := l.save(ctx); err != nil {
			return fail(fmt.Errorf("save the data: %w", err))
		}
	}
	if err := l.keeper.End(ctx); err != nil {
		return fail(err)
	}
	if err := l.launch(ctx); err != nil {
		return fail(l.said(err))
	}
	return nil
}

func (l *local) CPU() (time.Duration, error) {
	select {
	case <-l.keeper.Child().Done(): // its number could have passed to another process
		return 0, errors.New("CPU time: the service was stopped")
	default:
	}
	used, err := ptree.CPUTime(l.keeper.Child().PID())
	if err != nil {
		return 0, fmt.Errorf("CPU time: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cpu = max(l.cpu, used) // that of ended processes is known in units of 10 ms only
	return l.cpu, nil
}

// write makes a file in the service's directory that its owner alone may read.
func (l *local) write(name, content string, owner *keeper.User) (string, error) {
	path := filepath.Join(l.keeper.Dir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", err
	}
	if owner == nil {
		return path, nil
	}
	return path, os.Chown(path, int(owner.UID), int(owner.GID))
}

// unprivileged is the first of the users that the host has, nil if this process is
// not root's: PostgreSQL refuses to run as root, and nothing else needs it.
func unprivileged(names ...string) (*keeper.User, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &keeper.User{Name: name, UID: uint32(uid), GID: uint32(gid)}, nil
	}
	return nil, absence(fmt.Sprintf("this process is root's, and the host has no unprivileged user to start it as (looked for %s)", strings.Join(names, ", ")))
}

// as tells who runs it.
func as(owner *keeper.User) string {
	if owner == nil {
		return ""
	}
	return " as user " + owner.Name
}

// executable tells whether a file can be run.
func executable(path string) bool {
	_, err := exec.LookPath(path)
	return err == nil
}
