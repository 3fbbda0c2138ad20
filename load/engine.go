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

func newEngine(p *Plan, conns int) (engine, error) {
	if p.Engine == Epoll {
		return newEpollEngine(p, conns)
	}
	return newPortableEngine(p, conns)
}
