package redis

import (
	"fmt"
	"runtime"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Settings are those of a pool. Unlike in the driver, 0 never stands for another
// value, and there are no special negative ones.
type Settings struct {
	// Size is the most connections that may be in use at once, at least 1,
	// those for pipelines not counted.
	Size int

	// MinIdle is how many idle connections are kept open in advance, at most
	// Size; 0 opens them when they are needed. They are opened in the
	// background, also when the pool is made.
	MinIdle int

	// MaxIdle is how many idle connections are kept; one more is closed when
	// it is given back. At least MinIdle and at most Size; 0 keeps all.
	MaxIdle int

	// PipelineSize is the size of the second pool, from which pipelines take
	// connections beside the Size ones; 0 makes none, so that pipelines use the
	// main one. See the package's comment.
	PipelineSize int

	PoolTimeout  time.Duration // how long a call waits for a connection, above 0
	DialTimeout  time.Duration // of one attempt to connect, and of all that Open does, above 0
	ReadTimeout  time.Duration // of the reply to one command or pipeline, above 0
	WriteTimeout time.Duration // of sending one, above 0

	// MaxIdleTime closes a connection that was idle for so long when the pool
	// comes upon it. It has to be below the server's own (its setting
	// "timeout", 0 in most). 0: never. At most MaxLifetime, as a longer one
	// would have no effect.
	MaxIdleTime time.Duration

	// MaxLifetime closes a connection of that age, likewise. 0: never.
	MaxLifetime time.Duration

	// Retries is how often a call that failed for the network, a time-out of
	// the pool, or a server that is not ready is repeated; 0: not at all. The
	// pauses grow from MinBackoff to MaxBackoff; 0 is none.
	Retries                int
	MinBackoff, MaxBackoff time.Duration
}

// Recommended is for a service with some hundred callers: 20 connections of
// which 5 to 10 are kept idle. A caller may wait for two minutes with it, as PoolTimeout
// is for each of its tries: give calls a deadline.
func Recommended() Settings {
	return Settings{
		Size: 20, MinIdle: 5, MaxIdle: 10, PipelineSize: goredis.DefaultPipelinePoolSize,
		PoolTimeout: 30 * time.Second, DialTimeout: 5 * time.Second,
		ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second,
		MaxIdleTime: 5 * time.Minute, MaxLifetime: 30 * time.Minute,
		Retries: 3, MinBackoff: 8 * time.Millisecond, MaxBackoff: 512 * time.Millisecond,
	}
}

// ByCores is Recommended with a size of cores x 2, a rule that is often quoted.
// Cores are the CPUs on which this process was permitted to run when it began.
func ByCores() Settings { return Recommended().Sized(2 * runtime.NumCPU()) }

// DriverDefaults are what go-redis 9.23 takes if nothing is set: 10 connections
// for each CPU that the Go scheduler uses now, none kept in advance.
func DriverDefaults() Settings {
	return Settings{
		Size: 10 * runtime.GOMAXPROCS(0), PipelineSize: goredis.DefaultPipelinePoolSize,
		PoolTimeout: 6 * time.Second, DialTimeout: 5 * time.Second,
		ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
		MaxIdleTime: 30 * time.Minute,
		Retries:     3, MinBackoff: 10 * time.Millisecond, MaxBackoff: time.Second,
	}
}

// Sized is s with another size, and idle connections in the same proportion. The
// pool for pipelines stays as it is.
func (s Settings) Sized(n int) Settings {
	if s.Size > 0 {
		s.MinIdle = s.MinIdle * n / s.Size
		if s.MaxIdle > 0 {
			s.MaxIdle = max(1, s.MaxIdle*n/s.Size)
		}
	}
	s.Size = n
	return s
}

// mostConnections bounds sizes: one client address has no more ports.
const mostConnections = 65535

// Validate returns an error that names the field that cannot be.
func (s Settings) Validate() error {
	bad := func(field string, found any, want string) error {
		return fmt.Errorf("redis pool: %s is %v (want %s)", field, found, want)
	}
	switch {
	case s.Size < 1 || s.Size > mostConnections:
		return bad("Size", s.Size, fmt.Sprintf("1 to %d", mostConnections))
	case s.PipelineSize < 0 || s.PipelineSize > mostConnections:
		return bad("PipelineSize", s.PipelineSize, fmt.Sprintf("1 to %d, or 0 for none", mostConnections))
	case s.MinIdle < 0 || s.MinIdle > s.Size:
		return bad("MinIdle", s.MinIdle, fmt.Sprintf("0 to Size, %d", s.Size))
	case s.MaxIdle != 0 && (s.MaxIdle < s.MinIdle || s.MaxIdle < 0 || s.MaxIdle > s.Size):
		return bad("MaxIdle", s.MaxIdle, fmt.Sprintf("MinIdle to Size, %d to %d, or 0 for no bound", max(1, s.MinIdle), s.Size))
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"PoolTimeout", s.PoolTimeout}, {"DialTimeout", s.DialTimeout},
		{"ReadTimeout", s.ReadTimeout}, {"WriteTimeout", s.WriteTimeout},
	} {
		if d.value < time.Millisecond {
			return bad(d.field, d.value, "1ms or more")
		}
	}
	switch {
	case s.MaxLifetime < 0:
		return bad("MaxLifetime", s.MaxLifetime, "above 0, or 0 for no end")
	case s.MaxIdleTime < 0:
		return bad("MaxIdleTime", s.MaxIdleTime, "above 0, or 0 for no end")
	case s.MaxLifetime > 0 && s.MaxIdleTime > s.MaxLifetime:
		return bad("MaxIdleTime", s.MaxIdleTime, fmt.Sprintf("at most MaxLifetime, %v: beyond it has no effect", s.MaxLifetime))
	case s.Retries < 0:
		return bad("Retries", s.Retries, "0 or more")
	case s.MinBackoff < 0:
		return bad("MinBackoff", s.MinBackoff, "0 or more")
	case s.MaxBackoff < s.MinBackoff:
		return bad("MaxBackoff", s.MaxBackoff, fmt.Sprintf("at least MinBackoff, %v", s.MinBackoff))
	}
	return nil
}

