// Package reactor is the model of few threads and many connections: a loop owns
// its connections and does everything for them, accept, read, handle, write, and
// never blocks on one of them. It waits for all at once, with epoll on Linux and
// kqueue on macOS and the BSDs (which is built and vetted for those systems, but
// not run in tests).
//
// What a connection costs is a small struct and a place in a table. It has no
// goroutine, no stack and no buffer: the loop reads into a buffer of its own,
// lets the session step over it, and writes the reply at once. Only what is left
// over is kept, in a buffer borrowed from a pool: a message that is not whole, a
// reply that the socket does not take.
//
// What users of event loops are bitten by, and what is done about it here:
//
//   - A busy connection starves the rest: after ReadBudget reads it is the
//     others' turn, and it is looked at again in the next batch.
//   - A peer that does not read makes memory grow: beyond MaxPending bytes owed
//     its requests are not read any more.
//   - A descriptor is closed and its number reused while events about the old
//     connection are still in hand: descriptors are closed when the batch of
//     events is over, so none can be reused within it.
//   - A handler that blocks stops everybody: a session that asks to (models.Block)
//     is handed to a worker, of which there are at most Options.Workers.
//   - A timer for each connection is expensive: idle connections are found by one
//     timing wheel for each loop, and traffic costs it only a store.
//   - A shutdown cuts connections: each loop drains its own.
//
// The techniques that make it fast can each be switched off by [Options], to
// measure what they are worth; docs/reactor.md tells what was measured.
package reactor

import (
	"errors"
	"fmt"
	"strings"
)

// Name is the model's name in a map of factories.
const Name = "reactor"

// Options are variants of the model, for experiments and for the reuseport
// model. The zero value is the model as it is meant to be used.
type Options struct {
	// Share gives each loop a listener of its own on the same address
	// (SO_REUSEPORT), over which the kernel spreads connections. Otherwise all
	// loops accept from one listener.
	Share bool

	// Steer makes the kernel prefer, for a connection, the listener of the loop
	// whose number is that of the CPU, in the process's set, which handles its
	// packets. Needs Share and Linux.
	Steer bool

	// Workers is the most goroutines at once for sessions that block; default
	// 1024. More connections than that which block wait for a worker.
	Workers int

	// ReadBudget is the number of reads after which a connection that has more
	// input lets the others have their turn; default 16.
	ReadBudget int

	// LevelTriggered asks the poller to tell of a condition as long as it holds,
	// not only when it begins. The kernel then looks at each connection again in
	// the next poll, and the loop has to tell the poller when it stops and
	// starts to be interested.
	LevelTriggered bool

	// OwnBuffers gives each connection a read buffer, instead of one for the
	// loop.
	OwnBuffers bool

	// Wait is how a loop waits for events.
	Wait Waiting

	// HandOff tells the scheduler of each system call, so that it can hand the
	// processor to another thread. The calls that are made for each request do
	// not block, so that is not needed.
	HandOff bool

	// LockThread binds each loop to a thread of its own.
	LockThread bool
}

// Waiting is a way to wait for events.
type Waiting uint8

const (
	// Block waits in a system call that the scheduler is told of: if it lasts,
	// and others have something to do, the scheduler hands the processor on. A
	// wake-up costs what it costs a C program.
	//
	// Where a process has no other processor, others wait until the scheduler
	// notices, which takes 20 µs to 10 ms. Workers of the server do not wait: a
	// loop that has work under way parks.
	Block Waiting = iota

	// Park looks once, then parks the goroutine until the runtime's own poller
	// tells that the loop's has events, as other goroutines wait for sockets.
	// Nobody waits for the processor, and each wake-up takes two calls more.
	Park
)

// String is the name of a way to wait.
func (w Waiting) String() string {
	return [...]string{"block", "park"}[w]
}

func (o Options) check() (Options, error) {
	if o.Steer && !o.Share {
		return o, errors.New("reactor: Options.Steer needs Options.Share (a connection is steered to one of several listeners)")
	}
	if o.Wait > Park {
		return o, fmt.Errorf("reactor: Options.Wait is %d (want Block or Park)", o.Wait)
	}
	for _, f := range []struct {
		name string
		v    *int
		zero int
	}{{"Workers", &o.Workers, 1024}, {"ReadBudget", &o.ReadBudget, 16}} {
		if *f.v == 0 {
			*f.v = f.zero
		}
		if *f.v < 1 {
			return o, fmt.Errorf("reactor: Options.%s is %d (want at least 1, or 0 for %d)", f.name, *f.v, f.zero)
		}
	}
	return o, nil
}

// switches are the techniques by the names that they have as variants.
func (o *Options) switches() []struct {
	name string
	on   *bool
} {
	return []struct {
		name string
		on   *bool
	}{
		{"steer", &o.Steer},
		{"level", &o.LevelTriggered},
		{"own-buffers", &o.OwnBuffers},
		{"hand-off", &o.HandOff},
		{"lock-thread", &o.LockThread},
	}
}

// oneRead names the variant with a read budget of 1.
const oneRead = "one-read"

// variant names what is not as usual.
func (o Options) variant() string {
	var names []string
	for _, s := range o.switches() {
		if *s.on {
			names = append(names, s.name)
		}
	}
	if o.Wait != Block {
		names = append(names, o.Wait.String())
	}
	if o.ReadBudget == 1 {
		names = append(names, oneRead)
	}
	return strings.Join(names, ",")
}
