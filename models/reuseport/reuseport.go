package reuseport

import (
	"fmt"
	"runtime"

	"netbench/internal/listen"
	"netbench/models"
	"netbench/models/goroutine"
	"netbench/models/reactor"
)

// Over says what serves the connections of a listener.
type Over uint8

const (
	Goroutine Over = iota // an accept loop, and a goroutine for each connection
	Reactor               // an event loop
)

// kinds are the models by Over.
var kinds = []struct {
	name    string
	factory func(steer bool) models.Factory

	// loops tells whether each listener is that of an event loop.
	loops bool
}{
	Goroutine: {
		name: goroutine.Name,
		factory: func(steer bool) models.Factory {
			return goroutine.Factory(goroutine.Options{Share: true, Steer: steer})
		},
	},
	Reactor: {
		name:    reactor.Name,
		factory: func(steer bool) models.Factory { return reactor.Factory(reactor.Options{Share: true, Steer: steer}) },
		loops:   true,
	},
}

// String is the name of the model, for instance "goroutine".
func (o Over) String() string {
	if int(o) < len(kinds) {
		return kinds[o].name
	}
	return fmt.Sprintf("Over(%d)", o)
}

// Options are variants of the model with several listeners in one process.
type Options struct {
	Over Over

	// Steer makes the kernel prefer the i-th listener for connections whose
	// packets are handled by the i-th CPU of the process's set, beginning anew
	// after the last one (SO_INCOMING_CPU). That is of use where packets of a
	// connection always come to the same CPU (receive queues), and where whoever
	// serves the listener runs there too. It needs Linux, and CPUs to tell
	// apart: on one all listeners are alike, and the hash decides. Kernels
	// before 6.1 or so keep the option and spread by the hash all the same.
	Steer bool
}

// Factory makes servers with several listeners in one process.
//
// Config.Listeners is their number, 0 for GOMAXPROCS. Reactor loops have one
// each, so Loops, if it is set too, has to be the same. Unix sockets and
// platforms that do not spread connections over listeners (all but Linux and
// FreeBSD) are errors that wrap [models.ErrUnsupported]. On Linux an address that
// anybody listens on is one as well, even if they would share it.
func Factory(o Options) models.Factory {
	return func(cfg models.Config) (models.Server, error) {
		cfg, err := o.Over.listeners(cfg, runtime.GOMAXPROCS(0))
		if err != nil {
			return nil, err
		}
		name := nameOf("reuseport", o.Over, false)
		if listen.CanHold {
			held, err := listen.Hold(cfg, name)
			if err != nil {
				return nil, err
			}
			defer held.Close()
			cfg = held.Config(cfg)
		}
		inner, err := kinds[o.Over].factory(o.Steer)(cfg)
		if err != nil {
			return nil, err
		}
		return &server{Server: inner, name: name, variant: variant("listeners", cfg.Listeners, o.Steer)}, nil
	}
}

// listeners validates cfg and settles how many listeners, and loops, there are;
// usual is their number if cfg does not say.
func (o Over) listeners(cfg models.Config, usual int) (models.Config, error) {
	asked := cfg.Listeners
	cfg, err := cfg.Validate()
	if err != nil {
		return cfg, err
	}
	if int(o) >= len(kinds) {
		return cfg, fmt.Errorf("reuseport: Options.Over is %d (want Goroutine or Reactor)", o)
	}
	if asked == 0 && kinds[o].loops {
		asked = cfg.Loops
	}
	if asked == 0 {
		asked = usual
	}
	if kinds[o].loops {
		if cfg.Loops != 0 && cfg.Loops != asked {
			return cfg, &models.ConfigError{
				Field: "Listeners", Value: asked, Want: fmt.Sprintf("%d as there are Loops, or 0: each loop has one listener", cfg.Loops),
			}
		}
		cfg.Loops = asked
	}
	cfg.Listeners = asked
	return cfg, nil
}

// variant is Stats.Variant.
func variant(what string, n int, steered bool) string {
	v := fmt.Sprintf("%s=%d", what, n)
	if steered {
		v += ",steered"
	}
	return v
}

// server gives a server of another model this model's name.
type server struct {
	models.Server
	name, variant string
}

func (s *server) Stats() models.Stats {
	stats := s.Server.Stats()
	stats.Model, stats.Variant = s.name, s.variant
	return stats
}

// PerListener is [models.Spread]'s.
func (s *server) PerListener() []uint64 {
	if inner, ok := s.Server.(models.Spread); ok {
		return inner.PerListener()
	}
	return nil
}
