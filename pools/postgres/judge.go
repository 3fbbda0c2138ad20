package postgres

import (
	"fmt"
	"time"

	"netbench/pools"
)

// Rules, as alerts name them.
const (
	RuleWaits    = "waits"
	RuleInUse    = "in use"
	RuleGaveUp   = "gave up"
	RuleIdle     = "closed for idle limit"
	RuleIdleTime = "closed for idle time"
	RuleLifetime = "closed for lifetime"
)

// judge compares samples of one pool.
type judge struct {
	limits   Limits
	settings Settings
	permits  int // connections that the server has for its clients
}

// compare tells what passed its limit between two samples.
func (j judge) compare(before, now Sample, within time.Duration) []pools.Alert {
	var alerts []pools.Alert
	add := func(rule string, value, limit float64, unit, cause, advice string) {
		alerts = append(alerts, pools.Alert{Rule: rule, Value: value, Limit: limit, Unit: unit, Cause: cause, Advice: advice})
	}
	waits := since(before.WaitCount, now.WaitCount)
	waited := time.Duration(since(int64(before.WaitDuration), int64(now.WaitDuration)))
	if waits > j.limits.Waits {
		add(RuleWaits, float64(waits), float64(j.limits.Waits), "waits", j.whyWaits(waits, waited, within), j.more(now))
	}
	if now.MaxOpenConnections > 0 {
		share := float64(now.InUse) / float64(now.MaxOpenConnections)
		if share > j.limits.InUse {
			add(RuleInUse, share, j.limits.InUse, "of the maximum",
				fmt.Sprintf("%d of at most %d connections were in use at this sample", now.InUse, now.MaxOpenConnections), j.more(now))
		}
	}
	if n := since(before.GaveUp, now.GaveUp); n > j.limits.GaveUp {
		add(RuleGaveUp, float64(n), float64(j.limits.GaveUp), "callers",
			"their time was over before they had a connection, so they failed without having asked the database anything", j.more(now))
	}
	size := now.MaxOpenConnections
	if size <= 0 {
		size = Recommended().MaxOpen
	}
	limit := j.limits.Turnover * float64(size)
	opened := since(before.Dials, now.Dials)
	for _, rule := range []struct {
		name          string
		closed        int64
		cause, advice string
	}{
		{
			RuleIdle, since(before.MaxIdleClosed, now.MaxIdleClosed),
			fmt.Sprintf("connections were closed as more than %d became idle, and %d were opened anew", j.settings.MaxIdle, opened),
			j.moreIdle(now),
		},
		{
			RuleIdleTime, since(before.MaxIdleTimeClosed, now.MaxIdleTimeClosed),
			fmt.Sprintf("connections were closed after %v without use, and %d were opened anew", j.settings.IdleTime, opened),
			fmt.Sprintf("raise IdleTime from %v above the pauses between bursts", j.settings.IdleTime),
		},
		{
			RuleLifetime, since(before.MaxLifetimeClosed, now.MaxLifetimeClosed),
			fmt.Sprintf("connections were closed at the age of %v, and %d were opened anew", j.settings.Lifetime, opened),
			fmt.Sprintf("raise Lifetime from %v to minutes: each renewal is a handshake and a new process of the server", j.settings.Lifetime),
		},
	} {
		if float64(rule.closed) > limit {
			add(rule.name, float64(rule.closed), limit, "connections", rule.cause, rule.advice)
		}
	}
	return alerts
}

// whyWaits uses Little's law: the time that callers waited altogether, by the time
// that passed, is how many stood in line on average.
func (j judge) whyWaits(waits int64, waited, within time.Duration) string {
	line := 0.0
	if within > 0 {
		line = waited.Seconds() / within.Seconds()
	}
	of := "all connections were taken"
	if j.settings.MaxOpen > 0 {
		of = fmt.Sprintf("all %d connections were taken", j.settings.MaxOpen)
	}
	return fmt.Sprintf("%s when callers came, who waited %v each and stood %.1f in line on average",
		of, (waited / time.Duration(waits)).Round(10*time.Microsecond), line)
}

// more advises one whose callers wait.
func (j judge) more(now Sample) string {
	room := j.permits - now.MaxOpenConnections
	if now.MaxOpenConnections > 0 && room > 0 {
		return fmt.Sprintf("hold connections for less time (shorter queries, nothing else between taking and giving back), or raise MaxOpen from %d, the server permitting %d to all its clients",
			now.MaxOpenConnections, j.permits)
	}
	return "hold connections for less time (shorter queries, nothing else between taking and giving back): the server has no more of them"
}

// moreIdle advises one whose connections are closed as soon as they are idle.
func (j judge) moreIdle(now Sample) string {
	if now.MaxOpenConnections > 0 {
		return fmt.Sprintf("raise MaxIdle from %d to half of MaxOpen %d or more, up to what a burst uses", j.settings.MaxIdle, now.MaxOpenConnections)
	}
	return fmt.Sprintf("raise MaxIdle from %d to what a burst uses, and set MaxOpen", j.settings.MaxIdle)
}

// since is how far a counter went between two readings. One that is below its
// former value began anew, with what it shows as all that is known; one that is
// absent did not move.
func since(before, now int64) int64 {
	if now < before {
		before = 0
	}
	return max(0, now-max(0, before))
}
