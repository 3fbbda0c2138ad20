package postgres

import (
	"database/sql"
	"fmt"
	"time"

	"netbench/pools"
)

// A Sample is what a pool says of itself at one moment: all of database/sql's
// statistics, and what those lack. Of pgxpool's, those that mean the same are in
// the same places, and MaxIdleClosed is pools.Absent, as it has no such rule.
// Counters count from the pool's opening.
type Sample struct {
	sql.DBStats

	Dials  int64 // connections that were opened
	GaveUp int64 // callers whose context ended before they had a connection

	// Acquired and AcquireTime are pgxpool's own count of connections given to
	// callers and the time that took altogether; pools.Absent for database/sql.
	Acquired    int64
	AcquireTime time.Duration
}

// String shows all of it in one line.
func (s Sample) String() string {
	limit := "no limit"
	if s.MaxOpenConnections > 0 {
		limit = fmt.Sprint(s.MaxOpenConnections)
	}
	text := fmt.Sprintf("open %d of %s (in use %d, idle %d), waits %d of %v altogether, gave up %d, opened %d, closed for idle limit %s, idle time %d, lifetime %d",
		s.OpenConnections, limit, s.InUse, s.Idle, s.WaitCount, s.WaitDuration.Round(time.Millisecond), s.GaveUp, s.Dials,
		orAbsent(s.MaxIdleClosed), s.MaxIdleTimeClosed, s.MaxLifetimeClosed)
	if s.Acquired != pools.Absent {
		text += fmt.Sprintf(", acquired %d in %v altogether", s.Acquired, s.AcquireTime.Round(time.Millisecond))
	}
	return text
}

func orAbsent(n int64) string {
	if n == pools.Absent {
		return "absent"
	}
	return fmt.Sprint(n)
}

// stats is the part of it that all kinds of pools have.
func (s Sample) stats() pools.Stats {
	return pools.Stats{
		Max: s.MaxOpenConnections, Open: s.OpenConnections, InUse: s.InUse, Idle: s.Idle,
		Dials: s.Dials, Waits: s.WaitCount, Waited: s.WaitDuration, Timeouts: s.GaveUp,
	}
}
