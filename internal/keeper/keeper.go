// Package keeper holds programs that know nothing of netbench: a server of any
// make under test, a database that a benchmark needs.
//
// Such a program does not end when we do, and may leave processes behind that
// nobody finds any more. So it is held in a process of our own, the keeper, which
// is a role of internal/proc. The keeper starts the program as a user of the
// caller's choice, adopts whatever the program's processes leave behind, so that
// the whole tree can be measured and ended, and owns a temporary directory for it.
// When the keeper's parent goes away, even by SIGKILL, the keeper ends all
// processes of the program and removes the directory, then itself.
//
//	k, err := keeper.Start(ctx, keeper.Spec{Dir: "netbench-redis-"})
//	err = k.Launch(ctx, keeper.Command{Args: []string{"/usr/bin/redis-server"}}, answers)
//	...
//	err = k.End(ctx)  // it can be launched again, in the same directory
//	err = k.Stop(ctx) // nothing is left
//
// One program runs at a time. A program that ends of itself after it was ready
// ends the keeper, with an error.
package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"netbench/internal/proc"
)

// roleKeeper is the role of a keeper's process.
const roleKeeper = "keeper"

// Operations of a keeper's process. The last has the name and the argument of a
// server's, so that what stops servers stops programs.
const (
	opDir      = "directory" // makes the directory, answers its path
	opRun      = "run"       // a command, to its end
	opLaunch   = "launch"    // a command, until it has been started
	opAwaitEnd = "await end" // answers when what was launched has ended
	opConfirm  = "confirm"   // what was launched is ready
	opEnd      = "shutdown"  // ends what was launched
)

// DefaultGrace is how long a program's processes may take to end when they are
// asked to, before they are killed.
const DefaultGrace = 3 * time.Second

// DefaultAbortGrace is how long they may take after a command's Abort signal.
const DefaultAbortGrace = time.Second

// probePause is the time between two looks whether a program is ready.
const probePause = 5 * time.Millisecond

// Role is what a keeper's process is, for [proc.Main].
var Role = proc.Role{Name: roleKeeper, Run: func(ctx context.Context, ch *proc.Channel, raw json.RawMessage) error {
	var spec Spec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return fmt.Errorf("keeper: %w", err)
	}
	return keep(ctx, ch, spec)
}}

// User is a user of the host.
type User struct {
	Name     string
	UID, GID uint32
}

// Spec says what all commands of a keeper have in common.
type Spec struct {
	// Dir is how the name of a temporary directory begins that is made for the
	// commands, readable for its owner alone, and removed at the end; "" for none.
	Dir string

	// Owner runs the commands and owns the directory; nil for this user. To choose
	// another needs root.
	Owner *User

	// CPUs is the set that all processes run on; empty does not pin them.
	CPUs []int `json:"-"`

	// Env are further variables of the commands, "NAME=value".
	Env []string `json:"-"`

	// Log gets a copy of what the commands write to standard error and output;
	// nil for none.
	Log io.Writer `json:"-"`
}

// Command is a program to start.
type Command struct {
	Args []string // the path of the program first
	Dir  string   // working directory, "" for the keeper's
	Env  []string // further variables, "NAME=value", of this command alone

	// Signal asks the program to end in order; 0 is SIGTERM.
	Signal syscall.Signal

	// First is whether only the first of its processes gets Signal and Abort;
	// all do otherwise.
	First bool

	// Grace is the time to end in order; 0 means DefaultGrace.
	Grace time.Duration

	// Abort is for when the keeper's parent is gone, or gives up a command that it
	// runs: a signal that ends a program at once, yet lets it remove what the kernel
	// would keep. What has not ended within AbortGrace is killed. 0 kills. If the
	// keeper itself is gone, the first process alone gets it.
	Abort syscall.Signal

	// AbortGrace is the time to end after Abort; 0 means DefaultAbortGrace.
	AbortGrace time.Duration
}

// EndedError says that a program ended before it was ready, or a command with
// another status than 0.
type EndedError struct {
	Status string // how its first process ended
}

func (e *EndedError) Error() string { return "it ended: " + e.Status }

// Keeper is a process that keeps a program. Its methods may be called from several
// goroutines.
type Keeper struct {
	child *proc.Child
	dir   string

	mu sync.Mutex // one change of what runs at a time
}

