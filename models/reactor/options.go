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
// One thing is left to the user: a loop that has nothing to do keeps its processor
// for some 10 ms before it lets go of it (Dwell), which is what makes a busy
// server cheap, and what makes other goroutines of the process wait. A program
// that does more than serve sets Options.Wait to Park.
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

	// DeferWrites puts replies off to the end of the batch of events.
	DeferWrites bool

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

// Waiting is a way to wait for events without keeping the processor, or another
// goroutine, from working for long.
type Waiting uint8

const (
	// Dwell waits in a system call that the scheduler is not told of, until the
	// scheduler interrupts it, which it does after some 10 ms, or for 20 ms, and
	// then parks. A server that has something to do every now and then never
	// leaves its processor, so a wake-up costs what it costs a C program.
	//
	// The price is paid by other goroutines of the process: where all processors
	// have a loop that dwells, they wait until it is interrupted. Workers do not,
	// as a loop that has work under way parks at once, nor does the collector,
	// which interrupts the call. A program that does more than serve is better
	// off with Park.
	Dwell Waiting = iota

	// Park looks once, then parks the goroutine until the runtime's own poller
	// tells that the loop's has events.
	Park

	// Block looks once, then blocks in a system call that the scheduler is told
	// of: it hands the processor to another thread when it notices, 20 µs later
	// or more.
	Block

	// BlockAtOnce is Block without a look before.
	BlockAtOnce
)

// String is the name of a way to wait.
func (w Waiting) String() string {
	return [...]string{"dwell", "park", "block", "block-at-once"}[w]
}

func (o Options) check() (Options, error) {
	if o.Steer && !o.Share {
		return o, errors.New("reactor: Options.Steer needs Options.Share (a connection is steered to one of several listeners)")
	}
	if o.Wait > BlockAtOnce {
		return o, fmt.Errorf("reactor: Options.Wait is %d (want Dwell, Park, Block or BlockAtOnce)", o.Wait)
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
		{"defer-writes", &o.DeferWrites},
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
	if o.Wait != Dwell {
		names = append(names, o.Wait.String())
	}
	if o.ReadBudget == 1 {
		names = append(names, oneRead)
	}
	return strings.Join(names, ",")
}
