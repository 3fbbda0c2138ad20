package redis

import (
	"fmt"
	"math"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"netbench/pools"
)

// Stats are the figures of both pools of a client. Totals count from the
// opening.
type Stats struct {
	Main     PoolStats
	Pipeline PoolStats // of Size 0 if there is none
	Dials    int64     // connections ever opened, for both
}

// PoolStats are the figures of one pool, as the package's comment explains them.
type PoolStats struct {
	Size    int // the most connections
	Total   int // connections open
	Idle    int // of them
	InUse   int // of them
	Pending int // callers that are about to get a connection or wait for one

	Hits     uint32        // requests that found an idle connection
	Misses   uint32        // requests that opened one
	Timeouts uint32        // requests that waited in vain
	Waits    uint32        // requests that waited and got one
	Waited   time.Duration // by these together
	Stale    uint32        // connections taken out of the pool
	Unusable uint32        // connections found not usable
}

// poolStats are those of the driver. It reads its figures one after the other, so
// they may be of slightly different times.
func poolStats(size int, d *goredis.PoolStats) PoolStats {
	total, idle := int(d.TotalConns), int(d.IdleConns)
	return PoolStats{
		Size: size, Total: total, Idle: idle, InUse: max(0, total-idle), Pending: int(d.PendingRequests),
		Hits: d.Hits, Misses: d.Misses, Timeouts: d.Timeouts,
		Waits: d.WaitCount, Waited: time.Duration(d.WaitDurationNs),
		Stale: d.StaleConns, Unusable: d.Unusable,
	}
}

// Since is what happened since an earlier sample: the totals are differences, the
// numbers of connections those of now.
func (s PoolStats) Since(before PoolStats) PoolStats {
	s.Hits -= before.Hits // modulo 2^32, as the counters are
	s.Misses -= before.Misses
	s.Timeouts -= before.Timeouts
	s.Waits -= before.Waits
	s.Waited -= before.Waited
	s.Stale -= before.Stale
	s.Unusable -= before.Unusable
	return s
}

// Requests is how many times a connection was asked for and had.
func (s PoolStats) Requests() uint64 { return uint64(s.Hits) + uint64(s.Misses) }

// HitShare is the share of requests that found an idle connection, 0 to 1, or NaN
// without any.
func (s PoolStats) HitShare() float64 {
	if s.Requests() == 0 {
		return math.NaN()
	}
	return float64(s.Hits) / float64(s.Requests())
}

// MeanWait is the mean of the waits that succeeded, 0 without any.
func (s PoolStats) MeanWait() time.Duration {
	if s.Waits == 0 {
		return 0
	}
	return s.Waited / time.Duration(s.Waits)
}

// String is one line with every figure.
func (s PoolStats) String() string {
	return fmt.Sprintf("size %d, open %d, idle %d, in use %d, pending %d; hits %d, misses %d, waits %d of %v, time-outs %d, stale %d, unusable %d",
		s.Size, s.Total, s.Idle, s.InUse, s.Pending, s.Hits, s.Misses, s.Waits, s.Waited.Round(time.Microsecond), s.Timeouts, s.Stale, s.Unusable)
}

// String is one line for each pool.
func (s Stats) String() string {
	text := "main pool: " + s.Main.String()
	if s.Pipeline.Size > 0 {
		text += "\npipeline pool: " + s.Pipeline.String()
	}
	return fmt.Sprintf("%s\ndials: %d", text, s.Dials)
}

// Common are the figures that every kind of pool has. Connections are those of
// both pools together, as the server sees them.
func (s Stats) Common() pools.Stats {
	return pools.Stats{
		Max: s.Main.Size + s.Pipeline.Size, Open: s.Main.Total + s.Pipeline.Total,
		InUse: s.Main.InUse + s.Pipeline.InUse, Idle: s.Main.Idle + s.Pipeline.Idle,
		Dials:    s.Dials,
		Waits:    int64(s.Main.Waits) + int64(s.Pipeline.Waits),
		Waited:   s.Main.Waited + s.Pipeline.Waited,
		Timeouts: int64(s.Main.Timeouts) + int64(s.Pipeline.Timeouts),
	}
}