// Start starts a keeper. Its program, this one, has to have passed [Role] to
// [proc.Main], as testenv.Main does. Needs Linux.
func Start(ctx context.Context, spec Spec) (*Keeper, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	child, err := proc.Start(ctx, proc.Options{
		Role: roleKeeper, Spec: spec, CPUs: spec.CPUs, Env: spec.Env, Log: spec.Log,
		Untied: true, // it ends the command's processes first
	})
	if err != nil {
		return nil, err
	}
	k := &Keeper{child: child}
	if spec.Dir == "" {
		return k, nil
	}
	// Not before it is ready: who gives up until then kills it, and nobody would
	// remove the directory.
	if err := k.call(ctx, opDir, nil, &k.dir); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), DefaultGrace)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("make a directory: %w", err), k.Stop(stop))
	}
	return k, nil
}

// Child is the keeper's process, the root of the program's process tree.
func (k *Keeper) Child() *proc.Child { return k.child }

// Dir is the directory made for the commands, "" if there is none.
func (k *Keeper) Dir() string { return k.dir }

// Run starts a command and waits until it and all that it left behind have ended.
// The error is an [*EndedError] if its status is not 0. If ctx ends first, all of
// it is aborted.
func (k *Keeper) Run(ctx context.Context, c Command) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var end outcome
	if err := k.call(ctx, opRun, c, &end); err != nil {
		return err
	}
	return end.err()
}

// Launch starts a program and returns when ready returns nil, which is called
// again and again until then, with a context that ends also when the program does.
// The error is an [*EndedError] if the program ended first; if ctx ended first it
// wraps ctx's and what ready said last. It is up to the caller then to Stop.
func (k *Keeper) Launch(ctx context.Context, c Command, ready func(context.Context) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.call(ctx, opLaunch, c, nil); err != nil {
		return err
	}
	probing, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		var end outcome
		err := k.call(probing, opAwaitEnd, nil, &end)
		if err == nil {
			err = &EndedError{Status: end.Status}
		}
		ended <- err
		cancel()
	})
	var unready error // what ready said before it was interrupted, if it was
	for {
		err := ready(probing)
		if err == nil {
			break
		}
		var late net.Error // a connection's deadline is that of the context
		if unready == nil || probing.Err() == nil && !(errors.As(err, &late) && late.Timeout()) {
			unready = err
		}
		select {
		case err := <-ended:
			if ctx.Err() == nil {
				return err
			}
			return &notReady{cause: ctx.Err(), last: unready}
		case <-ctx.Done():
			return &notReady{cause: ctx.Err(), last: unready}
		case <-time.After(probePause):
		}
	}
	var end outcome
	if err := k.call(ctx, opConfirm, nil, &end); err != nil {
		return err
	}
	if end.Status != "" {
		return &EndedError{Status: end.Status}
	}
	return nil
}

// notReady is the error of a Launch that ran out of time.
type notReady struct{ cause, last error }

func (e *notReady) Error() string   { return fmt.Sprintf("%v (last: %v)", e.cause, e.last) }
func (e *notReady) Unwrap() []error { return []error{e.cause, e.last} }

// End ends what was launched, in order if it does so in time, and leaves the
// directory as it is. It does nothing if nothing runs.
func (k *Keeper) End(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.call(ctx, opEnd, left(ctx), nil)
}

// Stop ends what was launched, in order if it does so in time, removes the
// directory and ends the keeper. To stop one that has ended returns why it ended,
// nil if it was stopped.
func (k *Keeper) Stop(ctx context.Context) error {
	var failed error
	select {
	case <-k.child.Done():
	default:
		var refused *proc.CallError
		if err := k.child.Call(ctx, opEnd, left(ctx), nil); errors.As(err, &refused) {
			failed = errors.New(refused.Message)
		}
	}
	err := errors.Join(failed, k.child.Stop(ctx))
	if k.dir != "" { // a keeper that was killed could not do it
		err = errors.Join(err, os.RemoveAll(k.dir))
	}
	return err
}

// left is what a program has of the time until ctx ends: four fifths of it.
func left(ctx context.Context) time.Duration {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return time.Hour // more than any grace
	}
	return max(0, time.Until(deadline)*4/5)
}

// call runs an operation of the keeper; its error does not tell of roles.
func (k *Keeper) call(ctx context.Context, op string, arg, result any) error {
	err := k.child.Call(ctx, op, arg, result)
	var failed *proc.CallError
	switch {
	case ctx.Err() != nil && err != nil:
		return ctx.Err()
	case errors.As(err, &failed):
		return errors.New(failed.Message)
	}
	return err
}

// outcome is how a program ended.
type outcome struct {
	Status string // "" if it has not
	Good   bool   // with status 0
}

func (o outcome) err() error {
	if o.Good {
		return nil
	}
	return &EndedError{Status: o.Status}
}
