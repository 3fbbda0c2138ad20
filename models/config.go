package models

import (
	"fmt"
	"net"
	"time"
)

// Defaults of [Config], where a zero value asks for them.
const (
	DefaultAddress     = "127.0.0.1:0"
	DefaultReadBuffer  = 4 << 10
	DefaultMaxConns    = 10_000
	DefaultIdleTimeout = 30 * time.Second
	DefaultMaxPending  = 64 << 10
)

// NoLimit switches MaxConns or IdleTimeout off.
const NoLimit = -1

// Toggle is an option that has a default of its own.
type Toggle uint8

const (
	Default Toggle = iota
	On
	Off
)

// LimitPolicy is what happens to a connection beyond MaxConns.
type LimitPolicy uint8

const (
	// Wait leaves further connections in the kernel's backlog until another
	// one ends. The peer sees a connection that does not answer yet.
	Wait LimitPolicy = iota

	// Reject accepts and closes them at once. The peer sees the end of the
	// stream without a byte, and can go elsewhere.
	Reject
)

// Config is what every model can be told. The zero value of each field is sane;
// a value that is not is reported by [Config.Validate] with the field's name.
type Config struct {
	// Network is "tcp" (the default), "tcp4", "tcp6" or "unix".
	Network string

	// Address is what to listen on: host:port (default 127.0.0.1:0, where port
	// 0 lets the kernel choose) or, for "unix", a path.
	Address string

	// Service answers. It is required. JSON leaves it out, because a service is
	// code: send its Name beside the configuration, and ParseService there.
	Service Service `json:"-"`

	// ReadBuffer is the size in bytes of one read, 1 to 16 MiB; default 4 KiB.
	// Larger buffers save system calls on large messages and cost memory on
	// every connection that holds one.
	ReadBuffer int

	// Loops is the number of event loops, 0 to 1024; 0 means GOMAXPROCS. Models
	// without loops ignore it.
	Loops int

	// Listeners is the number of sockets that share the address, 0 to 1024; 0
	// means 1, and to models that are made to share (models/reuseport) one for
	// each CPU. More than one needs SO_REUSEPORT.
	Listeners int

	// Backlog is the length of the queue of connections that nobody has
	// accepted yet, 0 to 65535; 0 means the host's maximum (somaxconn). The
	// kernel caps it there silently.
	Backlog int

	// NoDelay sets TCP_NODELAY; on by default. Off lets Nagle's algorithm hold
	// back small writes while data is unacknowledged.
	NoDelay Toggle

	// RecvBuffer and SendBuffer are SO_RCVBUF and SO_SNDBUF in bytes, 0 to 1
	// GiB; 0 leaves the kernel's auto-tuning on, which any other value switches
	// off.
	RecvBuffer, SendBuffer int

	// MaxConns is the largest number of connections served at once; default
	// 10,000; NoLimit for none. OnLimit says what happens to the others.
	MaxConns int
	OnLimit  LimitPolicy

	// IdleTimeout closes a connection on which no byte has arrived, and none
	// that was owed could be written, for so long; default 30 s; NoLimit for
	// never. Every exchange renews it. At least 1 ms, as timers are coarse.
	IdleTimeout time.Duration

	// MaxPending is the number of bytes that a reader who does not read may
	// owe before its connection is not read from any more; default 64 KiB. A
	// model holds at most MaxPending plus one step's reply (Limits.Reply plus
	// ReadBuffer) of output per connection.
	MaxPending int
}

// ConfigError tells which field of a [Config] is bad.
type ConfigError struct {
	Field string // name of the field
	Value any    // what was found there
	Want  string // what would be valid
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("models: Config.%s is %v (want %s)", e.Field, e.Value, e.Want)
}

// Validate checks c and returns it with its defaults filled in. The error is a
// [*ConfigError]. Loops stays 0 where it was, as only a model can tell what
// GOMAXPROCS will be when it starts.
func (c Config) Validate() (Config, error) {
	bad := func(field string, value any, want string) (Config, error) {
		return c, &ConfigError{Field: field, Value: value, Want: want}
	}
	if c.Network == "" {
		c.Network = "tcp"
	}
	switch c.Network {
	case "tcp", "tcp4", "tcp6":
		if c.Address == "" {
			c.Address = DefaultAddress
			if c.Network == "tcp6" {
				c.Address = "[::1]:0"
			}
		}
		if _, _, err := net.SplitHostPort(c.Address); err != nil {
			return bad("Address", quoted(c.Address), "host:port, for instance "+DefaultAddress)
		}
	case "unix":
		if c.Address == "" {
			return bad("Address", quoted(c.Address), "the path of a socket")
		}
		if len(c.Address) > 107 {
			return bad("Address", quoted(c.Address), "a path of at most 107 bytes")
		}
	default:
		return bad("Network", quoted(c.Network), `"tcp", "tcp4", "tcp6" or "unix"`)
	}
	if c.Service == nil {
		return bad("Service", "nil", "a service, for instance models.Echo{}")
	}
	for _, f := range []struct {
		name     string
		value    *int
		min, max int
		zero     int
	}{
		{"ReadBuffer", &c.ReadBuffer, 1, 16 << 20, DefaultReadBuffer},
		{"Loops", &c.Loops, 0, 1024, 0},
		{"Listeners", &c.Listeners, 1, 1024, 1},
		{"Backlog", &c.Backlog, 0, 65535, 0},
		{"RecvBuffer", &c.RecvBuffer, 0, 1 << 30, 0},
		{"SendBuffer", &c.SendBuffer, 0, 1 << 30, 0},
		{"MaxPending", &c.MaxPending, 1, 1 << 30, DefaultMaxPending},
	} {
		if *f.value == 0 {
			*f.value = f.zero
		} else if *f.value < f.min || *f.value > f.max {
			return bad(f.name, *f.value, fmt.Sprintf("%d to %d, or 0 for the default", f.min, f.max))
		}
	}
	switch {
	case c.NoDelay > Off:
		return bad("NoDelay", c.NoDelay, "Default, On or Off")
	case c.OnLimit > Reject:
		return bad("OnLimit", c.OnLimit, "Wait or Reject")
	case c.MaxConns == 0:
		c.MaxConns = DefaultMaxConns
	case c.MaxConns < NoLimit:
		return bad("MaxConns", c.MaxConns, "at least 1, 0 for the default, or NoLimit")
	}
	switch {
	case c.IdleTimeout == 0:
		c.IdleTimeout = DefaultIdleTimeout
	case c.IdleTimeout == NoLimit:
	case c.IdleTimeout < time.Millisecond:
		return bad("IdleTimeout", c.IdleTimeout, "at least 1ms, 0 for the default, or NoLimit")
	}
	return c, nil
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }
