// Package cases has small servers and parts of servers that leak, each beside its
// cure. They are the leaks that services in Go are known for, and each differs from its
// cure by what a reviewer has to see: one line.
//
// Each case says what a detector has to find. A component is put under load by [Drive].
// Components that leak do so for the life of the process, also after Close, unless they
// say otherwise: run them in a process of their own.
package cases

import (
	"context"
	"fmt"
	"time"

	"netbench/gcprofile/leak"
)

// Component is something under load.
type Component interface {
	// Do is one request. It may be called by one goroutine at a time.
	Do(ctx context.Context) error

	// Close ends what the component has running, as far as it still knows of it.
	Close() error
}

// Size is how large the parts of a case are. Zero values are those of the case's
// description.
type Size struct {
	Payload int           // bytes that a summary is made of, 1 MiB if 0
	Idle    time.Duration // after which a silent connection is closed, 200 ms if 0
}

func (s Size) filled() Size {
	if s.Payload == 0 {
		s.Payload = 1 << 20
	}
	if s.Idle == 0 {
		s.Idle = 200 * time.Millisecond
	}
	return s
}

// Case is a leak and its cure.
type Case struct {
	Name string
	Leak string // what goes wrong
	Cure string

	// Kind and Where are what a detector has to report: Where is a part of the
	// finding's.
	Kind  leak.Kind
	Where string

	build func(size Size, cured bool) (Component, error)
}

// Leaking makes the version that leaks.
func (c Case) Leaking(s Size) (Component, error) { return c.build(s.filled(), false) }

// Cured makes the version that does not.
func (c Case) Cured(s Size) (Component, error) { return c.build(s.filled(), true) }

// All is all cases.
func All() []Case {
	return []Case{
		{"workers", "workers are registered and never removed", "remove the worker when its client is gone",
			leak.Goroutine, "cases.(*workers).add", newWorkers},
		{"substring", "a short substring keeps the whole payload", "strings.Clone",
			leak.Heap, "cases.(*texts).Do", newTexts},
		{"subslice", "a short subslice keeps the whole payload", "bytes.Clone",
			leak.Heap, "cases.(*frames).Do", newFrames},
		{"late-send", "a goroutine sends its result when nobody waits for it any more", "a channel with room for the result",
			leak.Goroutine, "cases.(*lateSend).Do", newLateSend},
		{"ticker", "a goroutine ranges over a ticker, which Stop does not end", "a channel that is closed at the end",
			leak.Goroutine, "cases.(*heartbeats).open", newHeartbeats},
		{"timer", "a time-out of an hour holds its request after the answer", "stop the timer",
			leak.Heap, "cases.(*deadlines).Do", newDeadlines},
		{"body", "response bodies are neither read to the end nor closed", "drain and close",
			leak.Descriptor, "tcp to 127.0.0.1:", newFetcher},
		{"context", "contexts of a request are not cancelled, so their parent keeps them", "cancel when the request is done",
			leak.Heap, "cases.(*fanOut).call", newFanOut},
		{"cache", "a cache has no bound", "a bound, and the oldest entry leaves",
			leak.Heap, "cases.(*cache).Do", newCache},
		{"append", "a log in memory is appended to for ever", "a ring of the last entries",
			leak.Heap, "cases.(*auditLog).Do", newAuditLog},
		{"defer", "files are closed by defer in a loop that does not end", "a function per file",
			leak.Descriptor, "part-#.dat", newArchiver},
		{"silence", "a server waits for ever for clients that went silent", "a read deadline per exchange",
			leak.Goroutine, "cases.(*lineServer).accept", newLineServer},
	}
}

// Named is the case of a name.
func Named(name string) (Case, error) {
	for _, c := range All() {
		if c.Name == name {
			return c, nil
		}
	}
	return Case{}, fmt.Errorf("case %q is not known (see cases.All)", name)
}

// Load is how a component is driven.
type Load struct {
	Rate float64 // requests per second, above 0
	Most int     // requests in all; 0: no bound
}

// behind is how late a request may be before the schedule is given up and begun anew,
// so that a process that was held up does not make up for it by a burst.
const behind = 100 * time.Millisecond

// Drive makes requests at times fixed beforehand until ctx ends or all are made, and
// returns how many.
func Drive(ctx context.Context, c Component, l Load) (done int, err error) {
	if !(l.Rate > 0) || l.Most < 0 {
		return 0, fmt.Errorf("load: rate %v/s, at most %d requests (use a rate above 0, and 0 or more requests)", l.Rate, l.Most)
	}
	period := time.Duration(float64(time.Second) / l.Rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now()
	for l.Most == 0 || done < l.Most {
		select {
		case <-ctx.Done():
			return done, nil
		case <-timer.C:
		}
		if err := c.Do(ctx); err != nil {
			if ctx.Err() != nil {
				return done, nil
			}
			return done, fmt.Errorf("request %d: %w", done+1, err)
		}
		done++
		due = due.Add(period)
		if late := time.Since(due); late > behind {
			due = time.Now()
		}
		timer.Reset(time.Until(due))
	}
	return done, nil
}
