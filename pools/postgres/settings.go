package postgres

import (
	"fmt"
	"strings"
	"time"
)

// Settings are those of a pool. Durations of zero mean no limit, but for
// ConnectTimeout.
type Settings struct {
	// MaxOpen is the most connections at a time, idle or in use; 0 means any
	// number, so that a burst may take all that the server has. More than the
	// server's CPUs and disks can use only make its queries slower; fewer make
	// callers wait here.
	MaxOpen int

	// MaxIdle is the most connections that are kept when nobody uses them, at most
	// MaxOpen; 0 keeps none, so that each use opens one. Each costs the server some
	// MiB.
	MaxIdle int

	// Lifetime is the age at which a connection is closed when it is next
	// returned or idle. It bounds how long a pool stays with a server that was
	// replaced, and how far the caches of a server process grow.
	Lifetime time.Duration

	// IdleTime is how long a connection may be idle before it is closed. At or
	// above Lifetime it never comes to pass.
	IdleTime time.Duration

	// ConnectTimeout bounds opening one connection, and how long a query that was
	// cancelled is waited for; 0 means DefaultConnectTimeout.
	ConnectTimeout time.Duration
}

// DefaultConnectTimeout is the ConnectTimeout of settings that have none.
const DefaultConnectTimeout = 5 * time.Second

// Recommended are settings for one service instance before a database server of a
// few cores: open 25, idle half of that, lifetime 5 min, idle time 10 min. The
// idle time is inert beside that lifetime, as Remarks says.
func Recommended() Settings {
	return Settings{MaxOpen: 25, MaxIdle: 12, Lifetime: 5 * time.Minute, IdleTime: 10 * time.Minute, ConnectTimeout: DefaultConnectTimeout}
}

// Sized are the recommended settings for a pool of n connections, half of them
// kept idle, but one at least.
func Sized(n int) Settings {
	s := Recommended()
	s.MaxOpen, s.MaxIdle = n, max(1, n/2)
	return s
}

// LibraryDefaults are what database/sql does if it is told nothing: any number
// open, two kept idle, nothing ever too old.
func LibraryDefaults() Settings {
	return Settings{MaxIdle: 2, ConnectTimeout: DefaultConnectTimeout}
}

// Undersized are the settings of the incident in docs/incident-postgres.md: open
// 5, idle 2, no lifetime.
func Undersized() Settings {
	return Settings{MaxOpen: 5, MaxIdle: 2, ConnectTimeout: DefaultConnectTimeout}
}

// Validate returns an error that names the field that makes no sense.
func (s Settings) Validate() error {
	switch {
	case s.MaxOpen < 0:
		return fmt.Errorf("MaxOpen is %d (want the most connections at a time, or 0 for no limit)", s.MaxOpen)
	case s.MaxIdle < 0:
		return fmt.Errorf("MaxIdle is %d (want the most idle connections to keep, or 0 to keep none)", s.MaxIdle)
	case s.MaxOpen > 0 && s.MaxIdle > s.MaxOpen:
		return fmt.Errorf("MaxIdle is %d, more than MaxOpen, which is %d (want at most that: no more can be idle than are open)", s.MaxIdle, s.MaxOpen)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
		zero  string
	}{
		{"Lifetime", s.Lifetime, "no limit"},
		{"IdleTime", s.IdleTime, "no limit"},
		{"ConnectTimeout", s.ConnectTimeout, DefaultConnectTimeout.String()},
	} {
		if d.value < 0 {
			return fmt.Errorf("%s is %v (want a time above zero, or 0 for %s)", d.name, d.value, d.zero)
		}
	}
	return nil
}

// Remarks are what is permitted but probably not meant, a sentence each.
func (s Settings) Remarks() []string {
	var r []string
	if s.MaxOpen == 0 {
		r = append(r, "MaxOpen is not limited: a burst of callers can take every connection of the server, and then the others are refused")
	}
	switch {
	case s.MaxIdle == 0:
		r = append(r, "MaxIdle is 0: a connection is opened for each use and closed after it")
	case s.MaxOpen > 1 && s.MaxIdle < s.MaxOpen/2:
		r = append(r, fmt.Sprintf("MaxIdle %d is less than half of MaxOpen %d: whenever more than %d connections become free, they are closed, and the next burst opens them again", s.MaxIdle, s.MaxOpen, s.MaxIdle))
	}
	if s.inertIdleTime() {
		r = append(r, fmt.Sprintf("IdleTime %v is inert: a connection that was idle for so long is older than Lifetime %v, and closed for that", s.IdleTime, s.Lifetime))
	}
	if s.Lifetime == 0 {
		r = append(r, "Lifetime is not limited: after a failover the pool stays with the old server for as long as that answers")
	}
	return r
}

// inertIdleTime tells whether no connection can ever be closed for being idle.
func (s Settings) inertIdleTime() bool {
	return s.IdleTime > 0 && s.Lifetime > 0 && s.IdleTime >= s.Lifetime
}

// connectTimeout is ConnectTimeout with its default.
func (s Settings) connectTimeout() time.Duration {
	if s.ConnectTimeout == 0 {
		return DefaultConnectTimeout
	}
	return s.ConnectTimeout
}

// String is one line.
func (s Settings) String() string {
	unlessZero := func(zero bool, v any) string {
		if zero {
			return "no limit"
		}
		return fmt.Sprint(v)
	}
	return strings.Join([]string{
		"open " + unlessZero(s.MaxOpen == 0, s.MaxOpen),
		fmt.Sprintf("idle %d", s.MaxIdle),
		"lifetime " + unlessZero(s.Lifetime == 0, s.Lifetime),
		"idle time " + unlessZero(s.IdleTime == 0, s.IdleTime),
		"connect " + s.connectTimeout().String(),
	}, ", ")
}
