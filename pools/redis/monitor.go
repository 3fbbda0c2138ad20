package redis

import (
	"context"
	"fmt"
	"time"

	"netbench/pools"
)

// Limits are what a monitor permits within one interval.
type Limits struct {
	Every time.Duration // between samples, at least 1 ms

	Timeouts int     // calls that waited for a connection in vain
	HitShare float64 // least share of requests that find an idle connection, 0 to 1 ...
	Requests int     // ... judged from so many requests on
	Waits    int     // calls that waited for a connection
	InUse    float64 // most connections in use at the sample, as a share of the pool's size, 0 to 1
	Stale    float64 // most connections taken out of the pool, as a multiple of its size
}

// RecommendedLimits samples each 30 s. No call may wait in vain, and a hundred may
// wait at all; nine requests in ten find a connection, once there are a thousand;
// four connections in five are in use; and the pool is not replaced more than
// once.
func RecommendedLimits() Limits {
	return Limits{Every: 30 * time.Second, HitShare: 0.9, Requests: 1000, Waits: 100, InUse: 0.8, Stale: 1}
}

// Watch samples the pool until ctx ends or the monitor is stopped, and tells alert
// what exceeded the limits within each interval.
func (p *Pool) Watch(ctx context.Context, l Limits, alert func(pools.Alert)) (*pools.Monitor[Stats], error) {
	if err := l.validate(); err != nil {
		return nil, err
	}
	return pools.Watch(ctx, pools.Watching[Stats]{Every: l.Every, Read: p.Detail, Judge: l.Judge, Alert: alert})
}

func (l Limits) validate() error {
	switch {
	case l.Timeouts < 0 || l.Requests < 0 || l.Waits < 0:
		return fmt.Errorf("watch the redis pool: Timeouts %d, Requests %d, Waits %d (want 0 or more)", l.Timeouts, l.Requests, l.Waits)
	case !(l.HitShare >= 0 && l.HitShare <= 1) || !(l.InUse >= 0 && l.InUse <= 1):
		return fmt.Errorf("watch the redis pool: HitShare %v, InUse %v (want 0 to 1)", l.HitShare, l.InUse)
	case !(l.Stale >= 0):
		return fmt.Errorf("watch the redis pool: Stale %v (want 0 or more)", l.Stale)
	}
	return nil
}

// Judge compares two samples.
func (l Limits) Judge(before, now Stats, _ time.Duration) []pools.Alert {
	alerts := l.judge("", "Size", before.Main, now.Main)
	if now.Pipeline.Size > 0 {
		alerts = append(alerts, l.judge("pipeline ", "PipelineSize", before.Pipeline, now.Pipeline)...)
	}
	return alerts
}

// judge is Judge for one pool, whose size is set by a field.
func (l Limits) judge(pool, field string, before, now PoolStats) (alerts []pools.Alert) {
	d := now.Since(before)
	tell := func(rule string, value, limit float64, unit, cause, advice string) {
		alerts = append(alerts, pools.Alert{Rule: pool + rule, Value: value, Limit: limit, Unit: unit, Cause: cause, Advice: advice})
	}
	if int64(d.Timeouts) > int64(l.Timeouts) {
		tell("timeouts", float64(d.Timeouts), float64(l.Timeouts), "time-outs",
			fmt.Sprintf("calls waited PoolTimeout for one of %d connections and got none, and each was repeated up to Retries times", d.Size),
			"look for slow commands (SLOWLOG) that keep connections in use; if there are none, make "+field+" larger or pipeline")
	}
	if d.Requests() >= uint64(max(1, l.Requests)) && d.HitShare() < l.HitShare {
		tell("hits", d.HitShare(), l.HitShare, "of requests",
			fmt.Sprintf("%d requests had to open a connection, which costs several round trips", d.Misses),
			"make MaxIdle and MinIdle larger, and look at what closes connections (the server's timeout, MaxIdleTime, MaxLifetime, errors)")
	}
	if int64(d.Waits) > int64(l.Waits) {
		tell("waits", float64(d.Waits), float64(l.Waits), "waits",
			fmt.Sprintf("more callers than %d connections at once: each waited %v on average", d.Size, d.MeanWait().Round(time.Microsecond)),
			"if the wait is a large part of the latency, make "+field+" larger or pipeline; if not, leave it")
	}
	if share := float64(d.InUse) / float64(d.Size); share > l.InUse {
		advice := "make " + field + " larger before calls have to wait, or pipeline"
		if pool != "" {
			advice = "make " + field + " larger: what finds none here takes a connection of the main pool, with smaller buffers"
		}
		tell("in-use", share, l.InUse, "of the size",
			fmt.Sprintf("%d of %d connections were in use and %d callers pending at the sample", d.InUse, d.Size, d.Pending), advice)
	}
	if turns := float64(d.Stale) / float64(d.Size); turns > l.Stale {
		tell("stale", turns, l.Stale, "times the size",
			fmt.Sprintf("%d connections were taken out of the pool: cut by the server or the network, too old, or more idle ones than MaxIdle", d.Stale),
			"if callers come in bursts make MaxIdle larger; otherwise compare MaxIdleTime and MaxLifetime with the server's timeout, and look at its log")
	}
	return alerts
}
