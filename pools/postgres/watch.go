package postgres

import (
	"context"
	"fmt"
	"time"

	"netbench/pools"
)

// Limits say when a pool is in trouble, and how often it is looked at. What
// happened is counted by interval, never in total.
type Limits struct {
	Every time.Duration // between samples, at least 1 ms

	// Waits is how many callers may have had to wait within an interval.
	Waits int64

	// InUse is the share of MaxOpen that may be in use at a sample, 0 to 1. It is
	// one moment's, and so finds lasting trouble rather than short one.
	InUse float64

	// GaveUp is how many callers' contexts may have ended while they waited within
	// an interval.
	GaveUp int64

	// Turnover is how many connections one rule (idle limit, idle time, lifetime)
	// may close within an interval, as a multiple of MaxOpen, or of Recommended's
	// where that has no limit.
	Turnover float64
}

// DefaultLimits are: every 30 s, 100 waits, 0.8 in use, nobody who gives up, and
// each connection closed twice by one rule.
func DefaultLimits() Limits {
	return Limits{Every: 30 * time.Second, Waits: 100, InUse: 0.8, Turnover: 2}
}

func (l Limits) validate() error {
	switch {
	case l.Waits < 0:
		return fmt.Errorf("limit Waits is %d (want 0 or more)", l.Waits)
	case !(l.InUse >= 0 && l.InUse <= 1):
		return fmt.Errorf("limit InUse is %v (want a share of the maximum, 0 to 1)", l.InUse)
	case l.GaveUp < 0:
		return fmt.Errorf("limit GaveUp is %d (want 0 or more)", l.GaveUp)
	case !(l.Turnover >= 0):
		return fmt.Errorf("limit Turnover is %v (want a multiple of MaxOpen, 0 or more)", l.Turnover)
	}
	return nil
}

// Watch samples the pool until ctx ends or the monitor is stopped, and tells
// alert of each limit that was passed within an interval.
func (db *DB) Watch(ctx context.Context, l Limits, alert func(pools.Alert)) (*pools.Monitor[Sample], error) {
	return watch(ctx, l, judge{l, db.settings, db.server.permits}, db.Sample, alert)
}

// Watch is DB's.
func (p *Pgx) Watch(ctx context.Context, l Limits, alert func(pools.Alert)) (*pools.Monitor[Sample], error) {
	return watch(ctx, l, judge{l, p.settings, p.server.permits}, p.Sample, alert)
}

func watch(ctx context.Context, l Limits, j judge, read func() Sample, alert func(pools.Alert)) (*pools.Monitor[Sample], error) {
	if err := l.validate(); err != nil {
		return nil, fmt.Errorf("watch a postgres pool: %w", err)
	}
	return pools.Watch(ctx, pools.Watching[Sample]{Every: l.Every, Read: read, Judge: j.compare, Alert: alert})
}
