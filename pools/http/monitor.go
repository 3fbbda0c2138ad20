package httppool

import (
	"context"
	"fmt"
	"math"
	"time"

	"netbench/pools"
)

// Limits are what may happen within an interval between two samples. A limit of 0
// switches its rule off.
type Limits struct {
	ReuseShare     float64 // least share of requests on used connections, 0 to 1
	MinRequests    int64   // that make a share meaningful, 1 or more
	Waits          int64   // most requests that found no connection ready
	InUse          float64 // most connections of a host in use on average, over MaxConnsPerHost, 0 to 1
	DialsPerSecond float64 // most connections opened a second
}

// RecommendedLimits are those of a service that is meant to reuse its connections.
func RecommendedLimits() Limits {
	return Limits{ReuseShare: 0.9, MinRequests: 100, Waits: 100, InUse: 0.8, DialsPerSecond: 20}
}

// Validate returns a [*SettingError] for the first limit that is not permitted.
func (l Limits) Validate() error {
	share := func(v float64) bool { return v >= 0 && v <= 1 }
	switch {
	case !share(l.ReuseShare):
		return &SettingError{"ReuseShare", l.ReuseShare, "0 to 1"}
	case l.MinRequests < 1:
		return &SettingError{"MinRequests", l.MinRequests, "1 or more"}
	case l.Waits < 0:
		return &SettingError{"Waits", l.Waits, "0 or more"}
	case !share(l.InUse):
		return &SettingError{"InUse", l.InUse, "0 to 1"}
	case !(l.DialsPerSecond >= 0) || math.IsInf(l.DialsPerSecond, 0):
		return &SettingError{"DialsPerSecond", l.DialsPerSecond, "0 or more"}
	}
	return nil
}

// Watch samples the client's counts at an interval, for which 30 s are good, and
// tells of what went beyond the limits within it. See [pools.Watch].
func (c *Client) Watch(ctx context.Context, every time.Duration, l Limits, alert func(pools.Alert)) (*pools.Monitor[Stats], error) {
	if err := l.Validate(); err != nil {
		return nil, err
	}
	return pools.Watch(ctx, pools.Watching[Stats]{Every: every, Read: c.Stats, Judge: l.Judge, Alert: alert})
}

// Judge compares two samples of one client.
func (l Limits) Judge(before, now Stats, within time.Duration) []pools.Alert {
	if within <= 0 {
		return nil
	}
	d := now.Sub(&before)
	busiest, inUse := d.busiest(within)
	var alerts []pools.Alert
	reuse, ok := d.ReuseShare()
	if ok && l.ReuseShare > 0 && d.Got >= l.MinRequests && reuse < l.ReuseShare {
		cause, advice := d.whyDialled()
		alerts = append(alerts, pools.Alert{
			Rule: "reuse", Value: reuse, Limit: l.ReuseShare, Unit: "of the requests on used connections",
			Cause: cause, Advice: advice,
		})
	}
	if l.Waits > 0 && d.Waits > l.Waits {
		cause, advice := d.whyWaited(busiest)
		alerts = append(alerts, pools.Alert{
			Rule: "waits", Value: float64(d.Waits), Limit: float64(l.Waits), Unit: "waits",
			Cause: cause, Advice: advice,
		})
	}
	if l.InUse > 0 && inUse > l.InUse {
		alerts = append(alerts, pools.Alert{
			Rule: "in-use", Value: inUse, Limit: l.InUse, Unit: "of the maximum in use",
			Cause:  fmt.Sprintf("on average %.1f of the %d connections that MaxConnsPerHost permits to %s were in use", inUse*float64(d.MaxPerHost), d.MaxPerHost, busiest),
			Advice: "find out whether the host has become slow, then raise MaxConnsPerHost or make fewer requests at once",
		})
	}
	if rate := float64(d.Dials) / within.Seconds(); l.DialsPerSecond > 0 && rate > l.DialsPerSecond {
		cause, advice := d.whyDialled()
		alerts = append(alerts, pools.Alert{
			Rule: "dials", Value: rate, Limit: l.DialsPerSecond, Unit: "dials/s",
			Cause: cause, Advice: advice,
		})
	}
	return alerts
}

// busiest is the host with most connections in use on average within an interval,
// and its share of the maximum; 0 where there is no maximum.
func (s *Stats) busiest(within time.Duration) (addr string, share float64) {
	if s.MaxPerHost == 0 {
		return "", 0
	}
	for _, h := range s.Hosts {
		if v := h.Busy.Seconds() / within.Seconds() / float64(s.MaxPerHost); v > share {
			addr, share = h.Addr, v
		}
	}
	return addr, share
}

// whyWaited says what requests waited for, from what happened in an interval. Who
// finds no connection makes the transport dial one, unless the host has as many as
// it may: many more waits than dials have that reason only.
func (s *Stats) whyWaited(busiest string) (cause, advice string) {
	if s.MaxPerHost == 0 || s.Dials+s.DialsFailed > s.Waits/2 {
		return s.whyDialled()
	}
	return fmt.Sprintf("requests wanted more than the %d connections that MaxConnsPerHost permits to a host (%s has most in use): %d waited for another to end, %d gave up, %v on average",
			s.MaxPerHost, busiest, s.Queued, s.Timeouts, (s.Waited / time.Duration(max(1, s.Waits))).Round(time.Microsecond)),
		"raise MaxConnsPerHost with MaxIdleConnsPerHost, or make fewer requests at once"
}

// whyDialled says why connections were not there to be used again, from what
// happened in an interval.
func (s *Stats) whyDialled() (cause, advice string) {
	most := max(1, s.Dials/2)
	unused := max(0, s.Unused-s.HandshakesFailed)
	switch {
	case !s.KeepAlives:
		return fmt.Sprintf("%d connections were opened for %d requests, as DisableKeepAlives lets each serve one only", s.Dials, s.Requests),
			"switch keep-alives on"
	case s.Discarded+unused >= most:
		return fmt.Sprintf("%d connections were opened, and closed were %d that had served well and %d that nobody needed at that moment, as MaxIdleConnsPerHost keeps %d",
				s.Dials, s.Discarded, unused, s.MaxIdlePerHost),
			"raise MaxIdleConnsPerHost to the number of requests made at once"
	case s.Undrained >= most:
		return fmt.Sprintf("%d connections were opened and %d lost with replies that were closed unread", s.Dials, s.Undrained),
			"read replies to their end, or ask for less"
	case s.DialsFailed+s.HandshakesFailed >= most:
		return fmt.Sprintf("%d connections could not be opened and %d failed in TLS's handshake", s.DialsFailed, s.HandshakesFailed),
			"see the errors of the requests"
	}
	return fmt.Sprintf("%d connections were opened for %d requests, and the older ones were not closed by a limit for one host", s.Dials, s.Requests),
		"see whether the server or something on the way closes connections early, whether its idle time-out is below IdleConnTimeout, whether MaxIdleConns is too low for all hosts, and whether load has just begun"
}
