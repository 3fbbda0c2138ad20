package httppool

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// Stats are a client's counts since it was made, and its connections at this
// moment. A request that was redirected counts once for each round trip.
type Stats struct {
	// What is in force, as it was set: 0 stands for no limit, but for
	// MaxIdlePerHost, where it is never 0.
	MaxPerHost     int
	MaxIdlePerHost int
	KeepAlives     bool

	Requests     int64 // that ended: the reply was read to its end or closed, or none came
	Failed       int64 // of Requests: no reply, one of 500 or above, or a body that broke off
	ServerErrors int64 // of Failed: replies of 500 or above

	Got      int64         // connections given to requests
	Reused   int64         // of Got: those that had served a request before
	Waits    int64         // requests that found no connection ready, and waited for a new one or another's
	Queued   int64         // of Waits: those that were given a connection that another request had used meanwhile
	Waited   time.Duration // by all Waits together
	Timeouts int64         // of Waits: those that gave up
	Wait     Histogram     // from asking for a connection to having it; of Got, also where one was ready
	Rest     Histogram     // how long reused connections had been idle

	Dials            int64 // TCP connections opened
	DialsFailed      int64
	Handshakes       int64 // of TLS, completed
	HandshakesFailed int64

	Discarded int64 // connections that had served a request well and were closed, as a rule because there were idle ones enough
	Unused    int64 // connections that were closed before any request was given them: another's came first, or TLS failed
	Undrained int64 // bodies that were closed with so much unread that the connection was lost

	Open, InUse, Idle int    // connections now; those in a TLS handshake are Open only
	Hosts             []Host // those dialled so far, by address; of more than 1000, those with connections
}

// Host is what one address has of the connections.
type Host struct {
	Addr        string        // host:port that was dialled: a proxy's, where there is one
	Open, InUse int           // connections now
	Busy        time.Duration // for how long connections have been in use, added up
}

// ReuseShare is the share of requests that were given a used connection, 0 to 1.
// ok is false if none was given any.
func (s *Stats) ReuseShare() (share float64, ok bool) {
	if s.Got == 0 {
		return 0, false
	}
	return float64(s.Reused) / float64(s.Got), true
}

// Per1000 is n for each thousand requests that ended. ok is false if none did.
func (s *Stats) Per1000(n int64) (per float64, ok bool) {
	if s.Requests == 0 {
		return 0, false
	}
	return 1000 * float64(n) / float64(s.Requests), true
}

// Sub is what happened since an earlier state of the same client. What is no count
// is as it is in s.
func (s *Stats) Sub(earlier *Stats) Stats {
	d := *s
	for _, c := range []struct {
		now  *int64
		then int64
	}{
		{&d.Requests, earlier.Requests}, {&d.Failed, earlier.Failed}, {&d.ServerErrors, earlier.ServerErrors},
		{&d.Got, earlier.Got}, {&d.Reused, earlier.Reused}, {&d.Waits, earlier.Waits}, {&d.Queued, earlier.Queued},
		{&d.Timeouts, earlier.Timeouts}, {&d.Dials, earlier.Dials}, {&d.DialsFailed, earlier.DialsFailed},
		{&d.Handshakes, earlier.Handshakes}, {&d.HandshakesFailed, earlier.HandshakesFailed},
		{&d.Discarded, earlier.Discarded}, {&d.Unused, earlier.Unused},
		{&d.Undrained, earlier.Undrained},
	} {
		*c.now -= c.then
	}
	d.Waited -= earlier.Waited
	d.Wait = s.Wait.Sub(&earlier.Wait)
	d.Rest = s.Rest.Sub(&earlier.Rest)
	d.Hosts = slices.Clone(s.Hosts)
	for i := range d.Hosts {
		for _, h := range earlier.Hosts {
			// One that was forgotten meanwhile began anew.
			if h.Addr == d.Hosts[i].Addr && h.Busy <= d.Hosts[i].Busy {
				d.Hosts[i].Busy -= h.Busy
			}
		}
	}
	return d
}

// counts are what a client counts. One mutex guards all of them, so that a
// snapshot fits together; it is held for some ten nanoseconds.
type counts struct {
	mu          sync.Mutex
	sum         Stats // without what is of this moment
	hosts       map[string]*host
	conns       map[*tracked]struct{}
	handshaking int
	closed      bool
}

// host is a Host with what is needed to know how long its connections were busy.
type host struct {
	open, inUse int
	busy        time.Duration // until since
	since       time.Time     // of the last change of inUse
}

// change adds to the connections that are in use.
func (h *host) change(by int, now time.Time) {
	h.busy = h.busyUntil(now)
	h.inUse, h.since = h.inUse+by, now
}

func (h *host) busyUntil(now time.Time) time.Duration {
	if h.inUse == 0 {
		return h.busy
	}
	return h.busy + time.Duration(h.inUse)*max(0, now.Sub(h.since))
}

// mostHosts are kept, so that who talks to very many does not keep them all.
const mostHosts = 1000

// host finds or makes a host; the mutex is held.
func (c *counts) host(addr string) *host {
	h := c.hosts[addr]
	if h == nil {
		if len(c.hosts) >= mostHosts {
			maps.DeleteFunc(c.hosts, func(_ string, h *host) bool { return h.open == 0 && h.inUse == 0 })
		}
		h = &host{}
		c.hosts[addr] = h
	}
	return h
}

// snapshot copies the counts.
func (c *counts) snapshot() Stats {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sum
	for addr, h := range c.hosts {
		s.Open += h.open
		// A request may hold on to a body whose connection has ended.
		inUse := min(h.inUse, h.open)
		s.InUse += inUse
		s.Hosts = append(s.Hosts, Host{Addr: addr, Open: h.open, InUse: inUse, Busy: h.busyUntil(now)})
	}
	s.Idle = max(0, s.Open-s.InUse-c.handshaking)
	slices.SortFunc(s.Hosts, func(a, b Host) int { return cmp.Compare(a.Addr, b.Addr) })
	return s
}
