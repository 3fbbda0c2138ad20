package pools

import (
	"context"
	"time"
)

// A Kind is one sort of pool before one real server.
type Kind interface {
	// Name is "http", "postgres" or "redis", with a variant behind a
	// hyphen, as in "postgres-pgx".
	Name() string

	// Open makes a pool of at most size connections, otherwise by the
	// kind's recommended settings, and opens none of them yet. It fails if
	// size is below 1 or above what the server permits.
	Open(ctx context.Context, size int) (Pool, error)
}

// A Pool is driven by any number of goroutines at once.
type Pool interface {
	// Do performs the kind's one operation, which takes a connection from
	// the pool and gives it back. Its error is the operation's: the pool
	// was not closed by it.
	Do(ctx context.Context) error

	// Warm opens connections until n are idle, n at most the pool's size. A
	// pool whose settings keep fewer idle refuses more of them; see WarmUp.
	Warm(ctx context.Context, n int) error

	// Stats is a snapshot; it waits for nothing.
	Stats() Stats

	// Close ends all connections. A second Close does nothing.
	Close() error
}

// Stats is what any pool can say of itself. Totals count from the pool's
// opening; a figure that a pool does not have is Absent.
type Stats struct {
	Max   int // connections that it may have open; 0: no limit
	Open  int // connections, idle or in use
	InUse int
	Idle  int

	Dials    int64         // connections ever opened
	Waits    int64         // operations that had to wait for a connection
	Waited   time.Duration // by all of them together
	Timeouts int64         // operations that gave up waiting
}

// Absent stands for a figure that a pool does not keep.
const Absent = -1