// connections is the most that the server may see of a pool.
func (s Settings) connections() int { return s.Size + s.PipelineSize }

// on are the driver's options for these settings, with address, credentials and
// whatever else is not of the pool from base.
func (s Settings) on(base *goredis.Options) *goredis.Options {
	o := *base
	o.PoolSize, o.MinIdleConns, o.MaxIdleConns = s.Size, s.MinIdle, s.MaxIdle
	// Size bounds them already; a bound of the driver's own would make calls
	// fail at once that should wait.
	o.MaxActiveConns = 0
	o.MaxConcurrentDials = 0
	o.PipelinePoolSize = orOff(s.PipelineSize)
	o.PoolTimeout, o.DialTimeout = s.PoolTimeout, s.DialTimeout
	o.ReadTimeout, o.WriteTimeout = s.ReadTimeout, s.WriteTimeout
	o.ConnMaxIdleTime, o.ConnMaxLifetime = orOff(s.MaxIdleTime), s.MaxLifetime
	o.MaxRetries = orOff(s.Retries)
	o.MinRetryBackoff, o.MaxRetryBackoff = orOff(s.MinBackoff), orOff(s.MaxBackoff)
	// Without it a caller's deadline ends its wait for a connection, but not
	// its wait for the reply.
	o.ContextTimeoutEnabled = true
	if o.MaintNotificationsConfig == nil {
		// Only some hosted servers announce maintenance. Asking costs each new
		// connection a round trip, and version 9.23 notes a refusal in options
		// that the connections share, without a lock that they share.
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	}
	return &o
}

// orOff is the driver's way to say 0, which stands for a default there.
func orOff[T int | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}
