package load

import (
	"context"
	"time"
)

// engine drives one process's share of the connections to its targets. Its
// methods are called by one goroutine.
type engine interface {
	// dial opens all connections, but in connect mode none.
	dial(ctx context.Context) error

	// run drives the open connections for one segment, and drains. When ctx ends
	// it returns early with what was measured, and no error.
	run(ctx context.Context, s segment) tally

	// progress may be called from another goroutine.
	progress() (phase string, conns int, requests int64)

	// close closes all connections and frees all else.
	close()
}

// segment is one uninterrupted piece of driving.
type segment struct {
	mode     Mode
	duration time.Duration
	requests int64   // stop after so many, 0 for no limit
	rate     float64 // open mode: of the whole run, over all shards
	seed     uint64
}

// connState is what a connection of an engine is about to do.
type connState uint8

const (
	connClosed  connState = iota // not dialled yet, or between two cycles
	connDialing                  // connect is under way
	connOpen
	connLost // ended unasked; not used again
)

// slot is a request that is under way.
type slot struct {
	due, sent int64
}

const (
	// dialsAtOnce keeps a burst of dials below the smallest usual backlog.
	dialsAtOnce = 100

	// scanEvery is how often time-outs are looked for, ns.
	scanEvery = int64(100 * time.Millisecond)

	// interruptGrace is how long replies are waited for once the user
	// interrupts.
	interruptGrace = 200 * time.Millisecond
)

func newEngine(p *Plan, conns int) (engine, error) {
	if p.Engine == Epoll {
		return newEpollEngine(p, conns)
	}
	return newPortableEngine(p, conns)
}

// shares splits n into k parts that differ by 1 at most.
func shares(n int64, k int) []int64 {
	s := make([]int64, k)
	for i := range s {
		s[i] = n / int64(k)
		if int64(i) < n%int64(k) {
			s[i]++
		}
	}
	return s
}
